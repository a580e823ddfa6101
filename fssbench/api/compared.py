"""Comparisons of models as tables of a paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fssbench.api.compare import ModelComparison, SeveralCompared
from fssbench.leaderboard.cited import bibtex, keys, of_model
from fssbench.leaderboard.typeset import Cell, Part, Typeset, latex, markdown, signed
from fssbench.scoring.comparison import p_of, p_text
from fssbench.scoring.uncertainty import Difference

__all__ = ["written"]

Compared = ModelComparison | SeveralCompared

BOLD = "Bold: the best mIoU, and those whose paired difference from it may be none."
INTERVAL = "Differences in points, with 95 % intervals over other images, or other episodes where images are too few."
CORRECTED = "p is corrected for the number of pairs (Holm)."


def written(compared: Sequence[Compared], form: str) -> bytes:
    """Comparisons of the same models, one a number of supports, as ``latex``, ``markdown``, ``csv`` or ``bibtex``."""
    if form == "csv":
        import pandas as pd

        whole = pd.concat([one.to_pandas().assign(shot=pairs_of(one)[0].runs[0].shot) for one in compared])
        text: str = whole.to_csv(index=False, lineterminator="\n")
        return text.encode()
    if form == "bibtex":
        names = [name for one in compared for pair in pairs_of(one) for name in pair.names]
        return bibtex([paper for name in names for paper in of_model(name.split()[0])])
    tables = [table for one in compared for table in typeset(one)]
    return latex(tables) if form == "latex" else markdown(tables)


def pairs_of(found: Compared) -> Sequence[ModelComparison]:
    """Every two models."""
    return found.pairs if isinstance(found, SeveralCompared) else (found,)


def typeset(found: Compared) -> tuple[Typeset, Typeset]:
    """The models' scores, the best first; and their differences, pair by pair."""
    pairs = pairs_of(found)
    first = pairs[0]
    asked = f"{first.runs[0].shot}-shot, {first.policy}"
    scores = {name: own for pair in pairs for name, own in zip(pair.names, pair.scores, strict=True)}
    ordered = sorted(scores, key=lambda name: -1.0 if (miou := scores[name]["mIoU"]) is None else miou, reverse=True)
    best = ordered[0]
    titles = list(scores[best])
    corrected = found.p_corrected if isinstance(found, SeveralCompared) else tuple(map(_p, pairs))
    return (
        Typeset(
            title=f"{asked}, in %",
            head=("model", *titles),
            words=("model",),
            parts=[Part(rows=[_scores(name, scores[name], bold=_at_best(name, best, pairs)) for name in ordered])],
            notes=(BOLD,),
        ),
        Typeset(
            title=f"{asked}, differences",
            head=("first less second", *titles, "p of mIoU"),
            words=("first less second",),
            parts=[Part(rows=[_differences(pair, p) for pair, p in zip(pairs, corrected, strict=True)])],
            notes=(INTERVAL, *([CORRECTED] if len(pairs) > 1 else [])),
        ),
    )


def _p(pair: ModelComparison) -> float | None:
    return None if pair.miou is None else p_of(pair.miou)


def _scores(name: str, own: Mapping[str, float | None], *, bold: bool) -> list[Cell]:
    figures = {title: "" if value is None else f"{100 * value:.2f}" for title, value in own.items()}
    model = Cell(text=name, cites=keys(of_model(name.split()[0])))
    return [model, *(Cell(text=text, bold=bold and title == "mIoU") for title, text in figures.items())]


def _at_best(name: str, best: str, pairs: Sequence[ModelComparison]) -> bool:
    """Whether a model is the best, or no chance sets it apart from that."""
    if name == best:
        return True
    found = next(pair.miou for pair in pairs if {*pair.names} == {name, best})
    sure = None if found is None else found.between.images or found.between.episodes
    return sure is not None and sure.low <= 0 <= sure.high


def _differences(pair: ModelComparison, p: float | None) -> list[Cell]:
    overall = [Cell(text=_difference(found)) for found in pair.overall.values()]
    return [Cell(text=" less ".join(pair.names)), *overall, Cell(text="" if p is None else p_text(p))]


def _difference(found: Difference | None) -> str:
    if found is None:
        return ""
    sure = found.between.images or found.between.episodes
    return signed(found.value, 2) + (f" [{signed(sure.low, 2)}, {signed(sure.high, 2)}]" if sure else "")

"""Is one model better than another, and how sure is that?"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from fssbench.api.runs import Results, Run, classes_of, name_of, runs_of
from fssbench.base.errors import ResultError
from fssbench.results.evaluation import Evaluation
from fssbench.scoring.comparison import Comparison, Pair, p_of, say
from fssbench.scoring.comparison import compare as compare_pairs
from fssbench.scoring.uncertainty import Difference, holm

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ModelComparison", "SeveralCompared", "compare", "shots_of"]

FIGURES = {"mIoU": "miou", "FB-IoU": "fb_iou", "mean IoU of episodes": "episode_iou"}
ORDINALS = ("first", "second", "third")


@dataclass(frozen=True, kw_only=True)
class ModelComparison(Comparison):
    """`Comparison` of two models, with their names.

    Attributes:
        names: what the two are called; numbered if both have one name.
        policy: the scoring policy whose counts were compared.
        runs: fold, shot and seed of each track, in the order of ``tracks``.
        scores: the two models' own figures by name, in means over the tracks.
        truth_told: whether the results say on which masks and images they were measured, as those of old do not.
    """

    names: tuple[str, str]
    policy: str
    runs: tuple[Run, ...]
    scores: tuple[Mapping[str, float | None], Mapping[str, float | None]]
    truth_told: bool

    @property
    def overall(self) -> dict[str, Difference | None]:
        """The differences in means over the tracks, by the figure's name."""
        return {title: getattr(self, name) for title, name in FIGURES.items()}

    def to_pandas(self) -> pd.DataFrame:
        """A row a figure, track and class: ``difference`` in [−1, 1] with ``low``, ``high`` (95 %) and ``p``.

        They are about other images, and where that cannot be said, about other episodes. ``p`` of classes is
        corrected for all classes compared (Holm 1979).
        """
        import pandas as pd

        rows = [_row(difference, figure=name) for name, difference in self.overall.items()]
        if len(self.runs) > 1:
            for run, difference in zip(self.runs, self.tracks, strict=True):
                rows.append(_row(difference, figure="mIoU", **run._asdict()))
        for one in self.per_class:
            own = {"figure": "IoU", "fold": one.fold, "class": one.name}
            rows.append(_row(one.difference, **own) | {"p": one.p_corrected})
        columns = ["figure", "fold", "shot", "seed", "class", "difference", "low", "high", "p"]
        table = pd.DataFrame(rows, columns=columns)
        return table.astype(dict.fromkeys(("fold", "shot", "seed"), "Int64"))

    def __str__(self) -> str:
        doubt = "" if self.truth_told else " The results do not say whether both were on the same masks and images."
        return say(self, *self.names) + doubt

    def _repr_html_(self) -> str:
        """What a notebook shows: the sentence and the table."""
        table = self.to_pandas().to_html(index=False, na_rep="—", float_format="%.4f")
        return f"<p>{html.escape(str(self))}</p>{table}"


@dataclass(frozen=True, kw_only=True)
class SeveralCompared:
    """Every two of more than two models.

    Attributes:
        pairs: the comparisons; p-values in them are not corrected for the number of pairs.
        p_corrected: of the differences in mIoU, in the order of ``pairs``, corrected for their number (Holm 1979).
    """

    pairs: tuple[ModelComparison, ...]
    p_corrected: tuple[float | None, ...]

    @property
    def scores(self) -> dict[str, Mapping[str, float | None]]:
        """Every model's own figures, by its name and theirs."""
        return {name: own for pair in self.pairs for name, own in zip(pair.names, pair.scores, strict=True)}

    def to_pandas(self) -> pd.DataFrame:
        """A row a pair: ``first`` less ``second`` in mIoU, with ``low``, ``high`` (95 %) and the corrected ``p``."""
        import pandas as pd

        rows = [
            {"first": pair.names[0], "second": pair.names[1]} | _row(pair.miou) | {"p": p}
            for pair, p in zip(self.pairs, self.p_corrected, strict=True)
        ]
        return pd.DataFrame(rows, columns=["first", "second", "difference", "low", "high", "p"])

    def __str__(self) -> str:
        return "\n".join(
            say(_with_p(pair, p), *pair.names) for pair, p in zip(self.pairs, self.p_corrected, strict=True)
        )

    def _repr_html_(self) -> str:
        """What a notebook shows: the sentences and the table."""
        table = self.to_pandas().to_html(index=False, na_rep="—", float_format="%.4f")
        return f"<p>{html.escape(str(self))}</p>{table}"


@overload
def compare(a: Results, b: Results, *, policy: str | None = ..., shot: int | None = ...) -> ModelComparison: ...


@overload
def compare(
    a: Results, b: Results, c: Results, /, *more: Results, policy: str | None = ..., shot: int | None = ...
) -> SeveralCompared: ...


def compare(
    a: Results, b: Results, *more: Results, policy: str | None = None, shot: int | None = None
) -> ModelComparison | SeveralCompared:
    """Compare two models episode by episode, or every two of several.

    Args:
        a: a result, a list of results of one model (such as its folds), the path of a result, or a folder with one
            model's results.
        b: the same of another model, on the same episodes.
        more: the same of further models.
        policy: the scoring policy to look at; ``None`` for the results' headline.
        shot: the number of supports to look at; ``None`` if all results have one.

    Returns:
        The first model less the second: difference, interval and p-value, overall, by track and by class. Of more
        than two models every pair, with p-values corrected for their number.

    Raises:
        ResultError: a result is damaged, results are of several numbers of supports, or the models do not hold the
            same runs on the very same episodes, scored under one policy.
    """
    given = (a, b, *more)
    models = [_of_shot(runs_of(one), shot) for one in given]
    names = _names([next(iter(model.values())) for model in models])
    called = [_named(one, "the " + (ORDINALS[n] if n < len(ORDINALS) else f"{n + 1}th")) for n, one in enumerate(given)]
    pairs = tuple(
        _compared((models[i], models[j]), (called[i], called[j]), (names[i], names[j]), policy)
        for i, j in combinations(range(len(models)), 2)
    )
    if not more:
        return pairs[0]
    corrected = holm([p_of(pair.miou) if pair.miou else None for pair in pairs])
    return SeveralCompared(pairs=pairs, p_corrected=tuple(corrected))


def shots_of(results: Results) -> list[int]:
    """The numbers of supports of a model's results, ascending; errors as `runs_of`."""
    return sorted({run.shot for run in runs_of(results)})


def _of_shot(found: Mapping[Run, Evaluation], shot: int | None) -> dict[Run, Evaluation]:
    """The runs of one number of supports, since a mean over several is a figure of nothing."""
    shots = sorted({run.shot for run in found})
    if shot is None and len(shots) > 1:
        raise ResultError(
            f"{name_of(next(iter(found.values())))} and others have {' and '.join(map(str, shots))} supports an "
            "episode, and are not averaged",
            remedy=f"choose one with --shot, such as {shots[0]}",
        )
    chosen = {run: one for run, one in found.items() if shot is None or run.shot == shot}
    if not chosen:
        raise ResultError(f"there are no {shot}-shot results", remedy=f"there are {', '.join(map(str, shots))} shots")
    return chosen


def _compared(
    models: tuple[Mapping[Run, Evaluation], Mapping[Run, Evaluation]],
    called: tuple[str, str],
    names: tuple[str, str],
    policy: str | None,
) -> ModelComparison:
    first, second = models
    _require_same_runs(first, second, called)
    runs = sorted(first)
    headline = policy or first[runs[0]].record.headline
    pairs = [Pair(first=first[run].table, second=second[run].table, classes=classes_of(first[run])) for run in runs]
    found = compare_pairs(pairs, policy=headline)
    return ModelComparison(
        **{field.name: getattr(found, field.name) for field in fields(found)},
        names=names,
        policy=headline,
        runs=tuple(runs),
        scores=(_own(first.values(), headline), _own(second.values(), headline)),
        truth_told=all(first[run].record.episodes.truth_digest for run in runs),
    )


def _own(results: Iterable[Evaluation], policy: str) -> dict[str, float | None]:
    """A model's figures in means over its tracks; ``None`` where one of them is undefined."""
    found = [one for result in results for one in result.record.policies if one.policy == policy]
    means: dict[str, float | None] = {}
    for title, name in FIGURES.items():
        values = [getattr(one, name).value for one in found]
        means[title] = None if None in values else math.fsum(values) / len(values)
    return means


def _with_p(found: ModelComparison, p: float | None) -> ModelComparison:
    """With a corrected p-value in place of the one that `say` reads."""
    if found.miou is None or p is None:
        return found
    over_images = found.miou.between.images is not None
    return replace(found, miou=replace(found.miou, p_images=p) if over_images else replace(found.miou, p_episodes=p))


def _named(results: Results, otherwise: str) -> str:
    return str(results) if isinstance(results, str | Path) else otherwise


def _require_same_runs(
    first: Mapping[Run, Evaluation], second: Mapping[Run, Evaluation], named: tuple[str, str]
) -> None:
    """Refuse two models unless both have the same runs of one benchmark and protocol."""
    for run in (*sorted(first.keys() - second.keys()), *sorted(second.keys() - first.keys())):
        there, without = named if run in first else reversed(named)
        raise ResultError(f"{there} has {run}, and {without} does not", remedy="evaluate it, or compare single results")
    for run, ours in sorted(first.items()):
        for name in ("benchmark", "protocol", "protocol_version"):
            own, other = (getattr(one.record.episodes, name) for one in (ours, second[run]))
            if own != other:
                raise ResultError(
                    f"{name_of(ours)} is of {name.replace('_', ' ')} {own}, {name_of(second[run])} of {other}",
                    remedy="compare results of one benchmark and protocol",
                )


def _names(models: Sequence[Evaluation]) -> list[str]:
    """What to call models; numbered where several have one name."""
    names = [
        " ".join(filter(None, [Path(model.name).name, model.backbone, model.control]))
        for model in (one.record.model for one in models)
    ]
    return [f"{name} ({n})" if names.count(name) > 1 else name for n, name in enumerate(names, start=1)]


def _row(difference: Difference | None, **told: Any) -> dict[str, Any]:
    if difference is None:
        return told
    sure = difference.between.images or difference.between.episodes
    bounds = {"low": sure.low, "high": sure.high} if sure else {}
    return told | {"difference": difference.value, **bounds, "p": p_of(difference)}

"""Is one model better than another, and how sure is that?"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fssbench.api.runs import Results, Run, classes_of, name_of, runs_of
from fssbench.base.errors import ResultError
from fssbench.results.evaluation import Evaluation
from fssbench.scoring.comparison import Comparison, Pair, p_of, say
from fssbench.scoring.comparison import compare as compare_pairs
from fssbench.scoring.uncertainty import Difference

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ModelComparison", "compare"]


@dataclass(frozen=True, kw_only=True)
class ModelComparison(Comparison):
    """`Comparison` of two models, with their names.

    Attributes:
        names: what the two are called; numbered if both have one name.
        policy: the scoring policy whose counts were compared.
        runs: fold, shot and seed of each track, in the order of ``tracks``.
        truth_told: whether the results say on which masks and images they were measured, as those of old do not.
    """

    names: tuple[str, str]
    policy: str
    runs: tuple[Run, ...]
    truth_told: bool

    @property
    def overall(self) -> dict[str, Difference | None]:
        """The differences in means over the tracks, by the figure's name."""
        return {"mIoU": self.miou, "FB-IoU": self.fb_iou, "mean IoU of episodes": self.episode_iou}

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


def compare(a: Results, b: Results, *, policy: str | None = None) -> ModelComparison:
    """Compare two models episode by episode.

    Args:
        a: a result, a list of results of one model (such as its folds), the path of a result, or a folder with one
            model's results.
        b: the same of another model, on the same episodes.
        policy: the scoring policy to look at; ``None`` for the results' headline.

    Returns:
        The first model less the second: difference, interval and p-value, overall, by track and by class.

    Raises:
        ResultError: a result is damaged, or the two do not hold the same runs on the very same episodes, scored
            under one policy.
    """
    first, second = runs_of(a), runs_of(b)
    _require_same_runs(first, second, (_named(a, "the first"), _named(b, "the second")))
    runs = sorted(first)
    headline = policy or first[runs[0]].record.headline
    pairs = [Pair(first=first[run].table, second=second[run].table, classes=classes_of(first[run])) for run in runs]
    found = compare_pairs(pairs, policy=headline)
    return ModelComparison(
        **{field.name: getattr(found, field.name) for field in fields(found)},
        names=_names(first[runs[0]], second[runs[0]]),
        policy=headline,
        runs=tuple(runs),
        truth_told=all(first[run].record.episodes.truth_digest for run in runs),
    )


def _named(results: Results, otherwise: str) -> str:
    return str(results) if isinstance(results, str | Path) else otherwise


def _require_same_runs(
    first: Mapping[Run, Evaluation], second: Mapping[Run, Evaluation], named: tuple[str, str]
) -> None:
    """Refuse two models unless both have the same runs of one benchmark and protocol."""
    for run in (*sorted(first.keys() - second.keys()), *sorted(second.keys() - first.keys())):
        there, without = named if run in first else reversed(named)
        raise ResultError(f"{there} has {run}, and {without} has not", remedy="evaluate it, or compare single results")
    for run, ours in sorted(first.items()):
        for name in ("benchmark", "protocol", "protocol_version"):
            own, other = (getattr(one.record.episodes, name) for one in (ours, second[run]))
            if own != other:
                raise ResultError(
                    f"{name_of(ours)} is of {name.replace('_', ' ')} {own}, {name_of(second[run])} of {other}",
                    remedy="compare results of one benchmark and protocol",
                )


def _names(first: Evaluation, second: Evaluation) -> tuple[str, str]:
    a, b = (
        " ".join(filter(None, [Path(model.name).name, model.backbone, model.control]))
        for model in (first.record.model, second.record.model)
    )
    return (f"{a} (1)", f"{b} (2)") if a == b else (a, b)


def _row(difference: Difference | None, **told: Any) -> dict[str, Any]:
    if difference is None:
        return told
    sure = difference.between.images or difference.between.episodes
    bounds = {"low": sure.low, "high": sure.high} if sure else {}
    return told | {"difference": difference.value, **bounds, "p": p_of(difference)}

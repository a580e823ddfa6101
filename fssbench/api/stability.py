"""How much of a score is the luck of its episodes?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fssbench.api.runs import classes_of, name_of, runs_of
from fssbench.base.errors import ResultError, UsageError
from fssbench.results.evaluation import Evaluation
from fssbench.scoring.stability import Stability
from fssbench.scoring.stability import stability as compute

__all__ = ["ModelStability", "stability"]


@dataclass(frozen=True, kw_only=True)
class ModelStability:
    """What a model's results say about samples of episodes.

    Attributes:
        results: those that were averaged.
        policy: the scoring policy looked at.
        needed: episodes a track for each wished half-width of mIoU's interval, in points.
    """

    found: Stability
    results: tuple[Evaluation, ...]
    policy: str
    needed: dict[float, int | None]


def stability(
    results: Sequence[str | Path],
    *,
    policy: str | None = None,
    sizes: Sequence[int] = (1_000, 10_000),
    sample: int = 1_000,
    within: Sequence[float] = (0.25, 0.5, 1.0),
) -> ModelStability:
    """Say how far mIoU moves between samples of episodes, and how many episodes a wished interval needs.

    Args:
        results: of one model, or folders with them; their mIoU is averaged.
        policy: the scoring policy to look at; ``None`` for the results' headline.
        sizes: numbers of episodes a track to predict for.
        sample: episodes of the samples that a result is cut into.
        within: wished half-widths of the interval, in points.

    Raises:
        ResultError: results are damaged, may not be averaged, or were not scored under the policy.
        UsageError: a result is named twice, or a half-width is not above 0.
    """
    if within and min(within) <= 0:
        raise UsageError(f"--within must be more than 0 points, got {min(within)}")
    runs = [one for path in results for one in runs_of(path).values()]
    _require_one_kind(runs)
    headline = policy or runs[0].record.headline
    for run in runs:
        if headline not in run.table.policies:
            raise ResultError(f"{name_of(run)} was not scored under {headline}", remedy="pass a --policy all have")
    found = compute([(run.table, classes_of(run)) for run in runs], policy=headline, sizes=sizes, sample=sample)
    needed = {points: found.needed(points / 100) for points in within}
    return ModelStability(found=found, results=tuple(runs), policy=headline, needed=needed)


def _require_one_kind(runs: Sequence[Evaluation]) -> None:
    """Refuse results unless they are of one model, benchmark, protocol and shot, each named once."""

    def kind(run: Evaluation) -> tuple[object, ...]:
        model, episodes = run.record.model, run.record.episodes
        same = model.model_dump(mode="json", exclude={"checkpoint_sha256"})
        return same, episodes.benchmark, episodes.protocol, episodes.protocol_version, episodes.shot

    first = runs[0]
    for run in runs[1:]:
        if kind(run) != kind(first):
            raise ResultError(
                f"{name_of(run)} is of another model, benchmark, protocol or shot than {name_of(first)} "
                f"({first.record.model.name})",
                remedy="pass results that may be averaged: one model's folds and seeds",
            )
    if len({run.path.resolve() for run in runs}) < len(runs):
        raise UsageError("a result was named twice", remedy="name each once")
    seen: dict[tuple[int, int], Evaluation] = {}
    for run in runs:
        asked = run.record.episodes
        if (other := seen.setdefault((asked.fold, asked.seed), run)) is not run:
            unlike = other.record.episodes.identity.unlike(asked.identity)
            raise ResultError(
                f"{name_of(other)} and {name_of(run)} are both fold {asked.fold}, seed {asked.seed}"
                f"{f', of {unlike}' if unlike else ''}",
                remedy="pass one of them",
            )
        if (asked.truth_digest is None) != (first.record.episodes.truth_digest is None):
            raise ResultError(
                f"only one of {name_of(first)} and {name_of(run)} says on which masks and images it was measured",
                remedy="evaluate the other again with --overwrite",
            )

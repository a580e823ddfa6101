"""What a page shows of one model beyond its entry: all policies, what makes episodes hard, and examples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from fssbench.leaderboard.gathered import Gathered
from fssbench.leaderboard.scores import UNKNOWN, mean_score
from fssbench.pages.asked import by_class_count, by_sample
from fssbench.pages.charts import Chart, by_classes, by_size
from fssbench.pages.examples import Example, Examples
from fssbench.pages.lines import LineChart
from fssbench.schemas.leaderboard import Score
from fssbench.schemas.result import Result
from fssbench.scoring.uncertainty import Evidence

__all__ = ["PicturedExample", "PolicyRow", "View"]

FIGURES = ("miou", "fb_iou", "episode_iou")


@dataclass(frozen=True, kw_only=True)
class PolicyRow:
    """The overall figures under one scoring policy, in means over the runs; the headline's with intervals."""

    policy: str
    miou: Score
    fb_iou: Score
    episode_iou: Score


@dataclass(frozen=True, kw_only=True)
class PicturedExample:
    """An example and the fold it is of; its pictures as addresses that a page can use."""

    fold: int
    example: Example
    pictures: dict[str, str]


@dataclass(frozen=True, eq=False)
class View:
    """The results of one entry, by fold and seed, with their counts."""

    runs: tuple[Gathered, ...]

    @property
    def first(self) -> Result:
        """The first run's result, with which the others agree in all that is not theirs alone."""
        return self.runs[0].result

    @property
    def folds(self) -> tuple[int, ...]:
        """The folds at hand."""
        return tuple(dict.fromkeys(run.fold for run in self.runs))

    @cached_property
    def policies(self) -> tuple[PolicyRow, ...]:
        """The overall figures under every policy, the headline's first."""
        names = [policy.policy for policy in self.first.policies]
        return tuple(self._row(name) for name in sorted(names, key=lambda name: name != self.first.headline))

    def _row(self, policy: str) -> PolicyRow:
        found = [next(p for p in run.result.policies if p.policy == policy) for run in self.runs]
        sure = [UNKNOWN] * len(FIGURES)
        if policy == self.first.headline:
            sure = Evidence.mean([run.evidence for run in self.runs]).uncertainties()
        means = [mean_score([getattr(one, name) for one in found], s) for name, s in zip(FIGURES, sure, strict=True)]
        return PolicyRow(policy=policy, **dict(zip(FIGURES, means, strict=True)))

    @property
    def headline(self) -> PolicyRow:
        """The overall figures under the headline policy, over the folds at hand."""
        return self.policies[0]

    @cached_property
    def charts(self) -> tuple[Chart, ...]:
        """IoU against object size, and against classes in the image if the data says how many."""
        ious = np.concatenate([_episode_ious(run) for run in self.runs])
        there = ~np.isnan(ious)
        queries = [query for run in self.runs for query in run.table.queries]
        shares = np.array([query.object_pixels / query.image_pixels for query in queries])
        counts = [query.n_classes for query in queries]
        charts = (by_size(shares[there], ious[there]),)
        if any(n is None for n in counts):
            return charts
        return *charts, by_classes(np.array(counts, dtype=np.int64)[there], ious[there])

    @cached_property
    def lines(self) -> tuple[LineChart, ...]:
        """How much mIoU moves from sample to sample, and how many classes the query images show, by fold."""
        return tuple(filter(None, (by_sample(self.runs), by_class_count(self.runs))))

    def examples(self, address: Callable[[Gathered, str], str]) -> tuple[PicturedExample, ...]:
        """The examples beside the results, the worst first.

        Args:
            address: makes of a file in a run's folder of examples what a page can show.

        Raises:
            ResultError: their index is damaged.
        """
        kept = [(run, Examples.beside(run.path, run.result)) for run in self.runs]
        found = [(run, example) for run, one in kept if one for example in one.examples]
        order = ("worst", "median", "best")
        found.sort(key=lambda one: (order.index(one[1].choice), one[1].iou))
        return tuple(
            PicturedExample(
                fold=run.fold,
                example=example,
                pictures={name: address(run, file) for name, file in example.pictures.items()},
            )
            for run, example in found
        )


def _episode_ious(run: Gathered) -> npt.NDArray[np.float64]:
    """(N,) each episode's own IoU under the headline policy, NaN where undefined."""
    inter, union = run.table.under(run.result.headline)[:, :2].T
    with np.errstate(invalid="ignore"):
        ious: npt.NDArray[np.float64] = inter / union
    return ious

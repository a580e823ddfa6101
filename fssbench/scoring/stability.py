"""How far a score moves from one sample of episodes to the next, and how many episodes it takes to hold it still.

HDMNet (appendix B, figure 9) evaluates ten times with 1,000 and with 10,000 episodes and finds mIoU of COCO-20i to
differ by up to 6 points. The same is answered here twice, from one result: by what resampling its episodes within
class predicts for any number of them, and by its own consecutive samples of 1,000.

Of the strict protocol the prediction is an upper bound: its queries take turns, while resampled ones may repeat.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from fssbench.scoring.counts import CountsTable
from fssbench.scoring.estimates import Sample
from fssbench.scoring.metrics import score
from fssbench.scoring.uncertainty import Evidence

__all__ = ["Observed", "Predicted", "Stability", "observed", "stability"]

REPEATS = 10
"""Evaluations, as in HDMNet's figure 9."""
RANGE_OF_TEN = 3.078
"""Expected range of ten draws of a normal distribution, in standard deviations (Tippett 1925)."""
REACH = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """How mIoU moves between samples of so many episodes a track, of the same images; shares, not percent.

    Attributes:
        deviation: standard deviation from sample to sample.
        range_of_ten: expected difference between the best and the worst of ten samples.
    """

    episodes: int
    deviation: float
    range_of_ten: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """mIoU of consecutive samples of one result's own episodes."""

    episodes: int
    values: tuple[float, ...]

    @property
    def range(self) -> float:
        """Between the best and the worst."""
        return max(self.values) - min(self.values)


@dataclass(frozen=True, kw_only=True)
class Stability:
    """What one result, or the mean of several, says about samples of episodes.

    Attributes:
        episodes: a track, in the results looked at.
        predicted: by number of episodes; empty where nothing can be said.
        observed: of each track, where it can be cut into samples that have all classes; else ``None``.
        images: half the 95 % interval over other images, which no number of episodes makes smaller; or ``None``.
    """

    miou: float | None
    episodes: int
    predicted: tuple[Predicted, ...]
    observed: tuple[Observed | None, ...]
    images: float | None

    def needed(self, half_width: float) -> int | None:
        """Episodes a track for a 95 % interval over other episodes of ± ``half_width`` (a share of 1)."""
        if not self.predicted:
            return None
        now = self.predicted[0]
        return math.ceil(now.episodes * (REACH * now.deviation / half_width) ** 2)


def stability(
    tables: Sequence[tuple[CountsTable, Mapping[int, str]]], *, policy: str, sizes: Sequence[int], sample: int
) -> Stability:
    """How stable the mean mIoU of some tracks is, such as all folds of one model.

    Args:
        tables: each track's counts, with its fold's classes and names.
        policy: the scoring policy looked at.
        sizes: numbers of episodes to predict for.
        sample: episodes of an observed sample.
    """
    mean = Evidence.mean([_evidence(table, classes, policy) for table, classes in tables])
    miou, sure = float(mean.values[0]), mean.uncertainties()[0]
    n = min(len(table.track.episodes) for table, _ in tables)
    deviation = float(mean.resampled[:, 0].std(ddof=1)) if sure.episodes else None
    images = (sure.images.high - sure.images.low) / 2 if sure.images else None
    return Stability(
        miou=None if math.isnan(miou) else miou,
        episodes=n,
        predicted=() if deviation is None else tuple(_predicted(deviation, n, size) for size in sizes),
        observed=tuple(observed(table, classes, policy, sample) for table, classes in tables),
        images=images,
    )


def _evidence(table: CountsTable, classes: Mapping[int, str], policy: str) -> Evidence:
    (evidence,) = Evidence.of(Sample(table.track, classes=tuple(classes)), table.under(policy)[:, None])
    return evidence


def _predicted(deviation: float, n: int, size: int) -> Predicted:
    there = deviation * math.sqrt(n / size)
    return Predicted(episodes=size, deviation=there, range_of_ten=RANGE_OF_TEN * there)


def observed(table: CountsTable, classes: Mapping[int, str], policy: str, size: int) -> Observed | None:
    """mIoU of the track's first ``size`` episodes, of the next, and so on; ``None`` if one lacks a class."""
    counts, class_ids = table.under(policy), table.class_ids
    starts = range(0, len(counts) - size + 1, size)
    if len(starts) < 2:
        return None
    found = [
        score(class_ids[start : start + size], np.ascontiguousarray(counts[start : start + size]), classes=classes)
        for start in starts
    ]
    values = [one.miou.value for one in found]
    return Observed(episodes=size, values=tuple(v for v in values if v is not None)) if None not in values else None

"""How sure a score is: bootstrap intervals over episodes.

The question answered here is "what if other episodes had been drawn from the same images?": episodes
are resampled within their class, so every class keeps its number. It does not say what other images
would have given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["METHOD", "Interval", "Intervals", "episode_intervals"]

METHOD = "episodes resampled within class, 2,000 times, percentiles 2.5 and 97.5"
RESAMPLES = 2_000
LEVEL = 0.95
MIN_EPISODES = 10
"""With fewer episodes of a class, resampling says nothing about it, nor about a mean it is part of."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % interval of a figure in [0, 1]."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """Intervals of a fold's figures.

    ``None`` where the figure or one of its resamples is undefined, or a class has too few episodes.
    """

    per_class: dict[int, Interval | None]
    miou: Interval | None
    fb_iou: Interval | None


def episode_intervals(
    class_ids: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], *, classes: Sequence[int], digest: str
) -> Intervals:
    """Intervals for per-class IoU, mIoU and FB-IoU.

    Args:
        class_ids: (N,) the class of each episode.
        counts: (N, 5) as in `fssbench.metrics.score`.
        classes: all classes of the fold.
        digest: SHA-256 (hex) of the episodes; it seeds the resampling, so the same episodes and counts
            give the same interval. The generator is numpy's legacy one, whose stream is frozen.
    """
    random = np.random.RandomState(int(digest[:8], 16))
    totals = np.zeros((RESAMPLES, counts.shape[1]))
    per_class_iou, per_class = [], {}
    for class_id in classes:
        rows = counts[class_ids == class_id].astype(np.float64)
        n = max(len(rows), 1)
        # How often each episode is drawn decides everything; sums of counts stay exact in float64.
        times = random.multinomial(len(rows), np.full(n, 1 / n), size=RESAMPLES).astype(np.float64)
        summed = times @ rows if len(rows) else np.zeros((RESAMPLES, counts.shape[1]))
        totals += summed
        per_class_iou.append(_ratio(summed[:, 0], summed[:, 1]))
        per_class[class_id] = _interval(per_class_iou[-1]) if len(rows) >= MIN_EPISODES else None
    if any((class_ids == class_id).sum() < MIN_EPISODES for class_id in classes):
        return Intervals(per_class=per_class, miou=None, fb_iou=None)
    foreground, background = _ratio(totals[:, 0], totals[:, 1]), _ratio(totals[:, 2], totals[:, 3])
    return Intervals(
        per_class=per_class,
        miou=_interval(np.mean(per_class_iou, axis=0)),
        fb_iou=_interval((foreground + background) / 2),
    )


def _ratio(intersection: npt.NDArray[np.float64], union: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """IoU of each resample, NaN where it is undefined; NaN never leaves this module."""
    return np.divide(intersection, union, out=np.full_like(union, np.nan), where=union > 0)


def _interval(values: npt.NDArray[np.float64]) -> Interval | None:
    if np.isnan(values).any():
        return None
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(values, [tail, 100 - tail])
    return Interval(float(low), float(high))

"""How an evaluation goes, for the eye: where the score stands, and how fast episodes are answered."""

from __future__ import annotations

import time
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from fssbench.base.progress import Bar
from fssbench.engine.evaluate import Answer
from fssbench.scoring.counts import EpisodeCounts
from fssbench.scoring.metrics import mean_iou

__all__ = ["RunningScore"]


class RunningScore:
    """Moves a bar on with every answer, with mIoU over the classes seen so far behind it."""

    def __init__(self, bar: Bar) -> None:
        self.bar = bar
        self.sums: dict[int, tuple[int, int]] = {}
        self.start = time.perf_counter()
        self.n = 0

    def begin(self, kept: Iterable[tuple[int, EpisodeCounts]]) -> None:
        """Count in what an earlier run left, each with its class; the speed is of what is asked from now on."""
        there = list(kept)
        for class_id, scored in there:
            self._count(class_id, scored.counts)
        self.bar.begin(len(there))
        self.start = time.perf_counter()

    def add(self, answer: Answer) -> None:
        """Count an answer in."""
        self._count(answer.episode.class_id, answer.counts)
        self.n += 1
        miou = 100 * (mean_iou(self.sums.values()) or 0)
        speed = self.n / (time.perf_counter() - self.start)
        self.bar(1)
        classes = f"{len(self.sums)} class{'es' if len(self.sums) > 1 else ''}"
        self.bar.say(f"{speed:.1f}/s, mIoU {miou:.1f} ({classes})")

    def _count(self, class_id: int, counts: npt.NDArray[np.int64]) -> None:
        inter, union = counts[0, :2].tolist()
        before = self.sums.get(class_id, (0, 0))
        self.sums[class_id] = before[0] + inter, before[1] + union

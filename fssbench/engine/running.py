"""How an evaluation goes, for the eye: where the score stands, and how fast episodes are answered."""

from __future__ import annotations

import time

from fssbench.base.progress import Bar
from fssbench.engine.evaluate import Answer
from fssbench.scoring.metrics import mean_iou

__all__ = ["RunningScore"]


class RunningScore:
    """Moves a bar on with every answer, with mIoU over the classes seen so far behind it."""

    def __init__(self, bar: Bar) -> None:
        self.bar = bar
        self.sums: dict[int, tuple[int, int]] = {}
        self.start = time.perf_counter()
        self.n = 0

    def add(self, answer: Answer) -> None:
        """Count an answer in."""
        inter, union = answer.counts[0, :2].tolist()
        before = self.sums.get(answer.episode.class_id, (0, 0))
        self.sums[answer.episode.class_id] = before[0] + inter, before[1] + union
        self.n += 1
        miou = 100 * (mean_iou(self.sums.values()) or 0)
        speed = self.n / (time.perf_counter() - self.start)
        self.bar(1)
        self.bar.say(f"{speed:.1f}/s, mIoU {miou:.1f} over {len(self.sums)} classes")

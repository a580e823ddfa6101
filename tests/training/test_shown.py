"""What the eye is told of a training, begun anew or gone on with."""

from __future__ import annotations

import pytest

from fssbench.base.progress import SILENT, Bar
from fssbench.training.loop import Seen
from fssbench.training.recipe import Run
from fssbench.training.shown import ShownTraining


class Told(Bar):
    def __init__(self) -> None:
        self.steps: list[int] = []
        self.said = ""

    def __call__(self, n: int) -> None:
        self.steps.append(n)

    def begin(self, n: int) -> None:
        self.steps.append(n)

    def say(self, text: str) -> None:
        self.said = text


@pytest.mark.parametrize("done", [0, 30])
def test_the_bar_begins_at_the_steps_done_and_the_first_speed_is_one(done: int) -> None:
    bar = Told()
    shown = ShownTraining(bar, SILENT, Run(batch=4, epochs=1), None)
    shown.begin(done)
    for step in (done + 10, done + 20):
        shown.seen(Seen(step=step, epoch=0.5, loss=0.7, parts={}, miou=None, fb_iou=None, rate=0.1))
        assert bar.said.startswith("loss 0.700, ")
        assert float(bar.said.removeprefix("loss 0.700, ").removesuffix(" episodes/s").replace(",", "")) > 0
    assert bar.steps == [done, 10, 10]

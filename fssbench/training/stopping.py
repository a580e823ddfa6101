"""Why a run ends before its time: it is told to, or its validation no longer rises."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from fssbench.training.folder import Validated
from fssbench.training.recipe import Run

__all__ = ["StopRequest", "settled", "stop_requests", "stop_rule"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def settled(validated: Sequence[Validated], run: Run, *, per_epoch: int) -> bool:
    """Whether the last ``run.stop_interval`` epochs brought no validation better, by ``run.stop_gain``, than before.

    Better is what exceeds the last better one, so that many small gains count as soon as they add up. With a gain of
    0 this is the rule of HDMNet's and BAM's released code.
    """
    if not run.stop_interval or not validated:
        return False
    rose, reached = 0, -run.stop_gain  # as in the released code, an mIoU of 0 is not a rise
    for one in validated:
        if one.miou > reached + run.stop_gain:
            rose, reached = one.step, one.miou
    return validated[-1].step - rose >= run.stop_interval * per_epoch


def stop_rule(run: Run) -> str:
    """What `settled` looks for, in words."""
    gain = f" by {100 * run.stop_gain:g} points of mIoU" if run.stop_gain else ""
    return f"{run.stop_interval:,} epochs without a better validation{gain}"


class StopRequest:
    """The signal that asked to stop, or 0."""

    signal = 0


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Note Ctrl-C and SIGTERM while the block runs, instead of dying of them; a second one is not held back."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request  # only the main thread may say what signals do
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def note(number: int, frame: FrameType | None) -> None:
        request.signal = number
        for each, handler in before.items():
            signal.signal(each, handler)

    for number in SIGNALS:
        signal.signal(number, note)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

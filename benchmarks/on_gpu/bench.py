"""What a section is asked, how it tells its figures, and how it reads the time."""

from __future__ import annotations

import gc
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

from fssbench.pipelines.episode_sets.episode_set import EpisodeSet, set_path

__all__ = ["Bench", "failure"]

ROUNDS = 3
"""Of a timing, whose median is told."""

MOST_CALLS = 50


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A section's circumstances.

    Attributes:
        device: a torch device; of a GPU with its number.
        small: tiny pictures and models, for a look whether all of it runs.
        seconds: the section's budget; it is ended from outside when that and what others left over are spent.
        folder: where the data section draws.
    """

    device: str
    small: bool
    seconds: float
    folder: Path

    def begin(self) -> None:
        """Choose the device, and fail here if it cannot be used."""
        if self.small:
            torch.set_num_threads(1)  # more gain nothing where all is tiny
        if self.gpu:
            torch.cuda.set_device(self.device)
            torch.zeros(1, device=self.device).item()

    @property
    def gpu(self) -> bool:
        """Whether there is one; what only a GPU can do is left out without."""
        return self.device.startswith("cuda")

    @property
    def workers(self) -> int:
        """Decoding threads."""
        return min(16, os.cpu_count() or 1)

    @property
    def coco(self) -> EpisodeSet:
        """Fold 0 of COCO-20i over drawn pictures."""
        return EpisodeSet.open(set_path(self.folder / "sets", benchmark="coco-20i", protocol="strict", fold=0))

    def tell(self, what: str, value: float | str, unit: str = "", *, case: str = "") -> None:
        """A figure, at once: the last one of the same name and case is kept."""
        print(json.dumps({"what": what, "case": case, "value": value, "unit": unit}), flush=True)

    @contextmanager
    def attempt(self, what: str, case: str = "") -> Iterator[None]:
        """What fails within is told in place of a figure, and the section goes on."""
        try:
            yield
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            self.tell(what, failure(error), case=case)
        finally:
            self.tidy()

    def tidy(self) -> None:
        """Give back what nobody holds any more."""
        gc.collect()
        if self.gpu:
            torch.cuda.empty_cache()

    def wait(self) -> None:
        """Until the device has done all that it was asked."""
        if self.gpu:
            torch.cuda.synchronize(self.device)

    def time(self, ask: Callable[[], object]) -> float:
        """Seconds of a call by the device's own clock, from its first operation to its last."""
        if not self.gpu:
            start = time.perf_counter()
            ask()
            return time.perf_counter() - start
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        first.record()
        ask()
        last.record()
        last.synchronize()
        return float(first.elapsed_time(last)) / 1000

    def each(self, ask: Callable[[], object], *, seconds: float) -> float:
        """Seconds of one of many calls in a row: the median of `ROUNDS`, after two calls that are not counted."""
        self.time(ask)
        once = max(self.time(ask), 1e-6)
        if self.small:
            return once
        calls = max(1, min(MOST_CALLS, int(seconds / ROUNDS / once)))

        def many() -> None:
            for _ in range(calls):
                ask()

        return median(self.time(many) for _ in range(ROUNDS)) / calls


def failure(error: Exception) -> str:
    """What went wrong, in one line."""
    lines = str(error).strip().splitlines() or [""]
    return f"failed: {type(error).__name__}: {lines[0][:100]}"

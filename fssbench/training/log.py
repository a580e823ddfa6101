"""The course of a run: lines of JSON on disk, TensorBoard's files where that is installed, and what was asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

from fssbench.base.errors import first_line
from fssbench.base.files import storage_errors
from fssbench.base.progress import SILENT
from fssbench.base.trackers import Tracker, tensorboard
from fssbench.training.folder import TENSORBOARD, RunFolder, Validated
from fssbench.training.loop import Seen

__all__ = ["Log"]


class Log:
    """Writes down what training tells; see `fssbench.training.loop.Watcher`.

    Args:
        begin: makes the trackers that figures go to besides TensorBoard, when there is something to write.
        note: told when one fails.
    """

    def __init__(
        self,
        folder: RunFolder,
        begin: Callable[[], Sequence[Tracker]] = list,
        *,
        note: Callable[[str], None] = SILENT.note,
    ) -> None:
        self.folder, self.begin, self.note = folder, begin, note

    @cached_property
    def trackers(self) -> list[Tracker]:
        """Those that still take figures."""
        return [*tensorboard(self.folder.path / TENSORBOARD), *self.begin()]

    def seen(self, seen: Seen) -> None:
        """Note a few steps."""
        self._write(asdict(seen))
        losses = {"loss/training": seen.loss, **{f"loss/{k}": v for k, v in seen.parts.items()}}
        self._plot(seen.step, {"rate": seen.rate, **losses, "miou/training": seen.miou, "fb-iou/training": seen.fb_iou})

    def validated(self, found: Validated, best: bool) -> None:
        """Note a validation."""
        figures = {"validated": found.miou, "validated_fb_iou": found.fb_iou, "validated_loss": found.loss}
        self._write({"step": found.step, **figures, "best": best})
        told = {"miou/validation": found.miou, "fb-iou/validation": found.fb_iou, "loss/validation": found.loss}
        self._plot(found.step, told)

    def settled(self, step: int) -> None:
        """Note that the run ends here, since validation no longer rises."""
        self._write({"step": step, "settled": True})

    def close(self) -> None:
        """Let everything reach its place."""
        for tracker in self.__dict__.get("trackers", ()):
            tracker.close()

    def _plot(self, step: int, values: Mapping[str, float | None]) -> None:
        figures = {name: value for name, value in values.items() if value is not None}
        for tracker in tuple(self.trackers):
            try:
                tracker.log(figures, step=step)
            except Exception as error:  # a server that is gone ends no training
                self.trackers.remove(tracker)
                self.note(f"nothing more is logged to {type(tracker).__name__}: {first_line(error)}")

    def _write(self, line: dict[str, Any]) -> None:
        with storage_errors(self.folder.log), self.folder.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

"""The course of a run, on disk: lines of JSON, and TensorBoard's files where that is installed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from typing import Any

from fssbench.base.files import storage_errors
from fssbench.training.folder import TENSORBOARD, RunFolder, Validated
from fssbench.training.loop import Seen

__all__ = ["Log"]


class Log:
    """Writes down what training tells; see `fssbench.training.loop.Watcher`."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder

    @cached_property
    def board(self) -> Any:
        """TensorBoard's writer, or ``None`` without it; made when there is something to write."""
        try:
            from torch.utils.tensorboard.writer import SummaryWriter
        except ImportError:
            return None
        return SummaryWriter(str(self.folder.path / TENSORBOARD))

    def seen(self, seen: Seen) -> None:
        """Note a few steps."""
        self._write(asdict(seen))
        if self.board is not None:
            losses = {"loss/training": seen.loss, **{f"loss/{k}": v for k, v in seen.parts.items()}}
            ious = {"miou/training": seen.miou, "fb-iou/training": seen.fb_iou}
            self._plot(seen.step, {"rate": seen.rate, **losses, **ious})

    def validated(self, found: Validated, best: bool) -> None:
        """Note a validation."""
        figures = {"validated": found.miou, "validated_fb_iou": found.fb_iou, "validated_loss": found.loss}
        self._write({"step": found.step, **figures, "best": best})
        if self.board is not None:
            told = {"miou/validation": found.miou, "fb-iou/validation": found.fb_iou, "loss/validation": found.loss}
            self._plot(found.step, told)

    def settled(self, step: int) -> None:
        """Note that the run ends here, since validation no longer rises."""
        self._write({"step": step, "settled": True})

    def close(self) -> None:
        """Let everything reach the disk."""
        if self.__dict__.get("board") is not None:
            self.board.close()

    def _plot(self, step: int, values: Mapping[str, float | None]) -> None:
        for name, value in values.items():
            if value is not None:
                self.board.add_scalar(name, value, step)

    def _write(self, line: dict[str, Any]) -> None:
        with storage_errors(self.folder.log), self.folder.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

"""The course of a run, on disk: lines of JSON, and TensorBoard's files where that is installed."""

from __future__ import annotations

import json
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
            values = {"loss": seen.loss, "rate": seen.rate, **{f"loss/{k}": v for k, v in seen.parts.items()}}
            for name, value in {**values, **({} if seen.miou is None else {"miou/training": seen.miou})}.items():
                self.board.add_scalar(name, value, seen.step)

    def validated(self, found: Validated, best: bool) -> None:
        """Note a validation."""
        self._write({"step": found.step, "validated": found.miou, "best": best})
        if self.board is not None:
            self.board.add_scalar("miou/validation", found.miou, found.step)

    def close(self) -> None:
        """Let everything reach the disk."""
        if self.__dict__.get("board") is not None:
            self.board.close()

    def _write(self, line: dict[str, Any]) -> None:
        with storage_errors(self.folder.log), self.folder.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

"""Where things are looked up when no folder is named."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Home"]


@dataclass(frozen=True)
class Home:
    """The folder that holds raw data, episode sets, checkpoints and results."""

    path: Path

    @staticmethod
    def find() -> Home:
        """``$FSSBENCH_HOME``, or ``~/.cache/fssbench``."""
        return Home(Path(os.environ.get("FSSBENCH_HOME") or Path.home() / ".cache" / "fssbench"))

    def raw(self, alias: str) -> Path:
        """Raw data of a benchmark as published, by its alias."""
        return self.path / "raw" / alias

    def splits(self, protocol: str) -> Path:
        """Split files of a published protocol, by its name."""
        return self.path / "splits" / protocol

    @property
    def episodes(self) -> Path:
        """Episode sets."""
        return self.path / "episodes"

    @property
    def shards(self) -> Path:
        """Shards of sets that lie elsewhere."""
        return self.path / "shards"

    @property
    def checkpoints(self) -> Path:
        """Trained weights."""
        return self.path / "checkpoints"

    @property
    def results(self) -> Path:
        """Results of evaluations."""
        return self.path / "results"

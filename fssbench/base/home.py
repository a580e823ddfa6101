"""Where things are looked up when no folder is named."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Home", "home_in"]

AT_HOME = re.compile(r"((?:-\w|(?:--)?[\w-]+=)?(?:derive:)?)(~[\w.-]*(?:/.*)?)", re.DOTALL)
"""A path below ``~``, and what may stand before it in one word."""


@dataclass(frozen=True)
class Home:
    """The folder that holds raw data, episode sets, checkpoints and results."""

    path: Path

    @staticmethod
    def find() -> Home:
        """``$FSSBENCH_HOME``, or ``~/.cache/fssbench``."""
        named = os.environ.get("FSSBENCH_HOME")
        return Home(Path(home_in(named)) if named else Path.home() / ".cache" / "fssbench")

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


def home_in(word: str) -> str:
    """A word with the user's folder in place of ``~``, which shells leave as it is in ``--output=~/sets``."""
    found = AT_HOME.fullmatch(word)
    return word if found is None else found[1] + os.path.expanduser(found[2])  # noqa: PTH111 (no Path is made of text)

"""Where things are looked up when no folder is named."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from fssbench.base.errors import UsageError

__all__ = ["Home", "home_in", "output_flag"]

AT_HOME = re.compile(r"((?:-\w|(?:--)?[\w-]+=)?(?:derive:)?)(~[\w.-]*(?:/.*)?)", re.DOTALL)
"""A path below ``~``, and what may stand before it in one word."""


@dataclass(frozen=True)
class Home:
    """The folder that holds raw data, episode sets, checkpoints and results; ``None`` where nobody knows of one."""

    folder: Path | None

    @staticmethod
    def find() -> Home:
        """``$FSSBENCH_HOME``, or ``~/.cache/fssbench``; none for a user who has no folder, as in some containers."""
        if named := os.environ.get("FSSBENCH_HOME"):
            return Home(Path(home_in(named)))
        try:
            return Home(Path.home() / ".cache" / "fssbench")
        except RuntimeError:
            return Home(None)

    @property
    def is_known(self) -> bool:
        """Whether there can be anything in it."""
        return self.folder is not None

    @property
    def path(self) -> Path:
        """The folder itself; `UsageError` where nobody knows of one."""
        if self.folder is None:
            raise UsageError(
                "this user has no home folder, where places that are not named are looked up",
                remedy="set FSSBENCH_HOME to a folder, or name every place",
            )
        return self.folder

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


def output_flag(root: object) -> str:
    """What a ``prepare`` that is to build below ``root`` needs besides: nothing where that is its default."""
    home = Home.find()
    return "" if home.is_known and root == home.episodes else f" --output {root}"


def home_in(word: str) -> str:
    """A word with the user's folder in place of ``~``, which shells leave as it is in ``--output=~/sets``."""
    found = AT_HOME.fullmatch(word)
    return word if found is None else found[1] + os.path.expanduser(found[2])  # noqa: PTH111 (no Path is made of text)

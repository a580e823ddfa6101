"""Counts of an evaluation that is not finished: what an interrupted run leaves to the next."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import numpy as np
import numpy.typing as npt

from fssbench.files import storage_errors

__all__ = ["PartialCounts", "partial_counts"]


class PartialCounts:
    """Counts by episode index, each written to a file as it comes.

    Attributes:
        rows: (P, 5) int64 by episode index.
        resumed: how many of them an earlier run left.
    """

    def __init__(self, file: TextIO, rows: dict[int, npt.NDArray[np.int64]]) -> None:
        self._file = file
        self.rows = rows
        self.resumed = len(rows)

    def add(self, index: int, counts: npt.NDArray[np.int64]) -> None:
        """Keep the counts (P, 5) of an episode."""
        self.rows[index] = counts
        with storage_errors(Path(self._file.name)):
            self._file.write(json.dumps([index, counts.tolist()]) + "\n")
            self._file.flush()


@contextmanager
def partial_counts(path: Path, *, identity: str, fresh: bool = False) -> Iterator[PartialCounts]:
    """Open the file of unfinished counts; it is deleted when the block ends well, and kept when it does not.

    Args:
        path: the file: a line of identity, then a JSON line an episode.
        identity: whatever the counts depend on; a file of another identity is started anew.
        fresh: start anew in any case.
    """
    rows = {} if fresh else _read(path, identity)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    with file:
        # Written again from what was read, so that a line cut by the interruption does not stay.
        file.write(json.dumps(identity) + "\n")
        counts = PartialCounts(file, {})
        for index, row in rows.items():
            counts.add(index, row)
        counts.resumed = len(rows)
        yield counts
    path.unlink(missing_ok=True)


def _read(path: Path, identity: str) -> dict[int, npt.NDArray[np.int64]]:
    if not path.is_file():
        return {}
    head, *lines = path.read_text().split("\n")
    if head != json.dumps(identity):
        return {}
    rows = {}
    for line in lines[:-1]:  # the last piece is empty, or a line that was never finished
        try:
            index, counts = json.loads(line)
        except ValueError:
            break  # damaged from here on: what is not read is asked again
        rows[index] = np.array(counts, dtype=np.int64)
    return rows

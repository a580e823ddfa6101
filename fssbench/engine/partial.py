"""What an evaluation that was interrupted leaves to the next: its counts, and its masks if they are kept."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from zlib import crc32

import numpy as np

from fssbench.base.files import storage_errors, write_atomic
from fssbench.schemas.rle import Rle
from fssbench.schemas.samples import MaskSize, PredictionSample
from fssbench.scoring.counts import EpisodeCounts, QueryFacts

__all__ = ["ScoredEpisode", "Unfinished", "of_identity", "unfinished"]


class ScoredEpisode:
    """An episode that was asked: its counts, and its masks or none.

    Masks are held as they stand in the file: a track may have 100,000, and as text they take a fraction of the memory.
    """

    __slots__ = ("_masks", "scored")

    def __init__(self, scored: EpisodeCounts, masks: dict[MaskSize, Rle]) -> None:
        self.scored, self._masks = scored, json.dumps(masks).encode()

    @property
    def masks(self) -> dict[MaskSize, Rle]:
        """The masks by size."""
        found: dict[MaskSize, Rle] = json.loads(self._masks)
        return found

    @property
    def prediction(self) -> PredictionSample:
        """The masks as they are stored with a result."""
        return PredictionSample(index=self.scored.index, masks=self.masks)

    def to_line(self) -> bytes:
        """One line of JSON behind its own check sum."""
        scored, query = self.scored, self.scored.query
        facts = [query.object_pixels, query.image_pixels, query.n_classes]
        told = json.dumps([scored.index, scored.counts.tolist(), facts]).encode()[:-1] + b", %s]" % self._masks
        return b"%08x %s\n" % (crc32(told), told)

    @staticmethod
    def from_line(line: bytes) -> ScoredEpisode | None:
        """Read `to_line`; ``None`` if it was never finished, or has been damaged since."""
        checksum, _, told = line.partition(b" ")
        if checksum != b"%08x" % crc32(told):
            return None
        index, counts, (pixels, of, classes), masks = json.loads(told)
        query = QueryFacts(object_pixels=pixels, image_pixels=of, n_classes=classes)
        return ScoredEpisode(EpisodeCounts(index, np.array(counts, dtype=np.int64), query), masks)


class Unfinished:
    """Episodes by index, each written to a file as it comes, if there is one.

    Attributes:
        kept: the episodes asked so far.
        resumed: how many of them an earlier run left.
    """

    def __init__(self, kept: dict[int, ScoredEpisode], file: FileIO | None = None, path: Path = Path()) -> None:
        self._file, self._path = file, path
        self.kept = kept
        self.resumed = len(kept)

    def add(self, episode: ScoredEpisode) -> None:
        """Keep an episode."""
        self.kept[episode.scored.index] = episode
        if self._file is not None:
            _append(self._file, self._path, episode.to_line())


@contextmanager
def unfinished(path: Path, *, identity: str, fresh: bool = False, others: Sequence[Path] = ()) -> Iterator[Unfinished]:
    """Open the file of what was asked; it is deleted when the block ends well, and kept when it does not.

    What it holds is never written again: the file only grows, so that a disk that is full loses nothing of it.

    Args:
        path: the file: a line of identity, then a line an episode.
        identity: whatever the counts depend on; a file of another identity is started anew.
        fresh: start anew in any case.
        others: files that other processes left; what they hold is taken over, and they are deleted.
    """
    own = None if fresh else _read(path, identity)
    if own is None:
        write_atomic(path, _head(identity))
    kept = own or {}
    with _growing(path) as file:
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":  # what an interruption cut off stays behind as a line that nobody can read
            _append(file, path, b"\n")
        episodes = Unfinished(kept, file, path)
        for other in others:
            left = None if fresh else _read(other, identity)
            for index, episode in (left or {}).items():
                if index not in kept:
                    episodes.add(episode)
            other.unlink(missing_ok=True)
        episodes.resumed = len(kept)
        yield episodes
    path.unlink(missing_ok=True)


def of_identity(path: Path, identity: str) -> bool:
    """Whether a file that a run left is of this identity."""
    with path.open("rb") as file:
        return file.readline() == _head(identity)


def _head(identity: str) -> bytes:
    return json.dumps(identity).encode() + b"\n"


@contextmanager
def _growing(path: Path) -> Iterator[FileIO]:
    """The file opened to write behind its end, without a buffer: what is written is written."""
    with storage_errors(path):
        file = path.open("a+b", buffering=0)
    try:
        yield file
    finally:
        with storage_errors(path):
            file.close()


def _append(file: FileIO, path: Path, data: bytes) -> None:
    """Write all of it; the system may take it in pieces."""
    with storage_errors(path):
        while data:
            data = data[file.write(data) :]


def _read(path: Path, identity: str) -> dict[int, ScoredEpisode] | None:
    """What a file holds, but for lines that are damaged, which are asked again; ``None`` if it is another's."""
    if not path.is_file():
        return None
    with storage_errors(path), path.open("rb") as file:
        if file.readline() != _head(identity):
            return None
        found = (ScoredEpisode.from_line(line.rstrip(b"\n")) for line in file)
        return {episode.scored.index: episode for episode in found if episode is not None}

"""What an evaluation that was interrupted leaves to the next: its counts, and its masks if they are kept."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np

from fssbench.base.files import storage_errors
from fssbench.schemas.rle import Rle
from fssbench.schemas.samples import MaskSize, PredictionSample
from fssbench.scoring.counts import EpisodeCounts, QueryFacts

__all__ = ["ScoredEpisode", "Unfinished", "unfinished"]


@dataclass(frozen=True, eq=False)
class ScoredEpisode:
    """An episode that was asked: its counts, and its masks or none."""

    scored: EpisodeCounts
    masks: dict[MaskSize, Rle]

    @property
    def prediction(self) -> PredictionSample:
        """The masks as they are stored with a result."""
        return PredictionSample(index=self.scored.index, masks=self.masks)

    def to_line(self) -> str:
        """One line of JSON."""
        scored, query = self.scored, self.scored.query
        facts = [query.object_pixels, query.image_pixels, query.n_classes]
        return json.dumps([scored.index, scored.counts.tolist(), facts, self.masks]) + "\n"

    @staticmethod
    def from_line(line: str) -> ScoredEpisode:
        """Read `to_line`; `ValueError` if it was never finished."""
        index, counts, (pixels, of, classes), masks = json.loads(line)
        query = QueryFacts(object_pixels=pixels, image_pixels=of, n_classes=classes)
        return ScoredEpisode(EpisodeCounts(index, np.array(counts, dtype=np.int64), query), masks)


class Unfinished:
    """Episodes by index, each written to a file as it comes.

    Attributes:
        kept: the episodes asked so far.
        resumed: how many of them an earlier run left.
    """

    def __init__(self, file: TextIO, kept: dict[int, ScoredEpisode]) -> None:
        self._file = file
        self.kept = kept
        self.resumed = len(kept)

    def add(self, episode: ScoredEpisode) -> None:
        """Keep an episode."""
        self.kept[episode.scored.index] = episode
        with storage_errors(Path(self._file.name)):
            self._file.write(episode.to_line())
            self._file.flush()


@contextmanager
def unfinished(path: Path, *, identity: str, fresh: bool = False, others: Sequence[Path] = ()) -> Iterator[Unfinished]:
    """Open the file of what was asked; it is deleted when the block ends well, and kept when it does not.

    Args:
        path: the file: a line of identity, then a line an episode.
        identity: whatever the counts depend on; a file of another identity is started anew.
        fresh: start anew in any case.
        others: files that other processes left; what they hold is taken over, and they are deleted.
    """
    kept: dict[int, ScoredEpisode] = {}
    for left in () if fresh else (path, *others):
        kept |= _read(left, identity)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    with file:
        # Written again from what was read, so that a line cut by the interruption does not stay.
        file.write(json.dumps(identity) + "\n")
        episodes = Unfinished(file, {})
        for episode in kept.values():
            episodes.add(episode)
        episodes.resumed = len(kept)
        for other in others:
            other.unlink(missing_ok=True)
        yield episodes
    path.unlink(missing_ok=True)


def _read(path: Path, identity: str) -> dict[int, ScoredEpisode]:
    if not path.is_file():
        return {}
    head, *lines = path.read_text().split("\n")
    if head != json.dumps(identity):
        return {}
    kept = {}
    for line in lines[:-1]:  # the last piece is empty, or a line that was never finished
        try:
            episode = ScoredEpisode.from_line(line)
        except ValueError:
            break  # damaged from here on: what is not read is asked again
        kept[episode.scored.index] = episode
    return kept

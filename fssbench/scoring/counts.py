"""Counts of every episode under every scoring policy: the table that every figure is computed from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fssbench.base.errors import EpisodeIndexError
from fssbench.episodes.episodes import Track
from fssbench.episodes.identity import Identity
from fssbench.scoring.metrics import COUNT_FIELDS

__all__ = ["CountsTable", "EpisodeCounts", "QueryFacts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryFacts:
    """What a query image is, whoever segments it.

    Attributes:
        object_pixels: pixels of the class, at original size.
        image_pixels: all pixels, at original size.
        n_classes: classes of the benchmark that the image shows, of any fold; ``None`` if the data does not say.
    """

    object_pixels: int
    image_pixels: int
    n_classes: int | None


@dataclass(frozen=True, slots=True, eq=False)
class EpisodeCounts:
    """One scored episode.

    Attributes:
        index: its index in its track.
        counts: (P, 5) int64, a row a scoring policy, in the order of `fssbench.scoring.metrics.COUNT_FIELDS`.
        query: what its query image is.
    """

    index: int
    counts: npt.NDArray[np.int64]
    query: QueryFacts


@dataclass(frozen=True, eq=False)
class CountsTable:
    """All episodes of a track, scored.

    Attributes:
        track: the episodes; row i belongs to episode i.
        policies: names of the scoring policies.
        counts: (N, P, 5) int64 in the order of `fssbench.scoring.metrics.COUNT_FIELDS`.
        queries: what each query image is.
        truth_digest: of the masks and images that the episodes are of; ``None`` in tables of old.
    """

    track: Track
    policies: tuple[str, ...]
    counts: npt.NDArray[np.int64]
    queries: tuple[QueryFacts, ...]
    truth_digest: str | None = None

    @staticmethod
    def of(
        track: Track, policies: tuple[str, ...], rows: Iterable[EpisodeCounts], *, truth_digest: str | None = None
    ) -> CountsTable:
        """Put scored episodes, in whatever order and from whatever parts, into one table.

        Args:
            truth_digest: of the masks and images that the episodes are of.

        Raises:
            EpisodeIndexError: an episode is there twice, is missing, or is not one of the track's.
        """
        by_index: dict[int, EpisodeCounts] = {}
        for row in rows:
            if row.index in by_index:
                raise EpisodeIndexError(f"episode {row.index} is there twice", remedy="merge each part once")
            by_index[row.index] = row
        n = len(track.episodes)
        if missing := sorted(set(range(n)) - by_index.keys()):
            raise EpisodeIndexError(f"{len(missing)} of {n} episodes are missing, the first is {missing[0]}")
        if strange := sorted(by_index.keys() - set(range(n))):
            raise EpisodeIndexError(f"episode {strange[0]} is not among the {n} of the track")
        counts = np.zeros((n, len(policies), len(COUNT_FIELDS)), dtype=np.int64)
        for index, row in by_index.items():
            counts[index] = row.counts
        return CountsTable(track, policies, counts, tuple(by_index[index].query for index in range(n)), truth_digest)

    @property
    def identity(self) -> Identity:
        """What another table must agree in to be compared with this one."""
        return Identity(self.track.digest, self.truth_digest)

    @property
    def class_ids(self) -> npt.NDArray[np.int64]:
        """(N,) the class of each episode."""
        return np.array([episode.class_id for episode in self.track.episodes], dtype=np.int64)

    def under(self, policy: str) -> npt.NDArray[np.int64]:
        """(N, 5) counts under one policy."""
        return self.counts[:, self.policies.index(policy)]

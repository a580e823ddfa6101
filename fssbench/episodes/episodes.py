"""Episodes and tracks: what is asked of a model, as plain data with a digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from fssbench.base.errors import UsageError

__all__ = ["Episode", "Track", "pool_digest"]


@dataclass(frozen=True, slots=True)
class Episode:
    """One question: segment class ``class_id`` in ``query``, shown it in ``supports``.

    Image ids are the field's: ``2007_000033`` (VOC), 12 digits (COCO), ``abacus/1`` (FSS-1000).
    """

    class_id: int
    query: str
    supports: tuple[str, ...]

    @property
    def line(self) -> str:
        """The episode as its line in the track: class, query and supports, tab-separated."""
        return "\t".join((str(self.class_id), self.query, *self.supports))


@dataclass(frozen=True, kw_only=True)
class Track:
    """The ordered episodes of one fold for one number of shots and one seed."""

    benchmark: str
    protocol: str
    fold: int
    shot: int
    seed: int
    episodes: tuple[Episode, ...]

    def __post_init__(self) -> None:
        for index, episode in enumerate(self.episodes):
            if len(episode.supports) != self.shot:
                raise UsageError(f"episode {index} of a {self.shot}-shot track has {len(episode.supports)} supports")

    @property
    def name(self) -> str:
        """Shot and seed as they stand in file names: ``5shot-seed0``."""
        return f"{self.shot}shot-seed{self.seed}"

    @property
    def text(self) -> str:
        """One line an episode, in index order, each ended by a newline: what the digest is taken of."""
        return "".join(f"{episode.line}\n" for episode in self.episodes)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of `text` in UTF-8: two tracks are the same episodes if and only if it agrees."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def first(self, n: int) -> Track:
        """The track cut to its first ``n`` episodes; `UsageError` if it has fewer."""
        if not 1 <= n <= len(self.episodes):
            raise UsageError(
                f"{n} episodes were asked of a track of {len(self.episodes)} ({self.benchmark} fold "
                f"{self.fold}, {self.shot}-shot, seed {self.seed})",
                remedy=f"ask for 1 to {len(self.episodes)}, or prepare more with --episodes {n}",
            )
        return Track(
            benchmark=self.benchmark,
            protocol=self.protocol,
            fold=self.fold,
            shot=self.shot,
            seed=self.seed,
            episodes=self.episodes[:n],
        )


def pool_digest(image_ids: Iterable[str]) -> str:
    """SHA-256 (hex) of a class's eligible images: their sorted ids, one a line."""
    return hashlib.sha256("".join(f"{image_id}\n" for image_id in sorted(image_ids)).encode()).hexdigest()

"""An episode with its images decoded."""

from __future__ import annotations

from dataclasses import dataclass

from fssbench.pipelines.episode_sets.stream import Frame

__all__ = ["LoadedEpisode"]


@dataclass(frozen=True, slots=True, eq=False)
class LoadedEpisode:
    """One question with its images: segment the class in ``query``, shown it in ``supports``.

    Attributes:
        index: in its track.
        class_id: the benchmark's index of the class.
        class_name: what people call it.
        query: `Frame` with ``image`` (H, W, 3) uint8, ``mask`` (H, W) bool, ``ignore`` (H, W) bool or ``None``.
        supports: likewise, one for each shot.
    """

    index: int
    class_id: int
    class_name: str
    query: Frame
    supports: tuple[Frame, ...]

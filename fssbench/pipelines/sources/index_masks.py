"""Masks of class values, one an image: read when they are asked for, their pixels by value remembered."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from fssbench.base.errors import MaskFileError, SourceError
from fssbench.base.progress import Advance
from fssbench.pipelines.sources.files import shorten
from fssbench.pipelines.sources.mask_png import MaskValues

__all__ = ["IndexMasks"]

MANY = 3
"""From more values that mean nothing on, smoothed edges are as likely as classes that somebody forgot."""

SMOOTHED = "; if a resize smoothed their edges, resize masks to the nearest pixel"

Indices = npt.NDArray[np.uint8]


class IndexMasks:
    """The masks of a source.

    Args:
        read: a mask's values (H, W) by image id, and whether they are those of its palette's colours.
        where: the file or row of an image's mask, said in errors.
        meant: what the values may be.
    """

    def __init__(
        self,
        read: Callable[[str], tuple[Indices, bool]],
        *,
        where: Callable[[str], object],
        meant: MaskValues,
    ) -> None:
        self._read = read
        self.where = where
        self.meant = meant
        self._histograms: dict[str, npt.NDArray[np.int64]] = {}
        self._by_colour: set[str] = set()
        self.faulty: set[str] = set()

    def indices(self, image_id: str) -> Indices:
        """An image's mask (H, W) uint8; `MaskFileError` if it holds what means nothing."""
        indices, by_colour = self._read(image_id)
        histogram = np.bincount(indices.ravel(), minlength=256)
        if unknown := [str(v) for v in np.flatnonzero(histogram).tolist() if v not in self.meant.known]:
            raise MaskFileError(
                f"{self.where(image_id)} has pixels of value {shorten(unknown)}, {self.meant.expected}",
                kind="masks with values that mean nothing",
                remedy=self.meant.remedy + SMOOTHED * (len(unknown) > MANY),
            )
        if by_colour:
            self._by_colour.add(image_id)
        self._histograms[image_id] = histogram
        return indices

    def histogram(self, image_id: str) -> npt.NDArray[np.int64]:
        """The number of pixels of each value 0 … 255, remembered."""
        if image_id not in self._histograms:
            self.indices(image_id)
        return self._histograms[image_id]

    def faults(self, image_ids: Iterable[str], *, advance: Advance) -> list[SourceError]:
        """Everything that is wrong with the masks of some images, which show nothing from then on."""
        found = []
        for image_id in image_ids:
            try:
                self.histogram(image_id)
            except SourceError as error:
                found.append(error)
                self.faulty.add(image_id)
                self._histograms[image_id] = np.zeros(256, np.int64)
            advance(1)
        return found

    def remarks(self) -> tuple[str, ...]:
        """How masks were read that are not what they were once, of those read so far."""
        ids = sorted(self._by_colour)
        what = "masks read by the colours of their palettes, whose values were changed"
        return (f"{what}: {len(ids):,} ({shorten(ids)})",) if ids else ()

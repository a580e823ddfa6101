"""What every source offers to the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from fssbench.base.errors import SourceError
from fssbench.base.progress import Advance, no_progress
from fssbench.episodes.benchmarks import Benchmark
from fssbench.schemas.manifest import MaskPolicy, SourceRecord
from fssbench.schemas.rle import Rle

__all__ = ["LabelledSource", "MaskFiles", "Part", "Picture", "RawSample", "Source"]

Part = Literal["test", "training"]
"""Whether a source is read for the images that are tested, or for those that models learn from."""


@dataclass(frozen=True, kw_only=True)
class RawSample:
    """One (image, class) as the source has it.

    Attributes:
        jpeg: the image file's bytes, untouched; a PNG where the source has those.
        height: of the image as the masks mean it, in pixels.
        width: likewise.
        orientation: the EXIF orientation (1–8) to apply when decoding; 1 leaves the pixels as stored.
        mask: where the class is.
        ignore: which pixels are not scored, if any; disjoint from ``mask``.
        n_classes: how many classes of the benchmark the image shows, of any fold; ``None`` if the data
            looked for this one alone.
    """

    image_id: str
    class_id: int
    jpeg: bytes
    height: int
    width: int
    orientation: int
    mask: Rle
    ignore: Rle | None
    n_classes: int | None


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image file of a source, to be looked at.

    Attributes:
        part: ``test`` if episodes may be drawn from it, ``training`` if it only lies beside those.
        load: gives the file's bytes, or raises `SourceError`.
        formats: PIL's names of the formats it may have.
        size: gives height and width as its mask or annotation has them, ``None`` if it has none.
    """

    image_id: str
    part: Part
    load: Callable[[], bytes]
    size: Callable[[], tuple[int, int] | None]
    formats: tuple[str, ...] = ("JPEG",)


class Source(Protocol):
    """A data set on disk, read for one benchmark."""

    benchmark: Benchmark

    @property
    def mask_policy(self) -> MaskPolicy:
        """How the mask of a class is made."""
        ...

    @property
    def ignore_label(self) -> int | None:
        """The mask value of pixels that are not scored, if there may be any; usually the benchmark's."""
        ...

    def record(self) -> SourceRecord:
        """Where the data came from and the hash of what it says; cheap, reads no pixels."""
        ...

    def class_names(self) -> tuple[str, ...]:
        """One name per class index."""
        ...

    def pools(
        self, classes: Sequence[int], *, min_pixels: int, advance: Advance = no_progress
    ) -> dict[int, tuple[str, ...]]:
        """For each class the sorted ids of images that show it with at least ``min_pixels`` pixels."""
        ...

    def missing(self, image_ids: Sequence[str]) -> list[str]:
        """Those of ``image_ids`` whose image file is not there."""
        ...

    def read(self, image_id: str, class_id: int) -> RawSample:
        """One image and the mask of one class; `SourceError` if the file is damaged or does not fit."""
        ...

    def pictures(self) -> list[Picture]:
        """Every image file there is, also those that no episode uses, by id."""
        ...

    def unofficial(self) -> tuple[str, ...]:
        """Why results on this data are not the published benchmark's; empty if they are."""
        ...

    def notes(self) -> tuple[str, ...]:
        """What else is worth telling whoever prepares it, one line each."""
        ...


@runtime_checkable
class LabelledSource(Source, Protocol):
    """A source whose images may show several classes, so that one image of class indices can hold its masks."""

    def shown(self) -> Mapping[str, Sequence[int]]:
        """The classes of every image with a mask, by image id."""
        ...

    def mask(self, class_id: int, image_id: str) -> tuple[Rle, Rle | None]:
        """The mask of a class in an image that shows it, and the pixels beside it that are not scored."""
        ...


@runtime_checkable
class MaskFiles(Protocol):
    """A source whose masks are files, each of which may be no mask in a way of its own."""

    def mask_faults(self, *, advance: Advance = no_progress) -> list[SourceError]:
        """What is wrong with any mask. Those masks show nothing from then on, so that the others can be counted."""
        ...

"""Ready-made masks: folders of class-index PNGs, as they go round with few-shot code."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from fssbench.base.errors import SourceError
from fssbench.base.listing import list_files, list_folders
from fssbench.base.progress import Advance
from fssbench.pipelines.formats import masks
from fssbench.pipelines.sources import files
from fssbench.pipelines.sources.coco_annotations import Annotations
from fssbench.pipelines.sources.index_masks import IndexMasks
from fssbench.pipelines.sources.mask_png import MaskValues, read_indices
from fssbench.schemas.manifest import FileRecord, MaskPolicy
from fssbench.schemas.rle import Rle

__all__ = ["ReadyMasks", "index_masks"]

MASK_NAME = re.compile(r"(?:COCO_(?:train|val)2014_)?(\d{12})\.png", re.IGNORECASE)


class ReadyMasks:
    """Ready-made masks as they go round with few-shot code: one PNG of class indices for each image.

    A pixel of value class + 1 is the class (1 … 80 by ascending category id), 0 is background, 255 is not
    scored. Files are named as the image is, ``COCO_val2014_000000000042.png`` or ``000000000042.png``, and
    lie in the folder, in one named as the split is, in ``annotations/`` below it, or in any one below. Only images that
    the annotation file lists are used.
    """

    def __init__(self, folder: Path, annotations: Annotations, *, split: str) -> None:
        self.folder = folder
        self.annotations = annotations
        self.split = split
        self.policy = MaskPolicy(origin="ready-made", instances="as drawn", polygons="as drawn", crowds="as drawn")
        meant = MaskValues.of_classes(annotations.n_classes, ignore_label=files.IGNORED)
        self.values = IndexMasks(
            lambda image_id: read_indices(self.paths[image_id], meant),
            where=lambda image_id: self.paths[image_id],
            meant=meant,
        )
        if not folder.is_dir():
            raise SourceError(f"there is no folder {folder}", remedy="point --masks at the folder of mask PNGs")

    @property
    def ignore_label(self) -> int | None:
        """See `CocoMasks.ignore_label`."""
        return files.IGNORED

    @cached_property
    def paths(self) -> dict[str, Path]:
        """Mask files by image id; the split's own folder wins."""
        listed = set(self.annotations.image_ids)
        found = index_masks(self.folder, split=self.split)
        if not (used := {i: path for i, path in found.items() if i in listed}):
            raise SourceError(
                f"{self.folder} holds no mask of an image of {self.split}"
                + (f" (it has {len(found):,} of other images)" if found else ""),
                remedy=f"expected PNGs such as {self.split}/COCO_val2014_000000000042.png or 000000000042.png",
            )
        return used

    def areas(self, classes: Collection[int], *, advance: Advance) -> Iterator[tuple[int, str, int]]:
        """See `CocoMasks.areas`; every mask is read once, for all classes."""
        for image_id in sorted(self.paths):
            histogram = self.values.histogram(image_id)
            for class_id in classes:
                if histogram[class_id + 1]:
                    yield class_id, image_id, int(histogram[class_id + 1])
            advance(1)

    def read(self, class_id: int, image_id: str) -> tuple[Rle, Rle | None]:
        """See `CocoMasks.read`."""
        indices = self.values.indices(image_id)
        ignored = indices == files.IGNORED
        return masks.encode(indices == class_id + 1), masks.encode(ignored) if ignored.any() else None

    def n_classes(self, image_id: str) -> int:
        """See `CocoMasks.n_classes`."""
        return int(np.count_nonzero(self.values.histogram(image_id)[1 : files.IGNORED]))

    def files(self) -> tuple[FileRecord, ...]:
        """One `fingerprint` of all masks."""
        return (files.fingerprint("ready-made masks", self.paths),)

    def unofficial(self) -> tuple[str, ...]:
        """There is no official set of such masks."""
        return ("masks are ready-made, the benchmark's are drawn from the annotations", *self._unmasked)

    @cached_property
    def _unmasked(self) -> tuple[str, ...]:
        annotated = {image_id for _, image_id in self.annotations.instances}
        bare = sorted(annotated - self.paths.keys())
        return (f"annotated images without a ready-made mask, left out: {len(bare):,} ({files.shorten(bare)})",) * bool(
            bare
        )

    def notes(self) -> tuple[str, ...]:
        """Images that have annotations but no mask, and masks that were read otherwise than they are stored."""
        return (*self._unmasked, *self.values.remarks())


def index_masks(folder: Path, *, split: str) -> dict[str, Path]:
    """PNGs by the id of the image they are named after.

    Looks in the folder of the split, in that below ``annotations``, in the folder itself, and then in those
    up to two levels below it; the first to have an image wins. ``COCO_val2014_000000000042.png`` belongs to
    ``000000000042``.
    """
    own = [folder / split, folder / "annotations" / split, folder]
    first = list_folders(folder, error=SourceError) if folder.is_dir() else []
    below = sorted((*first, *(inner for path in first for inner in list_folders(path, error=SourceError))))
    found: dict[str, Path] = {}
    for place in dict.fromkeys([*own, *below]):
        if place.is_dir():
            for path in list_files(place, suffixes=(".png",), error=SourceError).files:
                match = MASK_NAME.fullmatch(path.name)
                found.setdefault(match[1] if match else path.stem, path)
    return found

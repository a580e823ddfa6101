"""Two ways to the mask of a class in a COCO image: drawn from its annotations, or read from ready-made PNGs."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from fssbench.errors import SourceError
from fssbench.pipelines import masks
from fssbench.pipelines.manifest import FileRecord, MaskPolicy
from fssbench.pipelines.masks import Rle
from fssbench.pipelines.sources import files
from fssbench.pipelines.sources.base import Advance
from fssbench.pipelines.sources.coco_annotations import Annotations, text_id

__all__ = ["IGNORED", "AnnotationMasks", "CocoMasks", "Crowds", "ReadyMasks", "index_masks"]

Crowds = Literal["exclude", "paint", "ignore"]

IGNORED = 255
"""The value that stands for pixels that are not scored."""

MASK_NAME = re.compile(r"(?:COCO_(?:train|val)2014_)?(\d{12})\.png", re.IGNORECASE)


class CocoMasks(Protocol):
    """Where the classes are in COCO's images, by one policy."""

    policy: MaskPolicy

    @property
    def ignore_label(self) -> int | None:
        """255 if there may be pixels that are not scored."""
        ...

    def areas(self, classes: Collection[int], *, advance: Advance) -> Iterator[tuple[int, str, int]]:
        """Class, image id and mask pixels of whatever shows one of ``classes``."""
        ...

    def read(self, class_id: int, image_id: str) -> tuple[Rle, Rle | None]:
        """The mask of a class in an image, and the pixels beside it that are not scored."""
        ...

    def n_classes(self, image_id: str) -> int:
        """How many classes the image shows."""
        ...

    def files(self) -> tuple[FileRecord, ...]:
        """What the masks come from, beside the annotation file."""
        ...

    def unofficial(self) -> tuple[str, ...]:
        """Why such masks are not the benchmark's; empty if they are."""
        ...

    def notes(self) -> tuple[str, ...]:
        """What else is worth telling, one line each."""
        ...


class AnnotationMasks:
    """The mask of a class is the union of its instances, every polygon drawn.

    Crowds, regions of many instances whose outlines nobody drew, are left out (``exclude``), part of the
    mask (``paint``), or not scored where no instance of the class lies (``ignore``).
    """

    def __init__(self, annotations: Annotations, *, crowds: Crowds = "exclude") -> None:
        self.annotations = annotations
        self.policy = MaskPolicy(crowds=crowds)
        self._masks: dict[tuple[int, str], Rle] = {}

    @property
    def ignore_label(self) -> int | None:
        """See `CocoMasks.ignore_label`."""
        return IGNORED if self.policy.crowds == "ignore" else None

    @cached_property
    def _pairs(self) -> list[tuple[int, str]]:
        """Every class and image with a mask, in the file's order."""
        painted = self.annotations.crowds if self.policy.crowds == "paint" else {}
        return list(dict.fromkeys([*self.annotations.instances, *painted]))

    @cached_property
    def _counts(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for _, image_id in self._pairs:
            counts[image_id] = counts.get(image_id, 0) + 1
        return counts

    def areas(self, classes: Collection[int], *, advance: Advance) -> Iterator[tuple[int, str, int]]:
        """See `CocoMasks.areas`; masks are rasterised, since COCO's ``area`` is that of the polygons."""
        for class_id, image_id in self._pairs:
            if class_id in classes:
                yield class_id, image_id, masks.area(self._mask(class_id, image_id))
                advance(1)

    def _mask(self, class_id: int, image_id: str) -> Rle:
        """The class's mask; kept, since an image's mask is asked for its size first and then for its shard."""
        key = (class_id, image_id)
        if key not in self._masks:
            parts = list(self.annotations.instances.get(key, ()))
            if self.policy.crowds == "paint":
                parts += self.annotations.crowds.get(key, ())
            self._masks[key] = masks.union([self.annotations.draw(part) for part in parts])
        return self._masks[key]

    def read(self, class_id: int, image_id: str) -> tuple[Rle, Rle | None]:
        """See `CocoMasks.read`."""
        mask = self._mask(class_id, image_id)
        crowds = self.annotations.crowds.get((class_id, image_id), ())
        if self.policy.crowds != "ignore" or not crowds:
            return mask, None
        left = masks.difference(masks.union([self.annotations.draw(crowd) for crowd in crowds]), mask)
        return mask, left if masks.area(left) else None

    def n_classes(self, image_id: str) -> int:
        """See `CocoMasks.n_classes`."""
        return self._counts[image_id]

    def files(self) -> tuple[FileRecord, ...]:
        """None: the annotation file says it all."""
        return ()

    def unofficial(self) -> tuple[str, ...]:
        """The benchmark leaves crowds out."""
        what = {"paint": "are part of the masks", "ignore": "are not scored"}.get(self.policy.crowds)
        return (f"crowd regions {what}, the benchmark leaves them out of the masks",) if what else ()

    def notes(self) -> tuple[str, ...]:
        """Nothing: what the annotations say is complete or refused."""
        return ()


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
        self._histograms: dict[str, npt.NDArray[np.int64]] = {}
        if not folder.is_dir():
            raise SourceError(f"there is no folder {folder}", remedy="point --masks at the folder of mask PNGs")

    @property
    def ignore_label(self) -> int | None:
        """See `CocoMasks.ignore_label`."""
        return IGNORED

    @cached_property
    def paths(self) -> dict[str, Path]:
        """Mask files by image id; the split's own folder wins."""
        listed = {text_id(image) for image in self.annotations.coco.imgs}
        found = index_masks(self.folder, split=self.split)
        if not (used := {i: path for i, path in found.items() if i in listed}):
            raise SourceError(
                f"{self.folder} holds no mask of an image of {self.split}"
                + (f" (it has {len(found):,} of other images)" if found else ""),
                remedy=f"expected PNGs such as {self.split}/COCO_val2014_000000000042.png or 000000000042.png",
            )
        return used

    def indices(self, image_id: str) -> npt.NDArray[np.uint8]:
        """An image's mask (H, W) uint8: 0, class + 1, or 255; `SourceError` if it holds anything else."""
        indices = files.read_indices(self.paths[image_id])
        self._histograms[image_id] = files.index_histogram(
            indices, n_classes=self.annotations.n_classes, ignore_label=IGNORED, where=str(self.paths[image_id])
        )
        return indices

    def _histogram(self, image_id: str) -> npt.NDArray[np.int64]:
        """The number of pixels of each value 0 … 255, remembered."""
        if image_id not in self._histograms:
            self.indices(image_id)
        return self._histograms[image_id]

    def areas(self, classes: Collection[int], *, advance: Advance) -> Iterator[tuple[int, str, int]]:
        """See `CocoMasks.areas`; every mask is read once, for all classes."""
        for image_id in sorted(self.paths):
            histogram = self._histogram(image_id)
            for class_id in classes:
                if histogram[class_id + 1]:
                    yield class_id, image_id, int(histogram[class_id + 1])
            advance(1)

    def read(self, class_id: int, image_id: str) -> tuple[Rle, Rle | None]:
        """See `CocoMasks.read`."""
        indices = self.indices(image_id)
        ignored = indices == IGNORED
        return masks.encode(indices == class_id + 1), masks.encode(ignored) if ignored.any() else None

    def n_classes(self, image_id: str) -> int:
        """See `CocoMasks.n_classes`."""
        return int(np.count_nonzero(self._histogram(image_id)[1:IGNORED]))

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
        """Images that have annotations but no mask."""
        return self._unmasked


def index_masks(folder: Path, *, split: str) -> dict[str, Path]:
    """PNGs by the id of the image they are named after.

    Looks in the folder of the split, in that below ``annotations``, in the folder itself, and then in those
    up to two levels below it; the first to have an image wins. ``COCO_val2014_000000000042.png`` belongs to
    ``000000000042``.
    """
    own = [folder / split, folder / "annotations" / split, folder]
    below = sorted(path for pattern in ("*", "*/*") for path in folder.glob(pattern) if path.is_dir())
    found: dict[str, Path] = {}
    for place in dict.fromkeys([*own, *below]):
        if place.is_dir():
            for entry in os.scandir(place):
                path = Path(entry.path)
                if path.suffix.lower() == ".png":
                    match = MASK_NAME.fullmatch(entry.name)
                    found.setdefault(match[1] if match else path.stem, path)
    return found

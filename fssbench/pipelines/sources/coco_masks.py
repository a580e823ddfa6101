"""The mask of a class in a COCO image: what every policy offers, and drawing it from the annotations."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cached_property
from typing import Literal, Protocol

from fssbench.base.progress import Advance
from fssbench.pipelines.formats import masks
from fssbench.pipelines.sources import files
from fssbench.pipelines.sources.coco_annotations import Annotations
from fssbench.schemas.manifest import FileRecord, MaskPolicy
from fssbench.schemas.rle import Rle

__all__ = ["AnnotationMasks", "CocoMasks", "Crowds"]

Crowds = Literal["exclude", "paint", "ignore"]


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
        return files.IGNORED if self.policy.crowds == "ignore" else None

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
                yield class_id, image_id, masks.drawn_area(self._mask(class_id, image_id))
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

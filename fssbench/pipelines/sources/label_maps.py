"""Label maps: masks of COCO as the published lists imply them, one class a pixel, painted with OpenCV."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import cache, cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from fssbench.base.errors import SourceError
from fssbench.base.progress import Advance
from fssbench.pipelines.formats import masks
from fssbench.pipelines.sources.coco_annotations import Annotations
from fssbench.pipelines.sources.coco_contents import Annotation
from fssbench.schemas.manifest import FileRecord, MaskPolicy
from fssbench.schemas.rle import Rle

__all__ = ["LabelMaps"]

FURTHEST = 1 << 15
"""Pixels from the origin at which a corner may lie; OpenCV's fixed-point coordinates end there."""
PROBE, PROBE_PIXELS = ((6, 16), (1, 6), (19, 13), (0, 4), (2, 13)), 57
"""A polygon and the pixels of it that OpenCV fills since 4.11; before, it filled 62."""


class LabelMaps:
    """One label map an image, and the mask of a class is what it says of that class.

    Annotations are painted by ascending id, later ones over earlier ones, so that a pixel is of one class at most.
    Every polygon is filled on its own by OpenCV's ``fillPoly``, which also paints the outline, at coordinates
    truncated to integers. Crowds are left out. Which images serve which class in the lists of HSNet, BAM and HDMNet
    follows from these maps; whether the publications' own maps equal them in every pixel is not known.
    """

    def __init__(self, annotations: Annotations) -> None:
        self.annotations = annotations
        self.policy = MaskPolicy(instances="painted over", polygons="truncated")
        self.ignore_label = None
        self._areas: dict[str, Mapping[int, int]] = {}

    @cached_property
    def _painted(self) -> Mapping[str, list[tuple[int, Annotation]]]:
        """The class index and annotation of what is painted in an image, in order, by image id."""
        found: dict[str, list[tuple[int, Annotation]]] = {}
        for (class_id, image_id), rows in self.annotations.instances.items():
            found.setdefault(image_id, []).extend((class_id, row) for row in rows)
        return {image_id: sorted(rows, key=lambda row: row[1]["id"]) for image_id, rows in found.items()}

    def paint(self, image_id: str) -> npt.NDArray[np.uint8]:
        """The label map (H, W) uint8 of an image: class index + 1, or 0 for background.

        Raises `SourceError` if an annotation cannot be painted.
        """
        cv2 = _opencv()
        labels = np.zeros(self.annotations.size(image_id), np.uint8)
        for class_id, annotation in self._painted.get(image_id, ()):
            if isinstance(annotation["segmentation"], list):
                for polygon in annotation["segmentation"]:
                    cv2.fillPoly(labels, [self._corners(polygon, image_id)], class_id + 1)
            else:
                labels[masks.decode(self.annotations.draw(annotation))] = class_id + 1
        return labels

    def _corners(self, polygon: object, image_id: str) -> npt.NDArray[np.int32]:
        """The corners (N, 2) of a polygon, truncated."""
        corners = np.array(polygon, dtype=np.float64).reshape(-1, 2)
        if not (np.abs(corners) < FURTHEST).all():
            raise SourceError(
                f"{self.annotations.path}: a polygon of image {image_id} reaches beyond {FURTHEST:,} pixels",
                remedy="make the image smaller, or pass --mask-rule union",
            )
        return corners.astype(np.int32)

    def _shown(self, image_id: str) -> Mapping[int, int]:
        """Pixels by class index, of the classes that an image shows; remembered."""
        if image_id not in self._areas:
            labels = self.paint(image_id)
            classes = sorted({class_id for class_id, _ in self._painted.get(image_id, ())})
            areas = {c: int(np.count_nonzero(labels == c + 1)) for c in classes}
            self._areas[image_id] = {c: area for c, area in areas.items() if area}
        return self._areas[image_id]

    def areas(self, classes: Collection[int], *, advance: Advance) -> Iterator[tuple[int, str, int]]:
        """See `CocoMasks.areas`; a map is painted once, for all classes."""
        for image_id, rows in self._painted.items():
            if any(class_id in classes for class_id, _ in rows):
                for class_id, area in self._shown(image_id).items():
                    if class_id in classes:
                        yield class_id, image_id, area
                advance(1)

    def read(self, class_id: int, image_id: str) -> tuple[Rle, Rle | None]:
        """See `CocoMasks.read`."""
        return masks.encode(self.paint(image_id) == class_id + 1), None

    def n_classes(self, image_id: str) -> int:
        """See `CocoMasks.n_classes`; what is painted over in whole does not count."""
        return len(self._shown(image_id))

    def files(self) -> tuple[FileRecord, ...]:
        """None: the annotation file says it all."""
        return ()

    def unofficial(self) -> tuple[str, ...]:
        """Nothing: which protocols have such masks is the protocols' to say."""
        return ()

    def notes(self) -> tuple[str, ...]:
        """Nothing: what the annotations say is complete or refused."""
        return ()


@cache
def _opencv() -> Any:
    """OpenCV; `SourceError` if it fills polygons otherwise than the versions whose masks are known."""
    import cv2  # a large library that only these masks need

    probe = np.zeros((20, 20), np.uint8)
    cv2.fillPoly(probe, [np.array(PROBE, np.int32)], 1)
    if (pixels := np.count_nonzero(probe)) != PROBE_PIXELS:
        raise SourceError(
            f"OpenCV {cv2.__version__} fills {pixels} pixels of a polygon of which 4.11 to 5.0 fill {PROBE_PIXELS}",
            remedy="install opencv-python-headless 5.0.0.93, so that masks are the same everywhere",
        )
    return cv2

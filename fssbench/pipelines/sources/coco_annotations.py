"""COCO's instance annotations: one JSON file, checked for what we rely on."""

from __future__ import annotations

import contextlib
import io
import json
from collections import defaultdict
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from pycocotools.coco import COCO

from fssbench.base.errors import SourceError
from fssbench.schemas.rle import Rle

__all__ = ["AS_PUBLISHED", "Annotation", "Annotations", "text_id"]

Annotation = dict[str, Any]
"""One entry of the file's ``annotations``."""

FIELDS = {
    "images": {"id", "height", "width"},
    "annotations": {"image_id", "category_id", "segmentation"},
    "categories": {"id", "name"},
}
AS_PUBLISHED = "use the annotation file as published"


class Annotations:
    """An annotation file; nothing is read before it is asked for.

    Attributes:
        path: such as ``annotations/instances_val2014.json``.
        n_classes: how many categories it must have.
    """

    def __init__(self, path: Path, *, n_classes: int) -> None:
        self.path = path
        self.n_classes = n_classes

    @cached_property
    def data(self) -> dict[str, list[Annotation]]:
        """The file's sections, each a list of objects with the fields we read; `SourceError` if they are not."""
        try:
            data = json.loads(self.path.read_bytes())
        except ValueError as error:
            raise SourceError(f"{self.path} is not JSON: {error}", remedy="download or unpack it again") from error
        for section, needed in FIELDS.items():
            rows = data.get(section) if isinstance(data, dict) else None
            if not isinstance(rows, list) or not all(isinstance(row, dict) and needed <= row.keys() for row in rows):
                raise SourceError(
                    f"{self.path} is no instance annotation file: '{section}' must be a list of objects with "
                    + ", ".join(sorted(needed)),
                    remedy="expected instances_val2014.json or instances_val2017.json as published",
                )
        assert isinstance(data, dict)
        return data

    @cached_property
    def coco(self) -> COCO:
        """pycocotools' index of the file; `SourceError` if its parts do not go together."""
        self._check()
        coco = COCO()
        coco.dataset = self.data
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools announces its steps there
            coco.createIndex()
        return coco

    def _check(self) -> None:
        if len(self.data["categories"]) != self.n_classes:
            raise SourceError(
                f"{self.path} has {len(self.data['categories'])} categories, expected {self.n_classes}",
                remedy=AS_PUBLISHED,
            )
        known = {row["id"] for row in self.data["images"]}
        categories = {row["id"] for row in self.data["categories"]}
        for row in self.data["annotations"]:
            if row["image_id"] not in known or row["category_id"] not in categories:
                raise SourceError(
                    f"{self.path}: annotation {row.get('id')} names image {row['image_id']} and category "
                    f"{row['category_id']}, one of which is not listed",
                    remedy=AS_PUBLISHED,
                )

    @cached_property
    def class_of(self) -> dict[int, int]:
        """Class index by category id: ascending ids, person = 0."""
        return {category: index for index, category in enumerate(sorted(self.coco.cats))}

    @property
    def class_names(self) -> tuple[str, ...]:
        """The categories' names by class index."""
        return tuple(str(self.coco.cats[category]["name"]) for category in self.class_of)

    def size(self, image_id: str) -> list[int]:
        """An image's height and width in pixels."""
        image = self.coco.imgs[int(image_id)]
        return [image["height"], image["width"]]

    @cached_property
    def instances(self) -> Mapping[tuple[int, str], list[Annotation]]:
        """Annotations that are not crowds, by class index and image id."""
        return self._by_pair(crowds=False)

    @cached_property
    def crowds(self) -> Mapping[tuple[int, str], list[Annotation]]:
        """Annotations of crowds (``iscrowd``), by class index and image id."""
        return self._by_pair(crowds=True)

    def _by_pair(self, *, crowds: bool) -> dict[tuple[int, str], list[Annotation]]:
        found = defaultdict(list)
        for annotation in self.coco.dataset["annotations"]:
            if bool(annotation.get("iscrowd")) == crowds:
                key = (self.class_of[annotation["category_id"]], text_id(annotation["image_id"]))
                found[key].append(annotation)
        return dict(found)

    def draw(self, annotation: Annotation) -> Rle:
        """The region of one annotation: all its polygons, or its run lengths.

        Raises `SourceError` if it cannot be drawn, or not at its image's size.
        """
        image_id = text_id(annotation["image_id"])
        try:
            drawn: Rle = self.coco.annToRLE(annotation)
        except Exception as error:  # pycocotools raises no less than that for a polygon of two corners
            raise SourceError(
                f"{self.path}: an annotation of image {image_id} cannot be drawn: {error}", remedy=AS_PUBLISHED
            ) from error
        if list(drawn["size"]) != self.size(image_id):
            raise SourceError(
                f"{self.path}: a mask of image {image_id} has size {list(drawn['size'])}, the image "
                f"{self.size(image_id)}",
                remedy=AS_PUBLISHED,
            )
        return drawn


def text_id(image_id: int) -> str:
    """An image's id as we write it: 12 digits."""
    return f"{int(image_id):012d}"

"""COCO's instance annotations: one JSON file, indexed by class and image."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from fssbench.base.errors import SourceError
from fssbench.pipelines.formats import regions
from fssbench.pipelines.formats.regions import Size
from fssbench.pipelines.sources import files
from fssbench.pipelines.sources.coco_contents import Annotation, Contents, read_contents, text_id
from fssbench.schemas.rle import Rle

__all__ = ["Annotations"]


class Annotations:
    """An annotation file; nothing is read before it is asked for.

    Attributes:
        path: such as ``annotations/instances_val2014.json``.
        n_classes: how many categories it must have.
        images_of_a_class: how many images must show a category for it to be a class.
    """

    def __init__(self, path: Path, *, n_classes: int, images_of_a_class: int = 0) -> None:
        self.path = path
        self.n_classes = n_classes
        self.images_of_a_class = images_of_a_class

    @cached_property
    def data(self) -> dict[str, list[Any]]:
        """The file's sections, each a list; `SourceError` if they are not."""
        raw = files.read_bytes(self.path)
        try:
            data = from_json(raw.decode(json.detect_encoding(raw)), cache_strings="keys")
        except ValueError as error:
            raise SourceError(f"{self.path} is not JSON: {error}", remedy="download or unpack it again") from error
        for section in ("images", "categories", "annotations"):
            if not isinstance(data, dict) or not isinstance(data.get(section), list):
                raise SourceError(
                    f"{self.path} is not an instance annotation file: '{section}' must be a list of objects",
                    remedy="expected an annotation file as published, such as instances_val2014.json",
                )
        return dict(data)

    @cached_property
    def contents(self) -> Contents:
        """The file's contents and all its faults; `SourceError` if it has no such sections."""
        return read_contents(self.data, n_classes=self.n_classes)

    @cached_property
    def sound(self) -> Contents:
        """The file's contents; `SourceError` naming its first fault, if it has any."""
        if faults := self.contents.faults:
            others = f"; fssbench doctor lists all {len(faults):,} such faults" * (len(faults) > 1)
            remedy = f"use the annotation file as published, or correct this in it{others}"
            raise SourceError(f"{self.path}: {faults[0]}", remedy=remedy)
        return self.contents

    @cached_property
    def class_of(self) -> dict[int, int]:
        """Class index by category id: ascending ids, person = 0."""
        categories = sorted(self.sound.names)
        if self.images_of_a_class:
            shown = {(row["category_id"], row["image_id"]) for row in self.sound.rows}
            images = Counter(category for category, _ in shown)
            categories = [category for category in categories if images[category] >= self.images_of_a_class]
        return {category: index for index, category in enumerate(categories)}

    @property
    def class_names(self) -> tuple[str, ...]:
        """The categories' names by class index."""
        return tuple(self.sound.names[category] for category in self.class_of)

    @property
    def image_ids(self) -> list[str]:
        """The ids of the images that are listed."""
        return [text_id(image) for image in self.sound.sizes]

    def size(self, image_id: str) -> Size:
        """An image's height and width in pixels."""
        return self._sizes[int(image_id)]

    @cached_property
    def _sizes(self) -> dict[int, Size]:
        return {image: size for image, size in self.sound.sizes.items() if size is not None}

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
        for annotation in self.sound.rows:
            class_id = self.class_of.get(annotation["category_id"])
            if class_id is not None and bool(annotation.get("iscrowd")) == crowds:
                found[class_id, text_id(annotation["image_id"])].append(annotation)
        return dict(found)

    def draw(self, annotation: Annotation) -> Rle:
        """The region of one annotation of `sound`: all its polygons, or its run lengths."""
        return regions.draw(annotation["segmentation"], self._sizes[annotation["image_id"]])

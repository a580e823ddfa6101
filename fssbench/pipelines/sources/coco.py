"""COCO's own format: an annotation file and folders of images, in the 2014 or the 2017 layout."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from pycocotools.coco import COCO

from fssbench.benchmarks import COCO_20I, Benchmark
from fssbench.errors import SourceError
from fssbench.files import sha256_file
from fssbench.pipelines import masks
from fssbench.pipelines.manifest import FileRecord, MaskPolicy, SourceRecord
from fssbench.pipelines.masks import Rle
from fssbench.pipelines.sources import files
from fssbench.pipelines.sources.base import Advance, RawSample, no_progress

__all__ = ["CocoSource"]

# COCO-20i tests on val2014. The 2017 layout's validation images are another, smaller set of images.
SPLITS = ("val2014", "val2017")
VAL2014_IMAGES = 40_504
IMAGE_FOLDERS = ("val2014", "val2017", "train2017", "train2014")
IMAGE_NAME = re.compile(r"(?:COCO_(?:train|val)2014_)?(\d{12})\.jpe?g", re.IGNORECASE)


class CocoSource:
    """COCO's validation images and instance annotations below one folder.

    Looks for ``annotations/instances_val2014.json``, then ``…_val2017.json`` (also directly in the
    folder), and for images in ``val2014``, ``val2017``, ``train2017`` and ``train2014`` (also below
    ``images/``), named ``COCO_val2014_000000000042.jpg`` or ``000000000042.jpg``.

    The mask of a class is the union of its instances; crowd regions are left out.
    """

    def __init__(self, folder: Path, *, benchmark: Benchmark = COCO_20I) -> None:
        self.benchmark = benchmark
        self.mask_policy = MaskPolicy()
        self.folder = folder
        if not folder.is_dir():
            raise SourceError(
                f"there is no folder {folder}",
                remedy="point --source at the folder that holds COCO's annotations/ and val2014/",
            )
        self.annotation_file, self.split = self._find_annotations()
        self._masks: dict[tuple[int, str], Rle] = {}

    def _find_annotations(self) -> tuple[Path, str]:
        for split in SPLITS:
            for folder in (self.folder / "annotations", self.folder):
                path = folder / f"instances_{split}.json"
                if path.is_file():
                    return path, split
        raise SourceError(
            f"{self.folder} holds neither annotations/instances_val2014.json nor …_val2017.json",
            remedy="point --source at the folder that holds COCO's annotations/ and val2014/",
        )

    @cached_property
    def _coco(self) -> COCO:
        """pycocotools' index of the annotation file, checked for what we rely on."""
        try:
            data = json.loads(self.annotation_file.read_bytes())
        except ValueError as error:
            raise SourceError(
                f"{self.annotation_file} is not JSON: {error}", remedy="download or unpack it again"
            ) from error
        self._check(data)
        coco = COCO()
        coco.dataset = data
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools announces its steps there
            coco.createIndex()
        return coco

    def _check(self, data: object) -> None:
        where = self.annotation_file
        fields = {
            "images": {"id", "height", "width"},
            "annotations": {"image_id", "category_id", "segmentation"},
            "categories": {"id", "name"},
        }
        for section, needed in fields.items():
            rows = data.get(section) if isinstance(data, dict) else None
            if not isinstance(rows, list) or not all(isinstance(row, dict) and needed <= row.keys() for row in rows):
                raise SourceError(
                    f"{where} is no instance annotation file: '{section}' must be a list of objects with "
                    + ", ".join(sorted(needed)),
                    remedy="expected instances_val2014.json or instances_val2017.json as published",
                )
        assert isinstance(data, dict)
        if len(data["categories"]) != self.benchmark.n_classes:
            raise SourceError(
                f"{where} has {len(data['categories'])} categories, expected {self.benchmark.n_classes}",
                remedy="use the annotation file as published",
            )
        known = {row["id"] for row in data["images"]}
        categories = {row["id"] for row in data["categories"]}
        for row in data["annotations"]:
            if row["image_id"] not in known or row["category_id"] not in categories:
                raise SourceError(
                    f"{where}: annotation {row.get('id')} names image {row['image_id']} and category "
                    f"{row['category_id']}, one of which is not listed",
                    remedy="use the annotation file as published",
                )

    @cached_property
    def _class_of(self) -> dict[int, int]:
        """Class index by category id: ascending ids, person = 0."""
        return {category: index for index, category in enumerate(sorted(self._coco.cats))}

    @cached_property
    def _instances(self) -> dict[tuple[int, str], list[dict[str, Any]]]:
        """Annotations that are not crowds, by class index and image id."""
        instances = defaultdict(list)
        for annotation in self._coco.dataset["annotations"]:
            if not annotation.get("iscrowd"):
                key = (self._class_of[annotation["category_id"]], _text_id(annotation["image_id"]))
                instances[key].append(annotation)
        return dict(instances)

    @cached_property
    def _classes_in(self) -> Counter[str]:
        """How many classes an image shows, by image id."""
        return Counter(image_id for _, image_id in self._instances)

    @cached_property
    def _files(self) -> dict[str, Path]:
        """Image files by id; a folder that stands earlier in the list wins."""
        found: dict[str, Path] = {}
        for name in IMAGE_FOLDERS:
            for folder in (self.folder / name, self.folder / "images" / name):
                if folder.is_dir():
                    for entry in os.scandir(folder):
                        if match := IMAGE_NAME.fullmatch(entry.name):
                            found.setdefault(match[1], Path(entry.path))
        return found

    def record(self) -> SourceRecord:
        """The annotation file and its hash."""
        path = self.annotation_file
        return SourceRecord(
            kind=self.benchmark.raw,
            layout=f"coco-{self.split[-4:]}",
            split=self.split,
            files=(FileRecord(name=path.name, sha256=sha256_file(path), bytes=path.stat().st_size),),
        )

    def class_names(self) -> tuple[str, ...]:
        """The categories' names by ascending category id."""
        return tuple(str(self._coco.cats[category]["name"]) for category in sorted(self._coco.cats))

    def unofficial(self) -> tuple[str, ...]:
        """COCO-20i is tested on all of val2014; anything else is said here."""
        if not self.benchmark.published:
            return (f"{self.benchmark.title} is drawn, not a published benchmark",)
        reasons = []
        if self.split != "val2014":
            reasons.append(f"images are those of {self.split}, the benchmark's are val2014")
        elif len(self._coco.imgs) != VAL2014_IMAGES:
            reasons.append(f"val2014 has {VAL2014_IMAGES:,} images, this annotation file {len(self._coco.imgs):,}")
        if self.class_names() != self.benchmark.class_names:
            reasons.append("category names are not COCO's")
        return tuple(reasons)

    def notes(self) -> tuple[str, ...]:
        """Nothing: what COCO's files say is complete or refused."""
        return ()

    def pools(
        self, classes: Sequence[int], *, min_pixels: int, advance: Advance = no_progress
    ) -> dict[int, tuple[str, ...]]:
        """See `Source.pools`; masks are rasterised, since COCO's ``area`` is that of the polygons."""
        pools: dict[int, list[str]] = {class_id: [] for class_id in classes}
        for class_id, image_id in self._instances:
            if class_id in pools:
                if masks.area(self._mask(class_id, image_id)) >= min_pixels:
                    pools[class_id].append(image_id)
                advance(1)
        return {class_id: tuple(sorted(ids)) for class_id, ids in pools.items()}

    def _mask(self, class_id: int, image_id: str) -> Rle:
        """The class's mask; kept, since an image's mask is asked for its size first and then for its shard."""
        if (class_id, image_id) not in self._masks:
            self._masks[class_id, image_id] = self._draw(class_id, image_id)
        return self._masks[class_id, image_id]

    def _draw(self, class_id: int, image_id: str) -> Rle:
        image = self._coco.imgs[int(image_id)]
        try:
            parts = [self._coco.annToRLE(annotation) for annotation in self._instances[class_id, image_id]]
        except (TypeError, ValueError, KeyError, IndexError) as error:
            raise SourceError(
                f"{self.annotation_file}: an annotation of image {image_id} cannot be drawn: {error}",
                remedy="use the annotation file as published",
            ) from error
        merged = masks.union(parts)
        if merged["size"] != [image["height"], image["width"]]:
            raise SourceError(
                f"{self.annotation_file}: a mask of image {image_id} has size {merged['size']}, the image "
                f"{[image['height'], image['width']]}",
                remedy="use the annotation file as published",
            )
        return merged

    def missing(self, image_ids: Sequence[str]) -> list[str]:
        """See `Source.missing`."""
        return [image_id for image_id in image_ids if image_id not in self._files]

    def read(self, image_id: str, class_id: int) -> RawSample:
        """See `Source.read`."""
        return files.read_sample(
            self._files[image_id],
            image_id=image_id,
            class_id=class_id,
            mask=self._mask(class_id, image_id),
            ignore=None,
            n_classes=self._classes_in[image_id],
        )


def _text_id(image_id: int) -> str:
    return f"{int(image_id):012d}"

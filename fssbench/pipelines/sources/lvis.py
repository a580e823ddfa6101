"""LVIS: COCO's images of 2017 with annotations of many more categories, of which not all are classes."""

from __future__ import annotations

from pathlib import Path

from fssbench.base.errors import SourceError
from fssbench.base.files import sha256_file
from fssbench.base.records import Record
from fssbench.episodes.benchmarks import Benchmark
from fssbench.pipelines.sources.base import Part
from fssbench.pipelines.sources.coco import IMAGE_FOLDERS, CocoSource
from fssbench.pipelines.sources.coco_annotations import Annotations
from fssbench.schemas.manifest import FileRecord, SourceRecord

__all__ = ["LvisSource"]


class LvisLayout(Record):
    """``layout`` of a data file, of annotations in COCO's format whose categories are not all classes."""

    annotations: str
    image_folders: tuple[str, ...]
    categories: int
    images: int
    images_of_a_class: int


class LvisSource(CocoSource):
    """LVIS's validation images. Classes are the categories that enough images show, by ascending id.

    Regions of an image that nobody searched for a category (``not_exhaustive_category_ids``) count as background, as
    in the published code.
    """

    def __init__(self, folder: Path, *, benchmark: Benchmark, part: Part = "test") -> None:
        assert benchmark.rules is not None
        self.rules = benchmark.rules
        self.layout = LvisLayout.model_validate(dict(self.rules.layout))
        self.image_folders = (*IMAGE_FOLDERS, *self.layout.image_folders)
        if part == "training":
            raise SourceError(
                f"{benchmark.title} has classes in its validation images alone, and no set to train on",
                remedy="train on another benchmark, such as coco",
            )
        super().__init__(folder, benchmark=benchmark)

    @property
    def _remedy(self) -> str:
        return self.rules.obtain

    def _find_annotations(self) -> tuple[Path, str]:
        name = self.layout.annotations
        for folder in (self.folder, self.folder / "annotations"):
            if (path := folder / name).is_file():
                return path, path.stem
        raise SourceError(f"{self.folder} holds neither {name} nor annotations/{name}", remedy=self._remedy)

    def _open_annotations(self) -> Annotations:
        return Annotations(
            self.annotation_file,
            n_classes=self.layout.categories,
            images_of_a_class=self.layout.images_of_a_class,
        )

    def record(self) -> SourceRecord:
        """The annotation file and its hash."""
        path = self.annotation_file
        known = FileRecord(name=path.name, sha256=sha256_file(path), bytes=path.stat().st_size)
        return SourceRecord(kind=self.benchmark.raw, layout=self.benchmark.name, split=self.split, files=(known,))

    def class_names(self) -> tuple[str, ...]:
        """The names of the classes; ``class 12`` for an index that no category has, and none beyond the last."""
        names, there = self.annotations.class_names, self.benchmark.n_classes
        return (*names[:there], *(f"class {index}" for index in range(len(names), there)))

    def unofficial(self) -> tuple[str, ...]:
        """What nobody has held against the published data; other images or classes than LVIS's."""
        reasons = [f"it is not verified {self.rules.unverified}"]
        if (found := len(self.annotations.image_ids)) != self.layout.images:
            reasons.append(f"LVIS validates on {self.layout.images:,} images, this annotation file has {found:,}")
        (found, wanted), folds = (
            (len(self.annotations.class_names), self.benchmark.n_classes),
            len(self.benchmark.folds),
        )
        if not wanted <= found < wanted + folds:  # a remainder is dealt into no fold
            many = f"{self.layout.images_of_a_class} or more images"
            reasons.append(f"{found:,} categories have {many}, the benchmark has {wanted} such")
        return tuple(reasons)

    def notes(self) -> tuple[str, ...]:
        """Where the rules are from, and what was left out."""
        return (f"classes, folds and files are those of {self.rules.source}", *super().notes())

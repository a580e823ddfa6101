"""COCO's own format: an annotation file and folders of images, in the 2014 or the 2017 layout."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path

from fssbench.base.errors import SourceError
from fssbench.base.files import sha256_file
from fssbench.base.listing import list_files, remark
from fssbench.base.progress import Advance, no_progress
from fssbench.episodes.benchmarks import COCO_20I, Benchmark
from fssbench.episodes.protocols import MaskRule
from fssbench.pipelines.sources import files
from fssbench.pipelines.sources.base import Part, Picture, RawSample
from fssbench.pipelines.sources.coco_annotations import Annotations
from fssbench.pipelines.sources.coco_contents import text_id
from fssbench.pipelines.sources.coco_masks import AnnotationMasks, CocoMasks, Crowds
from fssbench.pipelines.sources.label_maps import LabelMaps
from fssbench.pipelines.sources.ready_masks import ReadyMasks
from fssbench.schemas.manifest import FileRecord, MaskPolicy, SourceRecord
from fssbench.schemas.rle import Rle

__all__ = ["IMAGE_FOLDERS", "CocoSource"]

# COCO-20i tests on val2014 and trains on train2014. The 2017 layout's two parts are other images: most of val2014 is
# in train2017.
SPLITS: dict[Part, tuple[str, str]] = {"test": ("val2014", "val2017"), "training": ("train2014", "train2017")}
IMAGES = {"val2014": 40_504, "train2014": 82_783}
IMAGE_FOLDERS = ("val2014", "val2017", "train2017", "train2014", ".")
IMAGE_SUFFIXES = (".jpg", ".jpeg")
IMAGE_NAME = re.compile(r"(?:COCO_(?:train|val)2014_)?(\d{12})\.jpe?g", re.IGNORECASE)


class CocoSource:
    """COCO's validation images, or its training images, and instance annotations below one folder.

    Looks for ``annotations/instances_val2014.json``, then ``…_val2017.json`` (also directly in the
    folder), or for those of ``train``; and for images in ``val2014``, ``val2017``, ``train2017`` and
    ``train2014`` (also below ``images/``) and in the folder itself, named ``COCO_val2014_000000000042.jpg`` or
    ``000000000042.jpg``.

    Masks are drawn from the annotations by the ``mask_rule`` (`AnnotationMasks` or `LabelMaps`), or read from the
    folder ``masks`` (`ReadyMasks`).
    """

    image_folders: Sequence[str] = IMAGE_FOLDERS

    def __init__(
        self,
        folder: Path,
        *,
        benchmark: Benchmark = COCO_20I,
        mask_rule: MaskRule = "union",
        crowds: Crowds = "exclude",
        masks: Path | None = None,
        part: Part = "test",
    ) -> None:
        self.benchmark = benchmark
        self.folder = folder
        self.part: Part = part
        if not folder.is_dir():
            raise SourceError(f"there is no folder {folder}", remedy=self._remedy)
        self.annotation_file, self.split = self._find_annotations()
        self.annotations = self._open_annotations()
        self.masks: CocoMasks
        if masks is not None:
            self.masks = ReadyMasks(masks, self.annotations, split=self.split)
        elif mask_rule == "label-map":
            self.masks = LabelMaps(self.annotations)
        else:
            self.masks = AnnotationMasks(self.annotations, crowds=crowds)

    @property
    def mask_policy(self) -> MaskPolicy:
        """How masks are made."""
        return self.masks.policy

    @property
    def ignore_label(self) -> int | None:
        """See `Source.ignore_label`."""
        return self.masks.ignore_label

    @property
    def _remedy(self) -> str:
        return f"point --source at the folder that holds COCO's annotations/ and {SPLITS[self.part][0]}/"

    def _open_annotations(self) -> Annotations:
        return Annotations(self.annotation_file, n_classes=self.benchmark.n_classes)

    def _find_annotations(self) -> tuple[Path, str]:
        old, new = SPLITS[self.part]
        for split in (old, new):
            for folder in (self.folder / "annotations", self.folder):
                path = folder / f"instances_{split}.json"
                if path.is_file():
                    return path, split
        inner = sorted(file.parents[1] for one in (old, new) for file in self.folder.glob(f"*/*/instances_{one}.json"))
        raise SourceError(
            f"{self.folder} holds neither annotations/instances_{old}.json nor …_{new}.json",
            remedy=f"it is in {inner[0]}: name that as --source" if inner else self._remedy,
        )

    @cached_property
    def _found(self) -> tuple[dict[str, list[Path]], list[str]]:
        """Image files by id, in the order of the folders, and what was left out."""
        found: dict[str, list[Path]] = {}
        left_out: list[str] = []
        for name in self.image_folders:
            for folder in (self.folder / name, self.folder / "images" / name):
                if folder.is_dir():
                    listing = list_files(folder, suffixes=IMAGE_SUFFIXES, error=SourceError)
                    left_out += [f"{folder.relative_to(self.folder)}/{one}" for one in listing.left_out]
                    for path in listing.files:
                        if match := IMAGE_NAME.fullmatch(path.name):
                            found.setdefault(match[1], []).append(path)
        return found, left_out

    @cached_property
    def _files(self) -> dict[str, Path]:
        """Image files by id; a folder that stands earlier in the list wins."""
        return {image_id: paths[0] for image_id, paths in self._found[0].items()}

    @property
    def copies(self) -> list[str]:
        """Ids of images that lie in several folders."""
        return sorted(image_id for image_id, paths in self._found[0].items() if len(paths) > 1)

    def record(self) -> SourceRecord:
        """The annotation file and its hash, and that of ready-made masks."""
        path = self.annotation_file
        return SourceRecord(
            kind=self.benchmark.raw,
            layout=f"coco-{self.split[-4:]}",
            split=self.split,
            files=(
                FileRecord(name=path.name, sha256=sha256_file(path), bytes=path.stat().st_size),
                *self.masks.files(),
            ),
        )

    def class_names(self) -> tuple[str, ...]:
        """The categories' names by ascending category id."""
        return self.annotations.class_names

    def unofficial(self) -> tuple[str, ...]:
        """COCO-20i is tested on all of val2014 and trained on train2014, without crowds; what differs is said here."""
        if not self.benchmark.published:
            return (f"{self.benchmark.title} is drawn, not a published benchmark", *self.masks.unofficial())
        reasons, own = [], SPLITS[self.part][0]
        if self.split != own:
            reasons.append(f"images are those of {self.split}, the benchmark's are {own}")
        elif (found := len(self.annotations.image_ids)) != IMAGES[own]:
            reasons.append(f"{own} has {IMAGES[own]:,} images, this annotation file {found:,}")
        if self.class_names() != self.benchmark.class_names:
            reasons.append("category names are not COCO's")
        return (*reasons, *self.masks.unofficial())

    def notes(self) -> tuple[str, ...]:
        """What ready-made masks lack and what was left out; what COCO's own files say is complete or refused."""
        return (*self.masks.notes(), *remark(self._found[1]))

    def pools(
        self, classes: Sequence[int], *, min_pixels: int, advance: Advance = no_progress
    ) -> dict[int, tuple[str, ...]]:
        """See `Source.pools`."""
        pools: dict[int, list[str]] = {class_id: [] for class_id in classes}
        for class_id, image_id, area in self.masks.areas(set(classes), advance=advance):
            if area >= min_pixels:
                pools[class_id].append(image_id)
        return {class_id: tuple(sorted(ids)) for class_id, ids in pools.items()}

    def missing(self, image_ids: Sequence[str]) -> list[str]:
        """See `Source.missing`."""
        return [image_id for image_id in image_ids if image_id not in self._files]

    def pictures(self) -> list[Picture]:
        """See `Source.pictures`; what the annotation file of the test images does not list is training images."""
        listed = {text_id(image): size for image, size in self.annotations.contents.sizes.items()}
        return [
            Picture(
                image_id=image_id,
                part="test" if image_id in listed else "training",
                load=partial(files.read_bytes, path),
                size=partial(listed.get, image_id),
            )
            for image_id, path in sorted(self._files.items())
        ]

    def shown(self) -> Mapping[str, Sequence[int]]:
        """See `LabelledSource.shown`."""
        classes: dict[str, list[int]] = {}
        for class_id, image_id, _ in self.masks.areas(range(self.benchmark.n_classes), advance=no_progress):
            classes.setdefault(image_id, []).append(class_id)
        return classes

    def mask(self, class_id: int, image_id: str) -> tuple[Rle, Rle | None]:
        """See `LabelledSource.mask`."""
        return self.masks.read(class_id, image_id)

    def read(self, image_id: str, class_id: int) -> RawSample:
        """See `Source.read`."""
        mask, ignore = self.masks.read(class_id, image_id)
        return files.read_sample(
            self._files[image_id],
            image_id=image_id,
            class_id=class_id,
            mask=mask,
            ignore=ignore,
            n_classes=self.masks.n_classes(image_id),
        )

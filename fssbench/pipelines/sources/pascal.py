"""PASCAL-5i from VOC 2012 as published: a devkit folder, with SBD's masks as they come or merged."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path

from fssbench.base.errors import SourceError
from fssbench.base.listing import remark
from fssbench.base.progress import Advance, no_progress
from fssbench.episodes.benchmarks import PASCAL_5I, Benchmark
from fssbench.pipelines.formats import masks
from fssbench.pipelines.sources import files, voc_masks
from fssbench.pipelines.sources.base import Part, Picture, RawSample
from fssbench.pipelines.sources.index_masks import IndexMasks
from fssbench.pipelines.sources.mask_png import MaskValues
from fssbench.schemas.manifest import MaskPolicy, SourceRecord
from fssbench.schemas.rle import Rle

__all__ = ["PascalSource", "find_devkit"]

PLACES = (".", "VOC2012", "VOCdevkit/VOC2012")
IMAGE_SUFFIXES = (".jpg", ".jpeg")
IMAGE_LIST = "ImageSets/Segmentation/val.txt"
IMAGE_ID = re.compile(r"\d{4}_\d{6}")
BORDER = 255
"""VOC's value for the border around objects and for what cannot be told: not scored."""

VAL_IMAGES = 1_449
VAL_DIGEST = "cdc1326d12f69ce5153aa5da04a4d8783e146868d42d19f82f44e74b97ac907d"
"""`names_digest` of the validation list of VOC 2012's segmentation task."""

TRAINING_IMAGES = 10_582
TRAINING_DIGEST = "d1326bd532648d73bc4b1bd275434eba81930982dc7401a65a8cecb26c028e24"
"""`names_digest` of ``train_aug``: all images with a mask of VOC or SBD that are not in the validation list."""


class PascalSource:
    """VOC 2012's validation images and their masks of class indices.

    The folder is ``VOC2012``, ``VOCdevkit`` or what holds that. Images are those of
    ``ImageSets/Segmentation/val.txt``. The mask of an image is ``SegmentationClass/ID.png``, else
    ``SegmentationClassAug/ID.png``, else ``ID.mat`` of SBD, so that VOC's own win where there are both: only
    they have the border. Values, of a palette as stored (but see `decode_indices`), are 0 for background, 1 … 20 for
    class index + 1, and 255 for the border, which is kept as the region to ignore.

    Images to train on are all others that have a mask. `masks`, `areas` and `read` know every image with a mask,
    of whichever part.
    """

    def __init__(self, folder: Path, *, benchmark: Benchmark = PASCAL_5I, part: Part = "test") -> None:
        self.benchmark = benchmark
        self.mask_policy = MaskPolicy()
        self.ignore_label = benchmark.ignore_label
        self.source = folder
        self.folder = find_devkit(folder)
        self.list_file = self.folder / IMAGE_LIST
        self.part: Part = part
        self.tested = _read_list(self.list_file)
        meant = MaskValues.of_classes(benchmark.n_classes, ignore_label=BORDER)
        self.values = IndexMasks(
            lambda image_id: voc_masks.read_mask(self.masks[image_id], meant),
            where=lambda image_id: self.masks[image_id],
            meant=meant,
        )

    @cached_property
    def _found_masks(self) -> tuple[dict[str, dict[str, Path]], list[str]]:
        return voc_masks.find_masks(self.folder, self.source)

    @property
    def mask_folders(self) -> dict[str, dict[str, Path]]:
        """Mask files by folder and image id, the folders in the order in which they count."""
        return self._found_masks[0]

    @cached_property
    def _found_images(self) -> tuple[dict[str, Path], tuple[str, ...]]:
        return files.by_stem(self.folder / "JPEGImages", *IMAGE_SUFFIXES)

    @property
    def images(self) -> dict[str, Path]:
        """Image files by id, listed or not."""
        return self._found_images[0]

    @cached_property
    def masks(self) -> dict[str, Path]:
        """The mask file of every image that has one."""
        found: dict[str, Path] = {}
        for paths in self.mask_folders.values():
            for image_id, path in paths.items():
                found.setdefault(image_id, path)
        return found

    @cached_property
    def image_ids(self) -> tuple[str, ...]:
        """The images of the part that is read."""
        if self.part == "test":
            return self.tested
        if not (others := self.masks.keys() - set(self.tested)):
            raise SourceError(
                f"{self.folder} has no mask of an image that {self.list_file.name} does not list",
                remedy="unpack SBD beside JPEGImages, or the folder SegmentationClassAug of its masks and VOC's",
            )
        return tuple(sorted(others))

    @cached_property
    def _listed(self) -> dict[str, Path]:
        """The mask file of every image of the part."""
        if absent := [image_id for image_id in self.image_ids if image_id not in self.masks]:
            raise SourceError(
                f"{len(absent):,} of the {len(self.image_ids):,} images in {self.list_file} have no mask in "
                f"{', '.join(voc_masks.MASK_FOLDERS)} or SBD's cls: {files.shorten(absent)}{self._astray(absent)}",
                remedy="unpack the masks into the folder that holds JPEGImages",
            )
        return {image_id: self.masks[image_id] for image_id in self.image_ids}

    @cached_property
    def _record(self) -> SourceRecord:
        by_folder: dict[str, dict[str, Path]] = {}
        for image_id, mask in self._listed.items():
            folder = voc_masks.SBD if mask.suffix.lower() == ".mat" else mask.parent.name
            by_folder.setdefault(folder, {})[image_id] = mask
        return SourceRecord(
            kind=self.benchmark.raw,
            layout="voc-2012",
            split="val" if self.part == "test" else "all but val",
            files=(
                *(files.fingerprint(name, masks) for name, masks in sorted(by_folder.items())),
                files.record_file(self.list_file),
            ),
        )

    def record(self) -> SourceRecord:
        """The masks of the listed images, one `fingerprint` a folder, and the list's hash."""
        return self._record

    def class_names(self) -> tuple[str, ...]:
        """VOC's names, aeroplane first."""
        names = self.benchmark.class_names
        assert names is not None
        return names

    def unofficial(self) -> tuple[str, ...]:
        """PASCAL-5i is tested on all of VOC 2012's validation images with VOC's own masks, trained on all others."""
        reasons = []
        if self.part == "training":
            if files.names_digest(self.image_ids) != TRAINING_DIGEST:
                found = len(self.image_ids)
                reasons.append(f"masks are of {found:,} images to train on, VOC and SBD have {TRAINING_IMAGES:,}")
            return tuple(reasons)
        if len(self.image_ids) != VAL_IMAGES:
            reasons.append(f"val.txt lists {len(self.image_ids):,} images, VOC 2012's has {VAL_IMAGES:,}")
        elif files.names_digest(self.image_ids) != VAL_DIGEST:
            reasons.append("val.txt lists other images than VOC 2012's validation list")
        # Every validation mask of VOC has a border; those of SBD, drawn anew, have none.
        if bare := [image_id for image_id in self._listed if not self._has_border(image_id)]:
            shown = files.shorten(bare)
            reasons.append(f"masks without VOC's border of {BORDER}, so not VOC's own: {len(bare):,} ({shown})")
        return tuple(reasons)

    def notes(self) -> tuple[str, ...]:
        """What was left out, and which masks were read otherwise than they are stored."""
        return (*remark((*self._found_masks[1], *self._found_images[1])), *self.values.remarks())

    def _astray(self, absent: Sequence[str]) -> str:
        """What lies where the mask of an image is looked for, and is none."""
        for name in voc_masks.MASK_FOLDERS:
            others = files.by_stem(self.folder / name, ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")[0]
            if here := [image_id for image_id in absent if image_id in others]:
                return f"; {others[here[0]]} is not a PNG"
        return ""

    def mask_faults(self, *, advance: Advance = no_progress) -> list[SourceError]:
        """See `MaskFiles.mask_faults`."""
        return self.values.faults(self._listed, advance=advance)

    def pools(
        self, classes: Sequence[int], *, min_pixels: int, advance: Advance = no_progress
    ) -> dict[int, tuple[str, ...]]:
        """See `Source.pools`; every mask is read once, for all classes."""
        return files.pools(self._listed, self.areas, classes=classes, min_pixels=min_pixels, advance=advance)

    def areas(self, image_id: str) -> dict[int, int]:
        """Mask pixels by class index, of the classes that an image shows; it must be one of `masks`."""
        return files.areas(self.values.histogram(image_id), n_classes=self.benchmark.n_classes)

    def missing(self, image_ids: Sequence[str]) -> list[str]:
        """See `Source.missing`."""
        return [image_id for image_id in image_ids if image_id not in self.images]

    def pictures(self) -> list[Picture]:
        """See `Source.pictures`; listed images are tested, others with a mask are training images."""
        listed = set(self.tested)
        return [
            Picture(
                image_id=image_id,
                part="test" if image_id in listed else "training",
                load=partial(files.read_bytes, self._image(image_id)),
                size=partial(self._size, image_id),
            )
            for image_id in sorted(listed | self.masks.keys())
            if image_id in self.images
        ]

    def _size(self, image_id: str) -> tuple[int, int] | None:
        if image_id not in self.masks or image_id in self.values.faulty:
            return None
        height, width = self.values.indices(image_id).shape
        return height, width

    def shown(self) -> Mapping[str, Sequence[int]]:
        """See `LabelledSource.shown`; of the images of the part."""
        return {image_id: tuple(self.areas(image_id)) for image_id in self._listed}

    def mask(self, class_id: int, image_id: str) -> tuple[Rle, Rle | None]:
        """See `LabelledSource.mask`."""
        indices = self.values.indices(image_id)
        ignore = masks.encode(indices == BORDER) if self._has_border(image_id) else None
        return masks.encode(indices == class_id + 1), ignore

    def read(self, image_id: str, class_id: int) -> RawSample:
        """See `Source.read`."""
        mask, ignore = self.mask(class_id, image_id)
        return files.read_sample(
            self._image(image_id),
            image_id=image_id,
            class_id=class_id,
            mask=mask,
            ignore=ignore,
            n_classes=len(self.areas(image_id)),
        )

    def _image(self, image_id: str) -> Path:
        return self.images.get(image_id, self.folder / "JPEGImages" / f"{image_id}.jpg")

    def _has_border(self, image_id: str) -> bool:
        return image_id in self.values.faulty or bool(self.values.histogram(image_id)[BORDER])


def find_devkit(folder: Path) -> Path:
    """The folder with JPEGImages, which is ``folder`` or below it."""
    for place in PLACES:
        if (folder / place / "JPEGImages").is_dir():
            return folder / place
    raise SourceError(
        f"{folder} holds no JPEGImages, nor do VOC2012 and VOCdevkit/VOC2012 in it"
        if folder.is_dir()
        else f"there is no folder {folder}",
        remedy="point --source at VOC 2012's devkit folder, the one that holds JPEGImages and ImageSets",
    )


def _read_list(path: Path) -> tuple[str, ...]:
    if not path.is_file():
        raise SourceError(f"there is no {path}", remedy="unpack VOC 2012's ImageSets beside JPEGImages")
    ids = files.read_names(path)
    for image_id in ids:
        if not IMAGE_ID.fullmatch(image_id):
            raise SourceError(
                f"{path} has the line '{image_id}', expected an image id such as 2007_000033",
                remedy=f"use VOC 2012's own {IMAGE_LIST}",
            )
    return ids

"""Any tree of images and masks of class values, made a benchmark of its own by its ``benchmark.toml``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fssbench.base.errors import SourceError
from fssbench.base.progress import Advance, no_progress
from fssbench.pipelines.formats import images, masks
from fssbench.pipelines.sources import files
from fssbench.pipelines.sources.base import Part, Picture, RawSample
from fssbench.pipelines.sources.description import DESCRIPTION, read_description
from fssbench.schemas.manifest import MaskPolicy, SourceRecord

__all__ = ["FolderSource"]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


class FolderSource:
    """``images/A.jpg`` with ``masks/A.png``, and so on at any depth; an image's id is its path without suffix.

    Images are JPEG or PNG. Masks are palette or grey PNGs; which value is which class, background or not
    scored stands in ``benchmark.toml`` (see `Description`), and any other value is refused. Images to train on
    are those of its list ``train``; without one, all with a mask that are not in its list ``test``.
    """

    def __init__(self, folder: Path, *, part: Part = "test") -> None:
        self.folder = folder
        self.part: Part = part
        self.description = read_description(folder)
        self.benchmark = self.description.benchmark
        self.mask_policy = MaskPolicy()
        self.ignore_label = self.description.ignore_label
        self.images = _by_id(folder / self.description.images, IMAGE_SUFFIXES)
        self.masks = _by_id(folder / self.description.masks, (".png",))
        self._lists = {name: folder / name for name in (self.description.test, self.description.train) if name}
        self.training = self._read_list(self.description.train)
        self.tested = self._choose()
        self.image_ids = self.tested if part == "test" else self._choose_training()
        self._histograms: dict[str, npt.NDArray[np.int64]] = {}

    def _read_list(self, name: str | None) -> tuple[str, ...]:
        if name is None:
            return ()
        ids = files.read_names(self._lists[name])
        return tuple(i.rpartition(".")[0] if i.lower().endswith(IMAGE_SUFFIXES) else i for i in ids)

    def _choose(self) -> tuple[str, ...]:
        """The images episodes are drawn from: those listed, or all with a mask that are not for training."""
        if self.description.test is None:
            return tuple(sorted(self.masks.keys() & self.images.keys() - set(self.training)))
        listed = self._read_list(self.description.test)
        if both := sorted(set(listed) & set(self.training)):
            raise SourceError(
                f"{self.description.test} and {self.description.train} both list {files.shorten(both)}",
                remedy="an image is either tested or trained on",
            )
        if absent := [i for i in listed if i not in self.masks]:
            raise SourceError(
                f"{len(absent):,} of the {len(listed):,} images in {self.description.test} have no mask in "
                f"{self.folder / self.description.masks}: {files.shorten(absent)}",
                remedy="name a mask as its image, with .png",
            )
        return listed

    def _choose_training(self) -> tuple[str, ...]:
        """The images to train on, which must have a mask."""
        if self.description.train is None:
            apart = set(self.tested) if self.description.test else set()
            return tuple(sorted(self.masks.keys() & self.images.keys() - apart))
        if absent := [i for i in self.training if i not in self.masks]:
            raise SourceError(
                f"{len(absent):,} of the {len(self.training):,} images in {self.description.train} have no mask in "
                f"{self.folder / self.description.masks}: {files.shorten(absent)}",
                remedy="name a mask as its image, with .png",
            )
        return self.training

    def record(self) -> SourceRecord:
        """The description, the lists, and one `fingerprint` of the masks used."""
        return SourceRecord(
            kind=self.benchmark.alias,
            layout="images and masks",
            split=(self.description.test if self.part == "test" else self.description.train) or "all images",
            files=(
                files.record_file(self.folder / DESCRIPTION),
                files.fingerprint("masks", {i: self.masks[i] for i in self.image_ids}),
                *(files.record_file(path) for path in self._lists.values()),
            ),
        )

    def class_names(self) -> tuple[str, ...]:
        """The names in the description, by ascending mask value."""
        assert self.benchmark.class_names is not None
        return self.benchmark.class_names

    def unofficial(self) -> tuple[str, ...]:
        """A benchmark of one's own is nobody else's."""
        return (f"{self.benchmark.title} is a benchmark of its own, not a published one",)

    def notes(self) -> tuple[str, ...]:
        """What lies there without its other half, one line a kind."""
        unmasked = sorted(self.images.keys() - self.masks.keys() - set(self.training))
        lonely = sorted(self.masks.keys() - self.images.keys() - set(self.training))
        return (
            *(f"images without a mask, left out: {len(ids):,} ({files.shorten(ids)})" for ids in [unmasked] if ids),
            *(f"masks without an image: {len(ids):,} ({files.shorten(ids)})" for ids in [lonely] if ids),
        )

    def pools(
        self, classes: Sequence[int], *, min_pixels: int, advance: Advance = no_progress
    ) -> dict[int, tuple[str, ...]]:
        """See `Source.pools`; every mask is read once, for all classes."""
        return files.pools(self.image_ids, self._areas, classes=classes, min_pixels=min_pixels, advance=advance)

    def missing(self, image_ids: Sequence[str]) -> list[str]:
        """See `Source.missing`."""
        return [image_id for image_id in image_ids if image_id not in self.images]

    def pictures(self) -> list[Picture]:
        """See `Source.pictures`; what episodes are not drawn from counts as training images."""
        tested = set(self.tested)
        return [
            Picture(
                image_id=image_id,
                part="test" if image_id in tested else "training",
                load=partial(files.read_bytes, path),
                size=partial(self._size, image_id),
                formats=images.FORMATS,
            )
            for image_id, path in sorted(self.images.items())
        ]

    def _size(self, image_id: str) -> tuple[int, int] | None:
        if image_id not in self.masks:
            return None
        height, width = self._indices(image_id).shape
        return height, width

    def read(self, image_id: str, class_id: int) -> RawSample:
        """See `Source.read`."""
        indices = self._indices(image_id)
        ignore = None if self.ignore_label is None else masks.encode(indices == self.ignore_label)
        return files.read_sample(
            self.images[image_id],
            image_id=image_id,
            class_id=class_id,
            mask=masks.encode(indices == self.description.values[class_id]),
            ignore=ignore if ignore is not None and masks.area(ignore) else None,
            n_classes=len(self._areas(image_id)),
            formats=images.FORMATS,
        )

    def _areas(self, image_id: str) -> dict[int, int]:
        """Mask pixels by class index, of the classes that an image shows; remembered."""
        if image_id not in self._histograms:
            self._indices(image_id)
        histogram = self._histograms[image_id]
        return {c: int(histogram[value]) for c, value in enumerate(self.description.values) if histogram[value]}

    def _indices(self, image_id: str) -> npt.NDArray[np.uint8]:
        """An image's mask (H, W) uint8 as stored; `SourceError` if it has values that mean nothing."""
        path, about = self.masks[image_id], self.description
        indices = files.read_indices(path)
        histogram = np.bincount(indices.ravel(), minlength=256)
        known = {*about.values, *about.background, about.ignore_label}
        if unknown := [str(value) for value in np.flatnonzero(histogram) if value not in known]:
            raise SourceError(
                f"{path} has pixels of value {files.shorten(unknown)}, of which {DESCRIPTION} says nothing",
                remedy="add them to [classes], or to background",
            )
        self._histograms[image_id] = histogram
        return indices


def _by_id(folder: Path, suffixes: Sequence[str]) -> Mapping[str, Path]:
    """Files with one of ``suffixes`` below ``folder``, by their path without it; `SourceError` if two share that."""
    if not folder.is_dir():
        raise SourceError(f"there is no folder {folder}", remedy=f"make it, or name another one in {DESCRIPTION}")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in suffixes and not path.name.startswith("."):
            image_id = path.relative_to(folder).with_suffix("").as_posix()
            if not image_id.isprintable():
                raise SourceError(f"{str(path)!r} has a name that cannot be printed", remedy="rename it")
            if image_id in found:
                raise SourceError(f"{found[image_id]} and {path} have the same name", remedy="rename one of them")
            found[image_id] = path
    if not found:
        raise SourceError(f"{folder} holds no file that ends in {', '.join(suffixes)}", remedy="put them there")
    return found

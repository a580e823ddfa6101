"""Any tree of images and masks of class values, made a benchmark of its own by its ``benchmark.toml``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from fssbench.base.errors import SourceError
from fssbench.base.home import home_in
from fssbench.base.listing import list_files, remark
from fssbench.pipelines.sources import files
from fssbench.pipelines.sources.base import Part
from fssbench.pipelines.sources.description import DESCRIPTION, read_description
from fssbench.pipelines.sources.index_masks import IndexMasks
from fssbench.pipelines.sources.mask_png import MaskValues, read_indices
from fssbench.pipelines.sources.tree import IMAGE_SUFFIXES, TreeSource
from fssbench.schemas.manifest import SourceRecord

__all__ = ["FolderSource"]

OTHER_SUFFIXES = (".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
"""What people try first, of masks and of images."""


class FolderSource(TreeSource):
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
        self.class_values = self.description.values
        self.left_out: list[str] = []
        self.images = self._by_id(self.description.images, IMAGE_SUFFIXES)
        self.masks = self._by_id(self.description.masks, (".png",))
        self._lists = {name: folder / home_in(name) for name in (self.description.test, self.description.train) if name}
        self.training = self._read_list(self.description.train)
        self.tested = self._choose()
        self.image_ids = self.tested if part == "test" else self._choose_training()
        self.values = self._mask_values()

    def _by_id(self, name: str, suffixes: Sequence[str]) -> Mapping[str, Path]:
        """Files with one of ``suffixes`` below a folder, by their path without; `SourceError` if two share that."""
        folder = self.folder / home_in(name)
        if not folder.is_dir():
            raise SourceError(f"there is no folder {folder}", remedy=f"make it, or name another one in {DESCRIPTION}")
        listing = list_files(folder, suffixes=suffixes, below=True, error=SourceError)
        self.left_out += [f"{name}/{one}" for one in listing.left_out]
        found: dict[str, Path] = {}
        for path in listing.files:
            image_id = path.relative_to(folder).with_suffix("").as_posix()
            if not image_id.isprintable():
                raise SourceError(f"{str(path)!r} has a name that cannot be printed", remedy="rename it")
            if image_id in found:
                raise SourceError(f"{found[image_id]} and {path} have the same name", remedy="rename one of them")
            found[image_id] = path
        if not found:
            others = list_files(folder, suffixes=OTHER_SUFFIXES, below=True, error=SourceError).files
            told = "".join((f"; {others[0]} is none",) if others else remark(listing.left_out)[:1])
            raise SourceError(
                f"{folder} holds no file that ends in {', '.join(suffixes)}{told}", remedy="put them there"
            )
        return found

    def _mask_values(self) -> IndexMasks:
        about = self.description
        known = {*about.values, *about.background, about.ignore_label}
        meant = MaskValues(
            known=frozenset(value for value in known if value is not None),
            expected=f"of which {DESCRIPTION} says nothing",
            remedy="add them to [classes], or to background",
            own=True,
        )

        return IndexMasks(
            lambda image_id: read_indices(self.masks[image_id], meant),
            where=lambda image_id: self.masks[image_id],
            meant=meant,
        )

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
            *remark(self.left_out),
            *self.values.remarks(),
        )

"""Published benchmarks of image and mask files, whose data file says where these lie and what a mask's values mean."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import Field

from fssbench.base.errors import SourceError
from fssbench.base.listing import list_files, remark
from fssbench.base.records import Record
from fssbench.episodes.benchmarks import Benchmark, Rules
from fssbench.pipelines.sources import files
from fssbench.pipelines.sources.base import Part
from fssbench.pipelines.sources.index_masks import IndexMasks
from fssbench.pipelines.sources.mask_png import MaskValues, Values, read_grey, read_indices
from fssbench.pipelines.sources.tree import TreeSource
from fssbench.schemas.manifest import SourceRecord

__all__ = ["DescribedTreeSource", "TreeLayout"]

NAME, CLASS = "{name}", "{class}"


class Table(Record):
    """A CSV file that says which class an image shows."""

    file: str
    id: str = Field(description="the column of image names")
    class_: str = Field(alias="class", description="the column of class names")


class Files(Record):
    """Where images and masks lie: patterns of paths in which ``{name}`` is an image's name, ``{class}`` its folder."""

    images: tuple[str, ...] = Field(min_length=1, description="any of these")
    masks: str


class TreeLayout(Files):
    """``layout`` of a data file, of images and masks as files."""

    roots: tuple[str, ...] = Field(default=(), description="folders below the source that may hold it all")
    training: Files | None = Field(default=None, description="the images to train on, if there are any")
    folders: tuple[str, ...] = Field(default=(), description="the folder of every class index, in place of {class}")
    id: str = NAME
    table: Table | None = Field(default=None, description="says the class of an image where no folder does")
    foreground: int | None = Field(default=None, description="least grey of the one class; masks of indices without")
    expected: int | None = Field(default=None, description="images that are tested, if that is known")


@dataclass(frozen=True)
class Found:
    """An image's files and, where its folder tells, its class; files may be missing."""

    image: Path | None
    mask: Path
    class_id: int | None


class DescribedTreeSource(TreeSource):
    """Images and masks where a benchmark's data file says.

    A mask is of class indices (class index + 1, 0 for background), or of one class: foreground from a grey value on.
    That class is the benchmark's only one, or the one that the image's folder or a table beside the images says.
    """

    def __init__(self, folder: Path, *, benchmark: Benchmark, part: Part = "test") -> None:
        assert benchmark.rules is not None
        self.benchmark = benchmark
        self.part: Part = part
        self.rules: Rules = benchmark.rules
        self.layout = TreeLayout.model_validate(dict(self.rules.layout))
        self.one_class = self.layout.foreground is not None
        self.class_values = tuple(range(1, benchmark.n_classes + 1))
        self.left_out: list[str] = []
        self.folder = self._find_root(folder)
        tested = self._look(self.layout)
        training = self._look(self.layout.training) if self.layout.training else {}
        if part == "training" and not training:
            raise SourceError(
                f"{folder} has no images to train on as {benchmark.title} knows them",
                remedy=self._training_remedy,
            )
        if both := sorted(training.keys() & tested.keys()):
            raise SourceError(
                f"{self.folder} has images both to test and to train on: {files.shorten(both)}",
                remedy="an image is either tested or trained on",
            )
        everything = training | tested
        self.images = {image_id: found.image for image_id, found in everything.items() if found.image is not None}
        self.masks = {image_id: found.mask for image_id, found in everything.items() if found.mask.is_file()}
        self.table = self._read_table()
        self.classes = {i: self._class_of(i, found) for i, found in everything.items()} if self.one_class else {}
        whole = [i for i in everything if i in self.images and i in self.masks and self.classes.get(i, 0) is not None]
        self.tested = tuple(sorted(i for i in whole if i in tested))
        self.image_ids = self.tested if part == "test" else tuple(sorted(i for i in whole if i in training))
        self.values = IndexMasks(
            self._read_values,
            where=lambda image_id: self.masks[image_id],
            meant=MaskValues.of_classes(benchmark.n_classes, ignore_label=benchmark.ignore_label),
        )

    @property
    def _training_remedy(self) -> str:
        if self.layout.training is not None:
            return f"put them at {self.layout.training.images[0]}"
        trained_on = self.benchmark.training
        return f"models for it are trained on other data, such as {trained_on.title}: --benchmark {trained_on.alias}"

    def _find_root(self, folder: Path) -> Path:
        """The folder that the patterns start from; `SourceError` saying what is missing, and where to get it."""
        where = [folder, *(folder / root for root in self.layout.roots)]
        found = next((root for root in where if any(True for _ in self._image_files(root, self.layout))), None)
        if found is not None:
            return found
        expected = " or ".join(pattern.replace(CLASS, "CLASS").replace(NAME, "NAME") for pattern in self.layout.images)
        problem = f"{folder} holds no images of {self.benchmark.title}, expected {expected}"
        if self.layout.roots:
            problem += f", also below {' or '.join(self.layout.roots)}"
        raise SourceError(problem if folder.is_dir() else f"there is no folder {folder}", remedy=self.rules.obtain)

    def _image_files(self, root: Path, where: Files) -> Iterator[tuple[str, int | None, Path]]:
        """Names of images with the classes that their folders tell, and their files."""
        for pattern in where.images:
            for class_id, named in enumerate(self.layout.folders) if CLASS in pattern else [(None, "")]:
                path = root / pattern.replace(CLASS, named)
                if path.parent.is_dir():
                    yield from ((name, class_id, file) for name, file in self._list(path).items())

    def _list(self, pattern: Path) -> dict[str, Path]:
        """The files beside ``pattern`` that are called so, by what stands for ``{name}``."""
        head, tail = pattern.name.split(NAME)
        listing = list_files(pattern.parent, suffixes=(tail.lower(),), error=SourceError)
        self.left_out += [f"{pattern.parent.name}/{one}" for one in listing.left_out]
        return {
            path.name[len(head) : len(path.name) - len(tail)]: path
            for path in listing.files
            if path.name.startswith(head)
        }

    def _look(self, where: Files) -> dict[str, Found]:
        """Everything there is of a part, by image id: images, and masks without one."""
        found: dict[str, Found] = {}
        for name, class_id, image in self._image_files(self.folder, where):
            folder = "" if class_id is None else self.layout.folders[class_id]
            image_id = self.layout.id.replace(CLASS, folder).replace(NAME, name)
            if image_id in found:
                raise SourceError(
                    f"{found[image_id].image} and {image} are the same image", remedy="remove one of them"
                )
            mask = self.folder / where.masks.replace(CLASS, folder).replace(NAME, name)
            found[image_id] = Found(image, mask, class_id)
        for class_id, folder in enumerate(self.layout.folders) if CLASS in where.masks else [(None, "")]:
            masks = self.folder / where.masks.replace(CLASS, folder)
            for name, mask in self._list(masks).items() if masks.parent.is_dir() else ():
                image_id = self.layout.id.replace(CLASS, folder).replace(NAME, name)
                found.setdefault(image_id, Found(None, mask, class_id))
        return found

    def _read_table(self) -> Mapping[str, str]:
        """Class names by image, of the table if there is one."""
        table = self.layout.table
        if table is None:
            return {}
        path = self.folder / table.file
        if not path.is_file():
            raise SourceError(f"there is no {path}, which says what class an image shows", remedy=self.rules.obtain)
        try:
            rows = list(csv.DictReader(io.StringIO(files.read_bytes(path).decode("utf-8-sig"))))
            said = {row[table.id].strip(): row[table.class_].strip() for row in rows}
        except (KeyError, AttributeError, UnicodeDecodeError, csv.Error) as error:
            raise SourceError(
                f"{path} is not a table with the columns {table.id} and {table.class_}", remedy="use it as published"
            ) from error
        if unknown := sorted(set(said.values()) - set(self.class_names())):
            raise SourceError(
                f"{path} names the class '{unknown[0]}', expected {', '.join(self.class_names())}",
                remedy="use it as published",
            )
        return said

    def _class_of(self, image_id: str, found: Found) -> int | None:
        """The one class that an image shows: the table's, its folder's or the only one; ``None`` if none is known."""
        if self.layout.table is not None:
            said = self.table.get(image_id)
            return None if said is None else self.class_names().index(said)
        return found.class_id if self.layout.folders else 0

    def _read_values(self, image_id: str) -> tuple[Values, bool]:
        path, class_id = self.masks[image_id], self.classes.get(image_id)
        if self.layout.foreground is None:
            return read_indices(path, self.values.meant)
        assert class_id is not None
        foreground = read_grey(path)[0] >= self.layout.foreground
        return foreground.astype(np.uint8) * np.uint8(class_id + 1), False

    def record(self) -> SourceRecord:
        """One `fingerprint` of the masks used, and the table."""
        table = self.folder / self.layout.table.file if self.layout.table else None
        return SourceRecord(
            kind=self.benchmark.raw,
            layout=self.benchmark.name,
            split="training" if self.part == "training" else "all images",
            files=(
                files.fingerprint("masks", {i: self.masks[i] for i in self.image_ids}),
                *([files.record_file(table)] if table else []),
            ),
        )

    def unofficial(self) -> tuple[str, ...]:
        """What nobody has held against the published data; and images that are not there, as far as that is known."""
        reasons = [f"it is not verified {self.rules.unverified}"]
        expected, there = self.layout.expected, len(self.tested)
        if self.part == "test" and expected is not None and there != expected:
            reasons.append(f"{self.benchmark.title} has {expected:,} images with masks, here are {there:,}")
        return tuple(reasons)

    def notes(self) -> tuple[str, ...]:
        """Where the rules are from, and what lies there without its other half, one line a kind."""
        unmasked = sorted(self.images.keys() - self.masks.keys())
        lonely = sorted(self.masks.keys() - self.images.keys())
        unknown = sorted(i for i, class_id in self.classes.items() if class_id is None and i in self.images)
        kinds = {
            "images without a mask, left out": unmasked,
            "masks without an image": lonely,
            "images whose class nothing tells, left out": unknown,
        }
        return (
            f"classes, folds and files are those of {self.rules.source}",
            *(f"{what}: {len(ids):,} ({files.shorten(ids)})" for what, ids in kinds.items() if ids),
            *remark(dict.fromkeys(self.left_out)),
            *self.values.remarks(),
        )

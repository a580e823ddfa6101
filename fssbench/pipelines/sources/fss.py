"""FSS-1000 as published: a folder for each class, with ten numbered images and masks."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fssbench.base.errors import SourceError
from fssbench.base.progress import Advance, no_progress
from fssbench.episodes.benchmarks import FSS_1000, Benchmark
from fssbench.pipelines.formats import images, masks
from fssbench.pipelines.sources import files
from fssbench.pipelines.sources.base import Part, Picture, RawSample
from fssbench.schemas.manifest import MaskPolicy, SourceRecord

__all__ = ["FssSource", "find_classes"]

NUMBERS = range(1, 11)
NUMBERED_FILE = re.compile(r"(?:[1-9]|10)\.(?:jpg|png)")
CLASS_NAME = re.compile(r"[^./\\\t\n][^/\\\t\n]*")
LISTS: dict[Part, tuple[str, ...]] = {"test": ("test",), "training": ("trn", "val")}
"""The lists of classes of a part, which take the class indices in this order."""

TEST_DIGEST = "0efbe526c0dd445b580de07cae179df51fffc91255599e96b13d8b16e7e04c0c"
TRAINING_DIGESTS = {
    "trn": "4e236fa8eda2543a988f734f8ea728a6f321bb426ec79cc121c5f4f115f41f10",
    "val": "bae6fbf5aa020ce4e589b76c51da21cc9b77970877579612e0a0d3c4b43688b0",
}
"""`names_digest` of the classes that FSS-1000's authors list."""

ABSENT = "images that are not there"
NO_MASK = "images without a mask, left out"
NO_IMAGE = "masks without an image, left out"
SIZE = "masks of another size than their image, left out"
EMPTY = "masks without foreground, left out"
FAULTS = (ABSENT, NO_MASK, NO_IMAGE, SIZE, EMPTY)


@dataclass(frozen=True, kw_only=True)
class ClassReport:
    """What the files of one class hold.

    Attributes:
        pixels: foreground pixels by image id, of the images that may be used.
        faults: image ids, some with details, by what is wrong with them (`FAULTS`).
        binary: ids whose masks hold 0 and 1 instead of 0 to 255.
    """

    pixels: dict[str, int]
    faults: dict[str, list[str]]
    binary: list[str]


class FssSource:
    """FSS-1000's test classes: ``abacus/1.jpg`` … ``abacus/10.jpg`` with masks ``abacus/1.png`` ….

    The folder holds the class folders, or one folder that does. Test classes are those that ``splits``
    lists: the file itself, or the folder of ``fss/test.txt`` or ``test.txt``. Sorted, they take the class
    indices from 760 on. Without a list the class folders found are taken, which is not the benchmark.
    To train on, classes are those of ``trn.txt``, from index 0 on, and those of ``val.txt``, from 520 on.

    A mask is a PNG in one of two encodings, told apart by its brightest grey value (see `read_grey`; the
    alpha channel says nothing). Up to 1, values are 0 and 1 and foreground is 1; otherwise they run from
    0 to 255, with soft edges, and foreground is 128 and above. An image whose files do not go together
    is left out and reported by `unofficial` and `notes`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        splits: Path | None = None,
        benchmark: Benchmark = FSS_1000,
        part: Part = "test",
    ) -> None:
        self.benchmark = benchmark
        self.part: Part = part
        self.mask_policy = MaskPolicy()
        self.ignore_label = benchmark.ignore_label
        self.folder = find_classes(folder)
        self.list_files = self._find_lists(splits)
        self.classes = self._number_classes()
        self._reports: dict[int, ClassReport] = {}

    def _find_lists(self, splits: Path | None) -> tuple[Path, ...]:
        if splits is not None:
            return tuple(_find_list(splits, name) for name in LISTS[self.part])
        if self.part == "test":
            return ()
        raise SourceError(
            "which classes of FSS-1000 are trained on is known only from its lists",
            remedy="pass --splits with the folder of trn.txt and val.txt",
        )

    @property
    def list_file(self) -> Path | None:
        """The list of the classes that are tested, or else of those that are trained; ``None`` if there is none."""
        return self.list_files[0] if self.list_files else None

    def _number_classes(self) -> dict[int, str]:
        """The part's classes by index."""
        if self.part == "test":
            return self._number(self.list_file, self.benchmark.novel_classes(0))
        training, validation = self.list_files
        validated = self.benchmark.validation_classes
        return self._number(training, range(validated[0])) | self._number(validation, validated)

    def _number(self, list_file: Path | None, indices: Sequence[int]) -> dict[int, str]:
        """The names of a list, or of the folders found, by index."""
        names = _class_folders(self.folder) if list_file is None else files.read_names(list_file)
        where = list_file or self.folder
        if bad := [name for name in names if not CLASS_NAME.fullmatch(name)]:
            raise SourceError(f"{where} names '{bad[0]}', expected names of folders", remedy="check the list")
        if len(names) > len(indices):
            does = "tests" if self.part == "test" else "has"
            raise SourceError(
                f"{where} has {len(names):,} classes, the benchmark {does} {len(indices)}",
                remedy="pass --splits with the lists of classes, one name a line",
            )
        return dict(zip(indices, sorted(names), strict=False))

    @cached_property
    def _record(self) -> SourceRecord:
        used = {
            f"{name}/{number}{suffix}": path
            for name in self.classes.values()
            for number in NUMBERS
            for suffix in (".jpg", ".png")
            if (path := self._file(f"{name}/{number}", suffix)).is_file()
        }
        return SourceRecord(
            kind=self.benchmark.alias,
            layout="fss-1000",
            split="folders found" if not self.list_files else "test" if self.part == "test" else "training, validation",
            files=(
                files.fingerprint("images and masks", used),
                *(files.record_file(path) for path in self.list_files),
            ),
        )

    def record(self) -> SourceRecord:
        """One `fingerprint` of the classes' images and masks, since both decide the pools; the lists."""
        return self._record

    def class_names(self) -> tuple[str, ...]:
        """The part's classes' names at their indices, and ``class 12`` for an index without a name."""
        return tuple(self.classes.get(index, f"class {index}") for index in range(self.benchmark.n_classes))

    def unofficial(self) -> tuple[str, ...]:
        """FSS-1000 is tested on ten images of each of the 240 classes its authors list, and trained on others."""
        if self.part == "training":
            other = [
                f"{path.name} lists other classes than the benchmark's"
                for path, digest in zip(self.list_files, TRAINING_DIGESTS.values(), strict=True)
                if files.names_digest(files.read_names(path)) != digest
            ]
            return (*other, *self._findings())
        expected = len(self.benchmark.novel_classes(0))
        reasons = []
        if self.list_file is None:
            reasons.append(f"the {len(self.classes)} test classes are the folders found, no list was given")
        elif len(self.classes) != expected:
            reasons.append(f"{self.list_file.name} lists {len(self.classes)} classes, the benchmark tests {expected}")
        elif files.names_digest(self.classes.values()) != TEST_DIGEST:
            reasons.append(f"{self.list_file.name} lists other classes than the benchmark's {expected}")
        return (*reasons, *self._findings())

    def notes(self) -> tuple[str, ...]:
        """What is worth telling about the files, one line each."""
        binary = [image_id for class_id in self.classes for image_id in self._report(class_id).binary]
        return (*self._findings(), *_line("masks of values 0 and 1, read as such", binary))

    def _findings(self) -> list[str]:
        """What is missing or left out, one line a kind."""
        absent = [name for name in self.classes.values() if not (self.folder / name).is_dir()]
        lines = _line(f"{'test classes' if self.part == 'test' else 'classes'} without a folder", absent)
        for fault in FAULTS:
            ids = [i for class_id in self.classes for i in self._report(class_id).faults.get(fault, ())]
            lines += _line(fault, ids)
        return lines

    def pools(
        self, classes: Sequence[int], *, min_pixels: int, advance: Advance = no_progress
    ) -> dict[int, tuple[str, ...]]:
        """See `Source.pools`; a class that is not of the part, or has no folder, has no images."""
        pools = {}
        for class_id in classes:
            pixels = self._report(class_id).pixels if class_id in self.classes else {}
            pools[class_id] = tuple(sorted(i for i, area in pixels.items() if area >= min_pixels))
            advance(len(pixels))
        return pools

    def missing(self, image_ids: Sequence[str]) -> list[str]:
        """See `Source.missing`."""
        return [image_id for image_id in image_ids if not self._file(image_id, ".jpg").is_file()]

    def pictures(self) -> list[Picture]:
        """See `Source.pictures`; other classes than the tested ones are training images."""
        own: set[str] = set(self.classes.values())
        other: Part = "training" if self.part == "test" else "test"
        return [
            Picture(
                image_id=(image_id := f"{name}/{number}"),
                part=self.part if name in own else other,
                load=partial(files.read_bytes, self._file(image_id, ".jpg")),
                size=partial(self._size, image_id),
            )
            for name in _class_folders(self.folder)
            for number in NUMBERS
            if self._file(f"{name}/{number}", ".jpg").is_file()
        ]

    def _size(self, image_id: str) -> tuple[int, int] | None:
        path = self._file(image_id, ".png")
        if not path.is_file():
            return None
        height, width = files.read_grey(path).shape
        return height, width

    def read(self, image_id: str, class_id: int) -> RawSample:
        """See `Source.read`."""
        mask, _ = _foreground(self._file(image_id, ".png"))
        path = self._file(image_id, ".jpg")
        rle = masks.encode(mask)
        return files.read_sample(path, image_id=image_id, class_id=class_id, mask=rle, ignore=None, n_classes=None)

    def _file(self, image_id: str, suffix: str) -> Path:
        return self.folder / f"{image_id}{suffix}"

    def _report(self, class_id: int) -> ClassReport:
        """The report on one class, remembered."""
        if class_id not in self._reports:
            report = ClassReport(pixels={}, faults={}, binary=[])
            if (self.folder / self.classes[class_id]).is_dir():
                for number in NUMBERS:
                    self._examine(f"{self.classes[class_id]}/{number}", report)
            self._reports[class_id] = report
        return self._reports[class_id]

    def _examine(self, image_id: str, report: ClassReport) -> None:
        """Read an image's header and its mask, and enter into ``report`` what they are good for."""

        def fault(kind: str, detail: str = "") -> None:
            report.faults.setdefault(kind, []).append(image_id + detail)

        image, mask = self._file(image_id, ".jpg"), self._file(image_id, ".png")
        match image.is_file(), mask.is_file():
            case False, False:
                return fault(ABSENT)
            case False, True:
                return fault(NO_IMAGE)
            case True, False:
                return fault(NO_MASK)
        header = images.inspect(files.read_bytes(image), where=str(image))
        foreground, brightest = _foreground(mask)
        height, width = foreground.shape
        try:
            images.fit_orientation(header, height=height, width=width, where=str(image))
        except SourceError:
            return fault(SIZE, f" (mask {width}×{height}, image {header.width}×{header.height})")
        if not foreground.any():
            return fault(EMPTY, f" (brightest value {brightest})")
        if brightest == 1:
            report.binary.append(image_id)
        report.pixels[image_id] = int(foreground.sum())
        return None


def _foreground(path: Path) -> tuple[npt.NDArray[np.bool_], int]:
    """A mask file → foreground (H, W) bool, and the brightest grey value, which tells the encoding."""
    grey = files.read_grey(path)
    brightest = int(grey.max())
    return grey >= (1 if brightest <= 1 else 128), brightest


def _line(what: str, ids: Sequence[str]) -> list[str]:
    return [f"{what}: {len(ids):,} ({files.shorten(ids)})"] if ids else []


def _entries(folder: Path) -> list[Path]:
    """What lies in ``folder`` and is not hidden, by name; nothing if it cannot be looked into."""
    try:
        return sorted(Path(entry) for entry in os.scandir(folder) if not entry.name.startswith("."))
    except OSError:
        return []


def _class_folders(folder: Path) -> list[str]:
    """The names of the folders in ``folder`` that hold numbered images or masks, sorted."""
    return [
        entry.name
        for entry in _entries(folder)
        if entry.is_dir() and any(NUMBERED_FILE.fullmatch(file.name) for file in _entries(entry))
    ]


def find_classes(folder: Path) -> Path:
    """The folder of the class folders, which is ``folder`` or the only one in it that is such a folder."""
    remedy = "point --source at the folder that holds FSS-1000's class folders, such as abacus/1.jpg"
    if not folder.is_dir():
        raise SourceError(f"there is no folder {folder}", remedy=remedy)
    if _class_folders(folder):
        return folder
    found = [entry for entry in _entries(folder) if entry.is_dir() and _class_folders(entry)]
    if len(found) != 1:
        what = f"several: {files.shorten([path.name for path in found])}" if found else "none"
        raise SourceError(f"{folder} should hold class folders or one folder of them, found {what}", remedy=remedy)
    return found[0]


def _find_list(splits: Path, name: str) -> Path:
    """A list of classes: the file named, for the only list of a part, or in the folder named."""
    if name == "test" and splits.is_file():
        return splits
    folder = splits.parent if splits.is_file() else splits
    for place in (f"fss/{name}.txt", f"{name}.txt"):
        if (folder / place).is_file():
            return folder / place
    what, itself = ("test classes", f"{splits}, ") if name == "test" else ("classes", "")
    raise SourceError(
        f"there is no list of {what} {itself}{folder}/fss/{name}.txt or {folder}/{name}.txt",
        remedy="pass --splits with that file or its folder",
    )

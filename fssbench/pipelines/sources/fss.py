"""FSS-1000 as published: a folder for each class, with ten numbered images and masks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fssbench.base.errors import MaskFileError, SourceError
from fssbench.base.listing import remark
from fssbench.base.progress import Advance, no_progress
from fssbench.episodes.benchmarks import FSS_1000, Benchmark
from fssbench.pipelines.formats import images, masks
from fssbench.pipelines.sources import files
from fssbench.pipelines.sources.base import Part, Picture, RawSample
from fssbench.pipelines.sources.fss_files import ClassFiles, class_folders, find_classes, find_list
from fssbench.pipelines.sources.mask_png import read_grey
from fssbench.schemas.manifest import MaskPolicy, SourceRecord

__all__ = ["FssSource"]

NUMBERS = range(1, 11)
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
        coloured: ids whose masks hold colours rather than greys.
    """

    pixels: dict[str, int]
    faults: dict[str, list[str]]
    binary: list[str]
    coloured: list[str]


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
        self._faulty: set[str] = set()
        self._classes: dict[str, ClassFiles] = {}

    def _find_lists(self, splits: Path | None) -> tuple[Path, ...]:
        if splits is not None:
            return tuple(find_list(splits, name) for name in LISTS[self.part])
        if self.part == "test":
            return ()
        raise SourceError(
            "only the lists of FSS-1000 say which classes are trained on",
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
        names = class_folders(self.folder) if list_file is None else files.read_names(list_file)
        where = list_file or self.folder
        if bad := [name for name in names if not CLASS_NAME.fullmatch(name)]:
            raise SourceError(f"{where} names '{bad[0]}', expected names of folders", remedy="check the list")
        if len(names) > len(indices):
            does = "tests" if self.part == "test" else "has"
            raise SourceError(
                f"{where} has {len(names):,} classes, the benchmark {does} {len(indices)}",
                remedy="pass --splits with the lists of classes, one name per line",
            )
        return dict(zip(indices, sorted(names), strict=False))

    @cached_property
    def _record(self) -> SourceRecord:
        used = {
            f"{name}/{number}{suffix}": path
            for name in self.classes.values()
            for number in NUMBERS
            for suffix in (".jpg", ".png")
            if (path := self._there(f"{name}/{number}", suffix)) is not None
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
        reports = [self._report(class_id) for class_id in self.classes]
        unlisted = "which classes are tested is not known; pass --splits with FSS-1000's list of test classes"
        return (
            *([unlisted] if self.list_file is None else []),
            *self._findings(),
            *_line("masks of values 0 and 1, read as such", [i for report in reports for i in report.binary]),
            *_line("masks of colours, read by their brightness", [i for report in reports for i in report.coloured]),
            *remark(one for name in self.classes.values() for one in self._class(name).left_out),
        )

    def mask_faults(self, *, advance: Advance = no_progress) -> list[SourceError]:
        """See `MaskFiles.mask_faults`; of what is not left out anyway."""
        faults: list[SourceError] = []
        for class_id in self.classes:
            self._report(class_id, faults)
            advance(1)
        return faults

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
        return [image_id for image_id in image_ids if self._there(image_id, ".jpg") is None]

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
            for name in class_folders(self.folder)
            for number in NUMBERS
            if self._there(f"{name}/{number}", ".jpg") is not None
        ]

    def _size(self, image_id: str) -> tuple[int, int] | None:
        path = self._there(image_id, ".png")
        if path is None or image_id in self._faulty:
            return None
        height, width = read_grey(path)[0].shape
        return height, width

    def read(self, image_id: str, class_id: int) -> RawSample:
        """See `Source.read`."""
        mask = _foreground(read_grey(self._file(image_id, ".png"))[0])[0]
        path = self._file(image_id, ".jpg")
        rle = masks.encode(mask)
        return files.read_sample(path, image_id=image_id, class_id=class_id, mask=rle, ignore=None, n_classes=None)

    def _class(self, name: str) -> ClassFiles:
        """The files of a class, remembered."""
        if name not in self._classes:
            self._classes[name] = ClassFiles.of(self.folder / name)
        return self._classes[name]

    def _there(self, image_id: str, suffix: str) -> Path | None:
        """The file of an image, or of its mask, if it is there."""
        name, _, number = image_id.rpartition("/")
        of_class = self._class(name)
        return (of_class.images if suffix == ".jpg" else of_class.masks).get(number)

    def _file(self, image_id: str, suffix: str) -> Path:
        return self._there(image_id, suffix) or self.folder / f"{image_id}{suffix}"

    def _report(self, class_id: int, errors: list[SourceError] | None = None) -> ClassReport:
        """The report on one class, remembered; files that cannot be used are refused, or noted in ``errors``."""
        if class_id not in self._reports:
            report = ClassReport(pixels={}, faults={}, binary=[], coloured=[])
            if (self.folder / self.classes[class_id]).is_dir():
                for number in NUMBERS:
                    image_id = f"{self.classes[class_id]}/{number}"
                    try:
                        self._examine(image_id, report)
                    except MaskFileError as error:
                        if errors is None:
                            raise
                        errors.append(error)
                        self._faulty.add(image_id)
            self._reports[class_id] = report
        return self._reports[class_id]

    def _examine(self, image_id: str, report: ClassReport) -> None:
        """Read an image's header and its mask, and enter into ``report`` what they are good for."""

        def fault(kind: str, detail: str = "") -> None:
            report.faults.setdefault(kind, []).append(image_id + detail)

        image, mask = self._there(image_id, ".jpg"), self._there(image_id, ".png")
        if image is None or mask is None:
            return fault(ABSENT if image is mask else NO_IMAGE if image is None else NO_MASK)
        header = images.inspect(files.read_bytes(image), where=str(image))
        grey, coloured = read_grey(mask)
        foreground, brightest = _foreground(grey)
        height, width = foreground.shape
        try:
            images.fit_orientation(header, height=height, width=width, where=str(image))
        except SourceError:
            return fault(SIZE, f" (mask {width}×{height}, image {header.width}×{header.height})")
        if not foreground.any():
            return fault(EMPTY, f" (brightest value {brightest})")
        if brightest == 1:
            report.binary.append(image_id)
        if coloured:
            report.coloured.append(image_id)
        report.pixels[image_id] = int(foreground.sum())
        return None


def _foreground(grey: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.bool_], int]:
    """A mask's grey values → foreground (H, W) bool, and the brightest value, which tells the encoding."""
    brightest = int(grey.max())
    return grey >= (1 if brightest <= 1 else 128), brightest


def _line(what: str, ids: Sequence[str]) -> list[str]:
    return [f"{what}: {len(ids):,} ({files.shorten(ids)})"] if ids else []

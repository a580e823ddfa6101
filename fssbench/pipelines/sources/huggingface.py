"""A Hugging Face dataset of images and class-index masks, from the hub or from Parquet files on disk."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from reprlib import repr
from typing import Any

from fssbench.base.errors import SourceError, UsageError
from fssbench.base.files import sha256_bytes
from fssbench.base.progress import Advance, no_progress
from fssbench.episodes.benchmarks import Benchmark
from fssbench.pipelines.formats import images, masks
from fssbench.pipelines.sources import files
from fssbench.pipelines.sources.base import Part, Picture, RawSample
from fssbench.pipelines.sources.index_masks import IndexMasks
from fssbench.pipelines.sources.mask_png import MaskValues, decode_indices
from fssbench.schemas.manifest import FileRecord, MaskPolicy, SourceRecord
from fssbench.schemas.rle import Rle

__all__ = ["COLUMNS", "PREFIX", "HuggingFaceSource"]

PREFIX = "hf:"
"""What a --source begins with that names such a dataset."""

COLUMNS = {
    "image": ("image", "img", "jpg", "jpeg"),
    "mask": ("mask", "label", "annotation", "segmentation", "segmentation_mask", "labels", "png"),
    "id": ("image_id", "id", "file_name", "filename", "name", "__key__"),
}
"""The columns needed, each with the names looked for, the first found is taken. Without ids rows are numbered."""

SPLITS: dict[Part, tuple[str, ...]] = {"test": ("validation", "val", "test"), "training": ("train", "training")}
REMEDY = "name a dataset of the hub, a Parquet file or a folder of them, as in hf:org/name, hf:data/ or hf:data/:test"


class HuggingFaceSource:
    """A dataset with an image and a mask in every row, for the classes of a built-in benchmark.

    A mask is a PNG whose values are 0 for background, class index + 1, and 255 for what is not scored. Images
    are JPEG or PNG. The split is the one named, the only one, or the first there is of validation, val, test; to train
    on, of train, training.

    Args:
        spec: ``NAME``, ``NAME:SPLIT`` or the same with a path on disk.
        columns: which column is the image, the mask and the id, where they are not called as `COLUMNS` has it.

    Raises:
        SourceError: the dataset cannot be loaded, or lacks a column or the split.
    """

    def __init__(
        self, spec: str, *, benchmark: Benchmark, columns: Mapping[str, str] | None = None, part: Part = "test"
    ) -> None:
        if benchmark.raw not in ("coco", "pascal", "toy"):
            raise UsageError(
                f"masks of class indices cannot hold the classes of {benchmark.title}",
                remedy="a Hugging Face dataset can be the source of coco and pascal",
            )
        self.benchmark = benchmark
        self.mask_policy = MaskPolicy(origin="ready-made", instances="as drawn", polygons="as drawn", crowds="as drawn")
        self.ignore_label = files.IGNORED
        name, colon, split = spec.rpartition(":")
        self.name, self.split, self._rows = _load(name if colon else spec, split if colon else None, part)
        self.columns = self._choose_columns(columns or {})
        self._cells = {role: self._rows.select_columns([column]) for role, column in self.columns.items()}
        meant = MaskValues.of_classes(benchmark.n_classes, ignore_label=files.IGNORED)
        self.values = IndexMasks(
            lambda image_id: decode_indices(self._bytes("mask", image_id), where=self._where(image_id), meant=meant),
            where=self._where,
            meant=meant,
        )

    def _choose_columns(self, given: Mapping[str, str]) -> dict[str, str]:
        there = self._rows.column_names
        listed = f"{self.name} has the columns {', '.join(there)}"
        if unknown := sorted(given.keys() - COLUMNS.keys()):
            raise UsageError(f"there is no '{unknown[0]}' to set", remedy=f"--column sets {', '.join(COLUMNS)}")
        if absent := [column for column in given.values() if column not in there]:
            raise SourceError(f"{listed}, not {absent[0]}", remedy="pass --column with one of these")
        chosen = {}
        for role, names in COLUMNS.items():
            found = [given[role]] if role in given else [name for name in names if name in there]
            if found:
                chosen[role] = found[0]
            elif role != "id":
                raise SourceError(f"{listed}, none of which is known as its {role}", remedy=f"pass --column {role}=…")
        return chosen

    @cached_property
    def _row_of(self) -> dict[str, int]:
        """Row numbers by image id; `SourceError` if an id is not one."""
        if "id" not in self.columns:
            return {f"{n:06d}": n for n in range(len(self._rows))}
        rows: dict[str, int] = {}
        for n, value in enumerate(self._cells["id"][:][self.columns["id"]]):
            image_id = _image_id(value)
            if not image_id or image_id in rows:
                raise SourceError(
                    f"{self.name}: row {n} has the id {repr(value)}, "
                    + (f"as row {rows[image_id]} has" if image_id else "expected a name or a number from 0 on"),
                    remedy="pass --column id=… with a column that tells images apart",
                )
            rows[image_id] = n
        return rows

    def _where(self, image_id: str) -> str:
        return f"{self.name}, row {self._row_of[image_id]} ({image_id})"

    def _bytes(self, role: str, image_id: str) -> bytes:
        """The image file in a cell; `SourceError` if there is none."""
        column = self.columns[role]
        cell = self._cells[role][self._row_of[image_id]][column]
        if isinstance(cell, dict):
            path = cell.get("path")
            cell = cell.get("bytes") or (files.read_bytes(Path(path)) if path and isinstance(path, str) else None)
        if not isinstance(cell, bytes):
            raise SourceError(
                f"{self._where(image_id)}: its {column} is {type(cell).__name__}, expected an image file",
                remedy="pass --column with a column of images",
            )
        return cell

    def record(self) -> SourceRecord:
        """One hash of all masks by image id, as of the files of a folder."""
        lines, total = [], 0
        for image_id in sorted(self._row_of):
            data = self._bytes("mask", image_id)
            lines.append(f"{image_id} {sha256_bytes(data)}\n")
            total += len(data)
        digest = sha256_bytes("".join(lines).encode())
        name = f"masks of {self.name}"
        return SourceRecord(
            kind=self.benchmark.raw,
            layout="hugging-face",
            split=self.split,
            files=(FileRecord(name=name, sha256=digest, bytes=total),),
        )

    def class_names(self) -> tuple[str, ...]:
        """The benchmark's: masks know numbers alone."""
        assert self.benchmark.class_names is not None
        return self.benchmark.class_names

    def unofficial(self) -> tuple[str, ...]:
        """The benchmarks are the files as they were published."""
        return (f"images and masks are those of a Hugging Face dataset, not {self.benchmark.title}'s own files",)

    def notes(self) -> tuple[str, ...]:
        """Which columns were read, and which masks otherwise than they are stored."""
        read = ", ".join(f"{role} = {name}" for role, name in self.columns.items())
        return (f"columns read: {read}", *self.values.remarks())

    def mask_faults(self, *, advance: Advance = no_progress) -> list[SourceError]:
        """See `MaskFiles.mask_faults`."""
        return self.values.faults(self._row_of, advance=advance)

    def pools(
        self, classes: Sequence[int], *, min_pixels: int, advance: Advance = no_progress
    ) -> dict[int, tuple[str, ...]]:
        """See `Source.pools`; every mask is read once, for all classes."""
        return files.pools(self._row_of, self._areas, classes=classes, min_pixels=min_pixels, advance=advance)

    def missing(self, image_ids: Sequence[str]) -> list[str]:
        """None: every row has its image, or is refused when that is read."""
        return []

    def pictures(self) -> list[Picture]:
        """See `Source.pictures`."""
        return [
            Picture(
                image_id=image_id,
                part="test",
                load=partial(self._bytes, "image", image_id),
                size=partial(self._size, image_id),
                formats=images.FORMATS,
            )
            for image_id in sorted(self._row_of)
        ]

    def _size(self, image_id: str) -> tuple[int, int] | None:
        if image_id in self.values.faulty:
            return None
        height, width = self.values.indices(image_id).shape
        return height, width

    def shown(self) -> Mapping[str, Sequence[int]]:
        """See `LabelledSource.shown`."""
        return {image_id: tuple(self._areas(image_id)) for image_id in self._row_of}

    def mask(self, class_id: int, image_id: str) -> tuple[Rle, Rle | None]:
        """See `LabelledSource.mask`."""
        indices = self.values.indices(image_id)
        ignored = indices == files.IGNORED
        return masks.encode(indices == class_id + 1), masks.encode(ignored) if ignored.any() else None

    def read(self, image_id: str, class_id: int) -> RawSample:
        """See `Source.read`."""
        mask, ignore = self.mask(class_id, image_id)
        return files.make_sample(
            self._bytes("image", image_id),
            where=self._where(image_id),
            image_id=image_id,
            class_id=class_id,
            mask=mask,
            ignore=ignore,
            n_classes=len(self._areas(image_id)),
            formats=images.FORMATS,
        )

    def _areas(self, image_id: str) -> dict[int, int]:
        """Mask pixels by class index, of the classes that an image shows; remembered."""
        return files.areas(self.values.histogram(image_id), n_classes=self.benchmark.n_classes)


def _image_id(value: object) -> str:
    """An id as it is written here, 12 digits or a name without its suffix; empty if it is neither."""
    if type(value) is int and value >= 0:
        return f"{value:012d}"
    if not isinstance(value, str) or not value.isprintable() or not Path(value).name:
        return ""
    return Path(value).with_suffix("").as_posix()


def _load(name: str, split: str | None, part: Part) -> tuple[str, str, Any]:
    """What a dataset is called in records, its split, and its rows with images as files.

    The same call reads the hub and the disk; a path on this machine goes into no record.
    """
    import datasets
    from datasets.exceptions import DatasetsError

    if not name:
        raise SourceError(f"'{PREFIX}' names no dataset", remedy=REMEDY)
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    path = Path(name).expanduser()
    local = path.exists()
    given: dict[str, Any] = {"path": str(path.resolve()) if local else name}
    if path.is_file():
        given = {"path": "parquet", "data_files": str(path.resolve())}
    try:
        there = datasets.get_dataset_split_names(**given)
        chosen = split or next((s for s in (*SPLITS[part], *there[: len(there) == 1]) if s in there), None)
        if chosen not in there:
            asked = "pass one as" if split is None else f"not '{split}'; pass one as"
            raise SourceError(f"{name} has the splits {', '.join(there)}, {asked} hf:{name}:{there[0]}")
        rows = datasets.load_dataset(**given, split=chosen)
    except (DatasetsError, OSError, ValueError) as error:
        cause = " ".join(str(error).split())
        raise SourceError(f"the dataset {name} cannot be loaded: {cause}", remedy=REMEDY) from error
    for column, feature in rows.features.items():
        if isinstance(feature, datasets.Image):
            rows = rows.cast_column(column, datasets.Image(decode=False))
    return "Parquet files" if local else name, str(chosen), rows

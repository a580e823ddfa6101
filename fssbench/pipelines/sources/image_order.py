"""The order in which list makers went through the images of a benchmark: a file that names them all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fssbench.base.errors import SourceError
from fssbench.episodes.benchmarks import Benchmark
from fssbench.pipelines.sources import files
from fssbench.pipelines.sources.published_files import differences, read_limited, record
from fssbench.schemas.manifest import FileRecord

__all__ = ["ImageOrder", "find_order", "has_lists", "open_order"]


@dataclass(frozen=True, kw_only=True)
class ImageOrder:
    """Image ids in order, and the file that names them."""

    images: tuple[str, ...]
    record: FileRecord

    def unofficial(self) -> tuple[str, ...]:
        """Whether the file is another than the published one."""
        return differences("hdmnet", (self.record,), kind="order of images")


def open_order(folder: Path, benchmark: Benchmark) -> ImageOrder:
    """The order in ``folder``; `SourceError` if it has none, or one that is malformed."""
    if (path := find_order(folder, benchmark)) is None:
        raise SourceError(
            f"there is no order of images {folder / benchmark.raw / 'val.txt'}",
            remedy="point at HDMNet's folder lists, which holds pascal/val.txt and coco/val.txt",
        )
    data = read_limited(path)
    images = tuple(files.image_name(line).rpartition("/")[2] for line in files.read_names(path))
    if len(set(images)) != len(images):
        raise SourceError(f"{path} names an image twice", remedy="use the file as published")
    return ImageOrder(images=images, record=record(f"{benchmark.raw}/val.txt", data))


def find_order(folder: Path, benchmark: Benchmark) -> Path | None:
    """Where the order of a benchmark's test images is, if it is there."""
    name = f"{benchmark.raw}/val.txt"
    places = (folder / name, folder / "val.txt", folder / "hdmnet" / name)
    return next((path for path in places if path.is_file()), None)


def has_lists(folder: Path, benchmark: Benchmark) -> bool:
    """Whether ``folder`` has list files of its own, of any fold."""
    places = (folder / benchmark.raw, folder, folder / "hdmnet" / benchmark.raw)
    return any((place / "fss_list").is_dir() for place in places)

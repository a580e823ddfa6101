"""HSNet's split files: the lists its published evaluation draws from, whose order is part of its protocol."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from fssbench.base.errors import SourceError
from fssbench.episodes.benchmarks import COCO_20I, FSS_1000, PASCAL_5I, Benchmark
from fssbench.episodes.lists import FoldLists
from fssbench.pipelines.sources import files
from fssbench.pipelines.sources.fss import CLASS_NAME
from fssbench.pipelines.sources.pickles import load_plain
from fssbench.pipelines.sources.published_files import differences, read_limited, record
from fssbench.schemas.manifest import FileRecord

__all__ = ["PUBLISHED", "SPLITS", "HsnetSplits", "parse_paths", "read_pairs"]

MOST_IMAGES = 1_000_000

PAIR = re.compile(r"(\d{4}_\d{6})__(\d{2})")
COCO_PATH = re.compile(r"(?:[\w.-]+/)*(?:COCO_(?:train|val)2014_)?(\d{12})\.jpe?g", re.ASCII)
SPLITS = {
    PASCAL_5I.alias: "val/fold{fold}.txt",
    COCO_20I.alias: "val/fold{fold}.pkl",
    FSS_1000.alias: "test.txt",
}
PUBLISHED = "use HSNet's split files as published"


class HsnetSplits:
    """HSNet's lists of test images for one benchmark, below one folder.

    ``folder`` is the one that holds ``pascal``, ``coco`` and ``fss``, or that of the benchmark among them, or one
    that holds them all as ``hsnet``; for FSS-1000 it may be the list itself. Files are read up to 16 MiB; what is
    in them is checked line by line.
    """

    def __init__(self, folder: Path, benchmark: Benchmark) -> None:
        self.folder = folder
        self.benchmark = benchmark
        self._contents: dict[int, bytes] = {}

    def records(self, fold: int) -> tuple[FileRecord, ...]:
        """See `SplitFiles.records`: one file."""
        return (record(self._name(fold), self._content(fold)),)

    def unofficial(self, fold: int) -> tuple[str, ...]:
        """See `SplitFiles.unofficial`."""
        return differences("hsnet", self.records(fold))

    def lists(self, fold: int) -> FoldLists:
        """See `SplitFiles.lists`; a pickle of anything but plain data is refused too."""
        read = {PASCAL_5I.alias: self._pairs, COCO_20I.alias: self._paths, FSS_1000.alias: self._names}
        return read[self.benchmark.alias](fold)

    def _name(self, fold: int) -> str:
        return f"{self.benchmark.alias}/{SPLITS[self.benchmark.alias].format(fold=fold)}"

    def path(self, fold: int) -> Path:
        """See `SplitFiles.path`."""
        self.benchmark.novel_classes(fold)  # refuses a fold that does not exist
        if self.folder.is_file() and self.benchmark is FSS_1000:
            return self.folder
        name = self._name(fold)
        for path in (self.folder / name, self.folder / name.partition("/")[2], self.folder / "hsnet" / name):
            if path.is_file():
                return path
        raise SourceError(
            f"there is no split file {self.folder / name}",
            remedy="point --splits at HSNet's folder data/splits, which holds pascal, coco and fss",
        )

    def _content(self, fold: int) -> bytes:
        """The fold's file, read once."""
        if fold not in self._contents:
            self._contents[fold] = read_limited(self.path(fold))
        return self._contents[fold]

    def _pairs(self, fold: int) -> FoldLists:
        novel = self.benchmark.novel_classes(fold)
        pairs = read_pairs(self.path(fold), novel, of=f" of fold {fold}")
        pools = {c: tuple(image for image, class_id in pairs if class_id == c) for c in novel}
        return FoldLists(pools=pools, queries=tuple((image, (class_id,)) for image, class_id in pairs))

    def _paths(self, fold: int) -> FoldLists:
        path, novel = self.path(fold), self.benchmark.novel_classes(fold)
        stored = parse_paths(self._content(fold), self.benchmark, where=path)
        if foreign := sorted(c for c, ids in stored.items() if ids and c not in novel):
            raise SourceError(f"{path} has images of class {foreign[0]}, none of fold {fold}'s", remedy=PUBLISHED)
        if twice := [c for c, ids in stored.items() if len(set(ids)) != len(ids)]:
            raise SourceError(f"{path} lists an image of class {twice[0]} twice", remedy=PUBLISHED)
        return FoldLists(pools={c: stored.get(c, ()) for c in novel})

    def _names(self, fold: int) -> FoldLists:
        """FSS-1000: names of test classes; sorted, each stands for images 1 to 10, asked in order of their paths."""
        novel, names = self.benchmark.novel_classes(fold), sorted(_names(self.path(fold)))
        if bad := [name for name in names if not CLASS_NAME.fullmatch(name)]:
            raise SourceError(f"{self.path(fold)} names '{bad[0][:40]}', expected names of folders", remedy=PUBLISHED)
        if len(names) > len(novel):
            raise SourceError(
                f"{self.path(fold)} has {len(names):,} classes, the benchmark tests {len(novel)}", remedy=PUBLISHED
            )
        pools = {c: tuple(f"{name}/{n}" for n in range(1, 11)) for c, name in zip(novel, names, strict=False)}
        queries = tuple((image, (c,)) for c, ids in pools.items() for image in sorted(ids))
        return FoldLists(pools={c: pools.get(c, ()) for c in novel}, queries=queries)


def _names(path: Path) -> Sequence[str]:
    read_limited(path)  # checks the size
    return files.read_names(path)


def read_pairs(path: Path, classes: Sequence[int], *, of: str = "") -> list[tuple[str, int]]:
    """PASCAL-5i: lines such as ``2007_000033__01``, an image and a class counted from 1, as pairs of image and class.

    Args:
        classes: that may stand in the file, without a gap.
        of: what they are, said if another stands there.
    """
    pairs = []
    for line in _names(path):
        pair = PAIR.fullmatch(line)
        if pair is None or int(pair[2]) - 1 not in classes:
            first, last = (f"{c + 1:02d}" for c in (classes[0], classes[-1]))
            raise SourceError(
                f"{path} has the line '{line[:40]}', expected an image and a class{of} ({first} to {last}), "
                f"as in 2007_000033__{first}",
                remedy=PUBLISHED,
            )
        pairs.append((pair[1], int(pair[2]) - 1))
    return pairs


def parse_paths(data: bytes, benchmark: Benchmark, *, where: Path) -> dict[int, tuple[str, ...]]:
    """COCO-20i: a pickled dict of class index → list of image paths, as class index → image ids."""
    stored = load_plain(data, where=str(where))
    if not isinstance(stored, dict) or not all(
        type(c) is int and 0 <= c < benchmark.n_classes and isinstance(paths, list) for c, paths in stored.items()
    ):
        raise SourceError(f"{where} is not a dict of class index → list of paths", remedy=PUBLISHED)
    if (total := sum(map(len, stored.values()))) > MOST_IMAGES:
        raise SourceError(f"{where} lists {total:,} images, expected at most {MOST_IMAGES:,}", remedy=PUBLISHED)
    return {c: tuple(_image_id(path, c, where) for path in paths) for c, paths in stored.items()}


def _image_id(path: object, class_id: int, where: Path) -> str:
    named = COCO_PATH.fullmatch(path) if isinstance(path, str) else None
    if named is None:
        raise SourceError(
            f"{where} lists {str(path)[:60]!r} for class {class_id}, expected a path such as "
            "val2014/COCO_val2014_000000000042.jpg",
            remedy=PUBLISHED,
        )
    return named[1]

"""The list files of HDMNet, BAM and PFENet (``fss_list``): reading them, and writing lists in their form.

A fold has two files. ``data_list_0.txt`` has the images in the order they are asked about, one a line.
``sub_class_file_list_0.txt`` is a Python dict of class, counted from 1, → the images that show it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from fssbench.base.errors import SourceError
from fssbench.episodes.benchmarks import COCO_20I, PASCAL_5I, Benchmark
from fssbench.episodes.lists import FoldLists
from fssbench.episodes.training import base_classes
from fssbench.pipelines.sources import files
from fssbench.pipelines.sources.base import Part
from fssbench.pipelines.sources.published_files import differences, published_digests, read_limited, record
from fssbench.schemas.manifest import FileRecord

__all__ = ["BENCHMARKS", "HdmnetSplits", "are_published", "list_files"]

BENCHMARKS: Mapping[str, re.Pattern[str]] = {
    PASCAL_5I.alias: re.compile(r"(\d{4}_\d{6})", re.ASCII),
    COCO_20I.alias: re.compile(r"COCO_(?:train|val)2014_(\d{12})", re.ASCII),
}
"""How images are named, by the alias of the benchmark."""
PREFIXES: Mapping[str, Mapping[Part, str]] = {
    PASCAL_5I.alias: {"test": "", "training": ""},
    COCO_20I.alias: {"test": "COCO_val2014_", "training": "COCO_train2014_"},
}
FOLDERS: Mapping[Part, str] = {"test": "val", "training": "train"}
LIST, POOLS = "data_list", "sub_class_file_list"
PLAIN = re.compile(r"[\w\s'\"\[\]{}:,]*", re.ASCII)
"""What such a dict is written with; no call, no operator and no name with a dot."""
PUBLISHED = "use HDMNet's list files as published"


class HdmnetSplits:
    """The list files of one benchmark and part, below one folder.

    ``folder`` is the one that holds ``pascal`` and ``coco``, or that of the benchmark among them, or one that holds
    them all as ``hdmnet``. Files are read up to 16 MiB; nothing in them is evaluated.
    """

    def __init__(self, folder: Path, benchmark: Benchmark, *, part: Part = "test") -> None:
        self.folder = folder
        self.benchmark = benchmark
        self.part: Part = part
        self._contents: dict[Path, bytes] = {}

    def records(self, fold: int) -> tuple[FileRecord, ...]:
        """See `SplitFiles.records`."""
        return tuple(
            record(_name(self.benchmark, self.part, kind, fold), self._read(kind, fold)) for kind in (LIST, POOLS)
        )

    def unofficial(self, fold: int) -> tuple[str, ...]:
        """See `SplitFiles.unofficial`."""
        return differences("hdmnet", self.records(fold))

    def path(self, fold: int) -> Path:
        """See `SplitFiles.path`."""
        return self._path(LIST, fold)

    def lists(self, fold: int) -> FoldLists:
        """See `SplitFiles.lists`. The classes of a query are those whose list names it."""
        listed: dict[str, list[int]] = {image: [] for image in self._images(fold)}
        pools = self._pools(fold)
        for class_id, ids in pools.items():
            for image in ids:
                if image not in listed:
                    raise SourceError(
                        f"{self._path(POOLS, fold)} lists {image}, which {self.path(fold)} does not", remedy=PUBLISHED
                    )
                listed[image].append(class_id)
        if bare := [image for image, classes in listed.items() if not classes]:
            raise SourceError(
                f"{self.path(fold)} lists {bare[0]}, which {self._path(POOLS, fold)} has for no class", remedy=PUBLISHED
            )
        return FoldLists(pools=pools, queries=tuple((image, tuple(classes)) for image, classes in listed.items()))

    def _path(self, kind: str, fold: int) -> Path:
        self.benchmark.novel_classes(fold)  # refuses a fold that does not exist
        name = _name(self.benchmark, self.part, kind, fold)
        for path in (self.folder / name, self.folder / name.partition("/")[2], self.folder / "hdmnet" / name):
            if path.is_file():
                return path
        raise SourceError(
            f"there is no split file {self.folder / name}",
            remedy="name HDMNet's folder lists, which holds pascal and coco with fss_list in each",
        )

    def _read(self, kind: str, fold: int) -> bytes:
        """A file of the fold, read once."""
        path = self._path(kind, fold)
        if path not in self._contents:
            self._contents[path] = read_limited(path)
        return self._contents[path]

    def _images(self, fold: int) -> Sequence[str]:
        self._read(LIST, fold)  # checks the size
        path = self.path(fold)
        return self._ids(path, files.read_names(path))

    def _pools(self, fold: int) -> dict[int, tuple[str, ...]]:
        path, classes = self._path(POOLS, fold), _classes(self.benchmark, self.part, fold)
        pools: dict[int, tuple[str, ...]] = dict.fromkeys(classes, ())
        for class_id, images in _literal(self._read(POOLS, fold), path).items():
            if type(class_id) is not int or not isinstance(images, list):
                raise SourceError(f"{path} is not a dict of class → list of images", remedy=PUBLISHED)
            if class_id - 1 not in pools:
                raise SourceError(f"{path} has class {class_id}, none of fold {fold}'s", remedy=PUBLISHED)
            pools[class_id - 1] = self._ids(path, images)
        return pools

    def _ids(self, path: Path, images: Sequence[object]) -> tuple[str, ...]:
        ids = []
        for image in images:
            named = BENCHMARKS[self.benchmark.alias].fullmatch(image) if isinstance(image, str) else None
            if named is None:
                example = PREFIXES[self.benchmark.alias][self.part] or "2007_000033"
                raise SourceError(
                    f"{path} lists {str(image)[:40]!r}, expected an image of {self.benchmark.title} such as "
                    f"{example if example[-1] != '_' else f'{example}000000000042'}",
                    remedy=PUBLISHED,
                )
            ids.append(named[1])
        if len(set(ids)) != len(ids):
            raise SourceError(f"{path} lists an image twice", remedy=PUBLISHED)
        return tuple(ids)


def _literal(data: bytes, path: Path) -> dict[object, object]:
    """The dict in a file, whose values are looked at by the caller; nothing of it is run."""
    try:
        text = data.decode("ascii")
        stored = ast.literal_eval(text.strip()) if PLAIN.fullmatch(text) else None
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        stored = None
    if not isinstance(stored, dict):
        raise SourceError(f"{path} is not a dict of class → list of images", remedy=PUBLISHED)
    return stored


def _name(benchmark: Benchmark, part: Part, kind: str, fold: int) -> str:
    return f"{benchmark.alias}/fss_list/{FOLDERS[part]}/{kind}_{fold}.txt"


def _classes(benchmark: Benchmark, part: Part, fold: int) -> tuple[int, ...]:
    return benchmark.novel_classes(fold) if part == "test" else base_classes(benchmark, fold)


def list_files(lists: FoldLists, benchmark: Benchmark, fold: int, *, part: Part = "test") -> dict[str, bytes]:
    """Lists as the publication writes them, byte for byte: a fold's two files by name."""
    prefix = PREFIXES[benchmark.alias][part]
    images = "".join(f"{prefix}{image}\n" for image, _ in lists.queries)
    pools = ",\n".join(f"{c + 1}: {[f'{prefix}{image}' for image in ids]}" for c, ids in sorted(lists.pools.items()))
    return {
        _name(benchmark, part, LIST, fold): images.encode(),
        _name(benchmark, part, POOLS, fold): f"{{{pools}}}".encode(),
    }


def are_published(lists: FoldLists, benchmark: Benchmark, fold: int) -> bool:
    """Whether lists of test images, however they were made, are the published ones in the published order."""
    if benchmark.alias not in BENCHMARKS:
        return False
    known = published_digests("hdmnet")
    written = list_files(lists, benchmark, fold)
    return all(record(name, data).sha256 == known.get(name) for name, data in written.items())

"""HSNet's lists of training images: for PASCAL-5i and COCO-20i, which images serve which base class.

They are no rule that can be recomputed: images are missing from them that show more of a class than others that are
there. For FSS-1000 the lists name classes, which are part of the training set itself.
"""

from __future__ import annotations

from pathlib import Path

from fssbench.base.errors import SourceError, UsageError
from fssbench.episodes.benchmarks import COCO_20I, PASCAL_5I, Benchmark
from fssbench.pipelines.sources import files
from fssbench.pipelines.sources.hsnet_splits import COCO_PATH, PAIR, PUBLISHED
from fssbench.pipelines.sources.pickles import load_plain
from fssbench.pipelines.sources.published_files import read_limited

__all__ = ["Pairs", "read_hsnet_lists"]

Pairs = frozenset[tuple[str, int]]
"""Images, each with a class it may serve."""


def read_hsnet_lists(folder: Path, benchmark: Benchmark, fold: int) -> Pairs:
    """The pairs that HSNet's published code trains on when ``fold`` is tested.

    Args:
        folder: that holds ``pascal`` and ``coco``, or one that holds them as ``hsnet``.

    Raises:
        UsageError: there are no such lists for the benchmark, or no such fold.
        SourceError: a list is missing, too large, malformed, or of other classes.
    """
    novel = set(benchmark.novel_classes(fold))
    if benchmark is PASCAL_5I:  # one list for the classes of every fold
        others = (other for other in range(len(benchmark.folds)) if other != fold)
        pairs = frozenset().union(*(_lines(_find(folder, f"pascal/trn/fold{other}.txt")) for other in others))
    elif benchmark is COCO_20I:
        pairs = _pickle(_find(folder, f"coco/trn/fold{fold}.pkl"), benchmark)
    else:
        raise UsageError(
            f"HSNet has no lists of training images for {benchmark.title}", remedy="they are for PASCAL-5i and COCO-20i"
        )
    if foreign := sorted({class_id for _, class_id in pairs} & novel):
        raise SourceError(f"the lists in {folder} train class {foreign[0]}, which fold {fold} tests", remedy=PUBLISHED)
    return pairs


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / "hsnet" / name):
        if path.is_file():
            return path
    raise SourceError(
        f"there is no list {folder / name}", remedy="name HSNet's folder data/splits, which holds pascal and coco"
    )


def _lines(path: Path) -> Pairs:
    """Lines such as ``2007_000032__01``, an image and a class counted from 1."""
    pairs = set()
    read_limited(path)  # checks the size
    for line in files.read_names(path):
        pair = PAIR.fullmatch(line)
        if pair is None or not 1 <= int(pair[2]) <= PASCAL_5I.n_classes:
            raise SourceError(
                f"{path} has the line '{line[:40]}', expected an image and a class, as in 2007_000032__01",
                remedy=PUBLISHED,
            )
        pairs.add((pair[1], int(pair[2]) - 1))
    return frozenset(pairs)


def _pickle(path: Path, benchmark: Benchmark) -> Pairs:
    """A pickled dict of class index → list of image paths."""
    stored = load_plain(read_limited(path), where=str(path))
    if not isinstance(stored, dict):
        raise SourceError(f"{path} is no dict of class index → list of paths", remedy=PUBLISHED)
    pairs = set()
    for class_id, paths in stored.items():
        if type(class_id) is not int or not 0 <= class_id < benchmark.n_classes or not isinstance(paths, list):
            raise SourceError(f"{path} is no dict of class index → list of paths", remedy=PUBLISHED)
        for entry in paths:
            named = COCO_PATH.fullmatch(entry) if isinstance(entry, str) else None
            if named is None:
                raise SourceError(
                    f"{path} lists {str(entry)[:60]!r} for class {class_id}, expected a path such as "
                    "train2014/COCO_train2014_000000000009.jpg",
                    remedy=PUBLISHED,
                )
            pairs.add((named[1], class_id))
    return frozenset(pairs)

"""HSNet's lists of training images: for PASCAL-5i and COCO-20i, which images serve which base class.

COCO's follow from label maps: an image serves a class from 2,048 pixels on, also if it shows a novel one. PASCAL's go
back to OSLSM's rule, at least three pixels of the mask at 1/32 of the size. Where that looks is not known to the pixel,
so they are not derived; ``tools/training_lists.py`` counts how near one comes. For FSS-1000 the lists name classes,
which are part of the training set itself.
"""

from __future__ import annotations

from pathlib import Path

from fssbench.base.errors import SourceError, UsageError
from fssbench.episodes.benchmarks import COCO_20I, PASCAL_5I, Benchmark
from fssbench.pipelines.sources.hsnet_splits import PUBLISHED, parse_paths, read_pairs
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
        lists = (_find(folder, f"pascal/trn/fold{other}.txt") for other in others)
        pairs = frozenset(pair for path in lists for pair in read_pairs(path, range(benchmark.n_classes)))
    elif benchmark is COCO_20I:
        path = _find(folder, f"coco/trn/fold{fold}.pkl")
        stored = parse_paths(read_limited(path), benchmark, where=path)
        pairs = frozenset((image_id, class_id) for class_id, ids in stored.items() for image_id in ids)
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

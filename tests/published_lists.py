"""HSNet's lists of test images in an encoding of our own, from which its split files are written again.

``golden/lists`` says what the split files say, one Parquet table a benchmark: which images stand for which
class, in which order. Files written from it have the SHA-256 of the published ones. To derive the tables from
a copy of HSNet's folder ``data/splits``, run ``python tests/published_lists.py FOLDER``.
"""

from __future__ import annotations

import pickle
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fssbench.base import parquet
from fssbench.episodes.benchmarks import COCO_20I, FSS_1000, PASCAL_5I, Benchmark
from fssbench.pipelines.sources.hsnet_splits import HsnetSplits

STORED = Path(__file__).parent / "golden" / "lists"
BENCHMARKS = (PASCAL_5I, COCO_20I, FSS_1000)


def stored(benchmark: Benchmark) -> pa.Table:
    """The table of a benchmark."""
    return parquet.read((STORED / f"{benchmark.alias}.parquet").read_bytes())


# --- tables from split files ----------------------------------------------------------------------------


def encode(folder: Path) -> dict[Benchmark, pa.Table]:
    """The tables of the split files in a folder; `ValueError` for a file that is not the published one."""
    pascal, coco, fss = (HsnetSplits(folder, benchmark) for benchmark in BENCHMARKS)
    for splits in (pascal, coco, fss):
        for fold in range(len(splits.benchmark.folds)):
            if reasons := splits.unofficial(fold):
                raise ValueError(reasons[0])
    pairs = [(image, c) for fold in range(4) for image, (c,) in pascal.lists(fold).queries]
    return {
        PASCAL_5I: pa.table({
            "image": pa.array([image for image, _ in pairs], pa.string()),
            "class": pa.array([c for _, c in pairs], pa.uint8()),
        }),
        COCO_20I: _images_with_classes({
            c: [int(image) for image in ids] for fold in range(4) for c, ids in coco.lists(fold).pools.items()
        }),
        # The product's reader sorts these names.
        FSS_1000: pa.table({"class": pa.array(fss.path(0).read_text().split(), pa.string())}),
    }  # fmt: skip


def _images_with_classes(pools: dict[int, list[int]]) -> pa.Table:
    """One row an image, in an order that all classes' lists follow; `graphlib.CycleError` if none exists."""
    earlier: dict[int, list[int]] = {}
    classes: dict[int, list[int]] = {}
    for c, ids in sorted(pools.items()):
        for before, image in zip([None, *ids], ids, strict=False):
            earlier.setdefault(image, []).extend([] if before is None else [before])
            classes.setdefault(image, []).append(c)
    order = list(TopologicalSorter(earlier).static_order())
    return pa.table({
        "image": pa.array(order, pa.int32()),
        "classes": pa.array([classes[image] for image in order], pa.list_(pa.uint8())),
    })  # fmt: skip


def store(tables: dict[Benchmark, pa.Table]) -> None:
    """Write the tables; the same tables give the same bytes."""
    STORED.mkdir(exist_ok=True)
    for benchmark, table in tables.items():
        path = STORED / f"{benchmark.alias}.parquet"
        pq.write_table(table, path, compression="zstd", compression_level=19, use_dictionary=False)


# --- split files from tables ----------------------------------------------------------------------------


def write_split_files(folder: Path) -> Path:
    """HSNet's split files of test images, byte for byte as published."""
    pairs = stored(PASCAL_5I).to_pylist()
    for fold in range(4):
        novel = PASCAL_5I.novel_classes(fold)
        listed = [f"{row['image']}__{row['class'] + 1:02d}\n" for row in pairs if row["class"] in novel]
        _write(folder / f"pascal/val/fold{fold}.txt", "".join(listed).encode())
    lists: dict[int, list[str]] = {c: [] for c in range(COCO_20I.n_classes)}
    for row in stored(COCO_20I).to_pylist():
        # One object for all classes: a pickle refers back to an object that it has written.
        path = f"val2014/COCO_val2014_{row['image']:012d}.jpg"
        for c in row["classes"]:
            lists[c].append(path)
    for fold in range(4):
        novel = COCO_20I.novel_classes(fold)
        listed_here = {c: ids if c in novel else [] for c, ids in lists.items()}
        _write(folder / f"coco/val/fold{fold}.pkl", pickle.dumps(listed_here, protocol=3))
    names = stored(FSS_1000)["class"].to_pylist()
    _write(folder / "fss/test.txt", "".join(f"{name}\r\n" for name in names).encode())
    return folder


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


if __name__ == "__main__":
    store(encode(Path(sys.argv[1])))

"""VOC 2012's validation images, drawn: grey pictures whose masks show the published classes.

``golden/lists/voc.parquet`` says how many pixels of which class each of the 1,449 masks has. To derive it from
a copy of VOC 2012, run ``python tests/drawn_voc.py FOLDER``.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from fssbench.base import parquet
from fssbench.pipelines.sources.pascal import PascalSource

STORED = Path(__file__).parent / "golden" / "lists" / "voc.parquet"
SIDE = 112
ENOUGH = 2_048
"""Pixels from which on an image serves a class; a protocol asks for no more, so none is drawn with more."""
BORDER = 255


def stored() -> pa.Table:
    """One row an image: its id, its classes, and how many pixels of each its mask has."""
    return parquet.read(STORED.read_bytes())


def encode(folder: Path) -> pa.Table:
    """The table of a VOC 2012 folder; `ValueError` if its masks are not VOC's."""
    source = PascalSource(folder)
    if reasons := source.unofficial():
        raise ValueError(reasons[0])
    areas = [source.areas(image) for image in source.image_ids]
    return pa.table({
        "image": pa.array(source.image_ids, pa.string()),
        "classes": pa.array([list(shown) for shown in areas], pa.list_(pa.uint8())),
        "pixels": pa.array([list(shown.values()) for shown in areas], pa.list_(pa.int32())),
    })  # fmt: skip


def store(table: pa.Table) -> None:
    """Write the table; the same table gives the same bytes."""
    pq.write_table(table, STORED, compression="zstd", compression_level=19, use_dictionary=False)


def draw_voc(folder: Path) -> Path:
    """A VOC 2012 folder of small squares: rows of each class, then a border; all photographs are one grey."""
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (folder / name).mkdir(parents=True)
    rows = stored().to_pylist()
    (folder / "ImageSets/Segmentation/val.txt").write_text("".join(f"{row['image']}\n" for row in rows))
    photograph = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE), (90, 90, 90)).save(photograph, "JPEG")
    for row in rows:
        values = [c + 1 for c in row["classes"]]
        drawn = np.repeat([*values, BORDER], [*(min(n, ENOUGH) for n in row["pixels"]), 9])
        mask = np.zeros(SIDE * SIDE, np.uint8)
        mask[: drawn.size] = drawn
        Image.fromarray(mask.reshape(SIDE, SIDE)).save(folder / f"SegmentationClass/{row['image']}.png")
        (folder / f"JPEGImages/{row['image']}.jpg").write_bytes(photograph.getvalue())
    return folder


if __name__ == "__main__":
    store(encode(Path(sys.argv[1])))

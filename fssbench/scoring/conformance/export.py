"""The kit as files, for another tool to score."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from fssbench.base.errors import UsageError
from fssbench.base.files import write_atomic
from fssbench.base.listing import holds_something
from fssbench.scoring.conformance.kit import ABSENT, CLASSES, IGNORE_LABEL, PAIRS

__all__ = ["export_kit"]

NAMED = ", ".join(f"{class_id} {name}" for class_id, name in CLASSES.items())
README = f"""The conformance kit of fssbench: {len(PAIRS)} episodes to score with your tool.

episodes.csv    one line an episode, in the order in which they are asked
predictions/    the predicted masks: 0 background, 1 foreground
truths/         the true masks: 0 background, 1 foreground, {IGNORE_LABEL} ignored
numbers.json    fill in what your tool gives: values in [0, 1], or all in percent;
                null is "undefined"; delete the lines of what it does not report

The fold has {len(CLASSES)} classes: {NAMED}. Class {ABSENT} has no episode.

Then:  fssbench conformance --check numbers.json
"""


def export_kit(folder: Path) -> None:
    """Write the kit to a new or empty folder: PNG masks, ``episodes.csv``, ``numbers.json`` to fill in, a README.

    Raises:
        UsageError: there is something in the folder, which may hold numbers filled in.
        StorageError: it cannot be written.
    """
    if folder.is_file() or (folder.is_dir() and holds_something(folder)):
        raise UsageError(f"{folder} exists and is not an empty folder", remedy="name a new one")
    table = io.StringIO()
    lines = csv.writer(table, lineterminator="\n")
    lines.writerow(("index", "class_id", "class", "query", "prediction", "truth"))
    for index, pair in enumerate(PAIRS):
        name = f"{index:02d}.png"
        write_atomic(folder / "predictions" / name, _png(pair.predicted))
        write_atomic(folder / "truths" / name, _png(pair.label))
        files = (f"predictions/{name}", f"truths/{name}")
        lines.writerow((index, pair.class_id, CLASSES[pair.class_id], pair.query, *files))
    write_atomic(folder / "episodes.csv", table.getvalue())
    blank = {"miou": "?", "fb_iou": "?", "per_class": dict.fromkeys(map(str, CLASSES), "?")}
    write_atomic(folder / "numbers.json", json.dumps(blank, indent=1) + "\n")
    write_atomic(folder / "README.txt", README)


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()

"""COCO drawn with what is odd about the real one: crowds, several polygons, grey, CMYK and sideways photographs."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from fssbench.episodes.benchmarks import COCO_20I, COCO_CLASSES

Mask = npt.NDArray[np.bool_]
Box = tuple[int, int, int, int]
"""x, y, width, height in pixels."""

CATEGORY_IDS = [i for i in range(1, 91) if i not in {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}]
"""COCO's own, with their gaps."""
IMAGES = 2 * COCO_20I.n_classes
OBJECT: tuple[Box, Box] = ((4, 3, 12, 10), (22, 14, 10, 12))
"""Every image shows a class in two pieces, one annotation with two polygons."""
COMPANION: Box = (20, 2, 12, 8)
"""Every fifth image also shows the next class."""
CROWD: Box = (2, 28, 18, 6)
"""Every fourth image has a crowd of its class, stored as run lengths."""


@dataclass(frozen=True)
class DrawnCoco:
    """A folder in COCO's layout of 2017, and what each of its images shows.

    Attributes:
        masks: the pixels (H, W) of a class, without crowds, by image id and class index.
        shown: the pixels (H, W) of all classes by image id: bright in its photograph, all else is dark.
    """

    folder: Path
    masks: dict[tuple[str, int], Mask]
    shown: dict[str, Mask]


def draw_coco(folder: Path) -> DrawnCoco:
    """160 images; image n shows class n mod 80, so that every class has two images at least."""
    (folder / "annotations").mkdir(parents=True)
    (folder / "val2017").mkdir()
    drawn = DrawnCoco(folder, {}, {})
    records: list[dict[str, Any]] = []
    annotations: list[tuple[int, int, int, Any]] = []
    for n in range(IMAGES):
        width, height = ((48, 36), (36, 48), (56, 40))[n % 3]
        image_id, c = f"{n + 1:012d}", n % COCO_20I.n_classes
        objects: dict[int, tuple[Box, ...]] = {c: OBJECT}
        if n % 5 == 0:
            objects[(c + 1) % COCO_20I.n_classes] = (COMPANION,)
        for class_id, boxes in objects.items():
            drawn.masks[image_id, class_id] = painted(boxes, width, height)
            annotations.append((n + 1, class_id, 0, [polygon(box) for box in boxes]))
        if n % 4 == 0:
            crowd = {"size": [height, width], "counts": runs(painted((CROWD,), width, height))}
            annotations.append((n + 1, c, 1, crowd))
        drawn.shown[image_id] = painted([box for boxes in objects.values() for box in boxes], width, height)
        name = f"{image_id}.jpg"
        (folder / "val2017" / name).write_bytes(photograph(drawn.shown[image_id], kind=n % 5))
        records.append({"id": n + 1, "file_name": name, "width": width, "height": height})
    content = {
        "images": records,
        "categories": [{"id": i, "name": name} for i, name in zip(CATEGORY_IDS, COCO_CLASSES, strict=True)],
        "annotations": [
            {"id": k, "image_id": i, "category_id": CATEGORY_IDS[c], "iscrowd": crowd, "segmentation": segmentation}
            for k, (i, c, crowd, segmentation) in enumerate(annotations, 1)
        ],
    }
    (folder / "annotations/instances_val2017.json").write_text(json.dumps(content))
    return drawn


def painted(boxes: tuple[Box, ...] | list[Box], width: int, height: int) -> Mask:
    """The union of boxes."""
    mask = np.zeros((height, width), dtype=bool)
    for x, y, w, h in boxes:
        mask[y : y + h, x : x + w] = True
    return mask


def polygon(box: Box) -> list[int]:
    """A box as COCO writes polygons."""
    x, y, w, h = box
    return [x, y, x + w, y, x + w, y + h, x, y + h]


def runs(mask: Mask) -> list[int]:
    """A mask as COCO writes crowds: lengths of runs down the columns, the first of background."""
    flat = np.concatenate([[False], mask.ravel(order="F")])
    ends = [*np.flatnonzero(np.diff(flat)), mask.size]
    return [int(run) for run in np.diff([0, *ends])]


def photograph(bright: Mask, *, kind: int) -> bytes:
    """A JPEG of some pixels bright on dark.

    ``kind`` 0 is RGB, 1 grey, 2 CMYK, 3 stored on its side with EXIF saying so, and 4 stored upright although
    EXIF says that it is not, as some of COCO are.
    """
    image = Image.fromarray(np.where(bright, 230, 30).astype(np.uint8))
    exif = Image.Exif()
    if kind == 3:
        image = image.transpose(Image.Transpose.ROTATE_90)
    if kind in {3, 4}:
        exif[0x0112] = 6  # turn it by 90° clockwise
    image = image if kind == 1 else image.convert("CMYK" if kind == 2 else "RGB")
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95, exif=exif)
    return buffer.getvalue()

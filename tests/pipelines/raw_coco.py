"""Small COCO data sets, made on the spot: three classes of fold 0 with four images each, and their faults."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fssbench.episodes.benchmarks import COCO_CLASSES

# COCO's own category ids, with their gaps.
CATEGORY_IDS = [i for i in range(1, 91) if i not in {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}]
WIDTH, HEIGHT = 40, 30
IMAGES_PER_CLASS = 4


def jpeg(width: int = WIDTH, height: int = HEIGHT, *, mode: str = "RGB", orientation: int = 1, seed: int = 0) -> bytes:
    """A JPEG of noise in the given mode; ``width`` and ``height`` are those of the stored pixels."""
    channels = {"L": (), "RGB": (3,), "CMYK": (4,)}[mode]
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, *channels), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(pixels, mode=None if mode != "CMYK" else "CMYK").save(buffer, "JPEG", quality=95, exif=exif)
    return buffer.getvalue()


def polygon(x: float, y: float, width: float, height: float) -> list[float]:
    """A rectangle as a COCO polygon."""
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def content(classes: tuple[int, ...] = (0, 4, 8)) -> dict[str, Any]:
    """Annotations: image n shows class ``classes[n % 3]`` as a 20×15 rectangle."""
    n_images = IMAGES_PER_CLASS * len(classes)
    return {
        "images": [
            {"id": n + 1, "file_name": f"COCO_val2014_{n + 1:012d}.jpg", "width": WIDTH, "height": HEIGHT}
            for n in range(n_images)
        ],
        "categories": [
            {"id": category, "name": name} for category, name in zip(CATEGORY_IDS, COCO_CLASSES, strict=True)
        ],
        "annotations": [
            {
                "id": n + 1,
                "image_id": n + 1,
                "category_id": CATEGORY_IDS[classes[n % len(classes)]],
                "iscrowd": 0,
                "segmentation": [polygon(5, 5, 20, 15)],
            }
            for n in range(n_images)
        ],
    }


def write_coco(folder: Path, data: dict[str, Any] | None = None, *, year: int = 2014) -> Path:
    """A COCO folder in the layout of 2014 or 2017, with a JPEG for every image named."""
    data = content() if data is None else data
    images = folder / f"val{year}"
    images.mkdir(parents=True)
    (folder / "annotations").mkdir()
    (folder / "annotations" / f"instances_val{year}.json").write_text(json.dumps(data))
    for image in data["images"]:
        (images / file_name(image["id"], year)).write_bytes(
            jpeg(image.get("width", WIDTH), image["height"], seed=image["id"])
        )
    return folder


def file_name(image_id: int, year: int = 2014) -> str:
    """The name an image is published under."""
    return f"COCO_val2014_{image_id:012d}.jpg" if year == 2014 else f"{image_id:012d}.jpg"

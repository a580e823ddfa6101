"""How decoding scales: images a second by 1, 2, 4, 8 workers, threads against processes, alone and beside Python.

    python benchmarks/workers.py FOLDER [--workers 1,2,4,8] [--images 200] [--repeats 3]

decodes the JPEG files below FOLDER and resizes them as for a model, all ways taking turns. Threads share the
interpreter's lock, which Pillow gives up while it works. So they are measured once with nothing beside them, and once
beside a thread that runs Python all the time, as no evaluation does. Processes send nothing back: what pixels take on
their way would come on top.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import torch

from fssbench.models.interface import Preprocess
from fssbench.pipelines.formats import images

PREPROCESS = Preprocess(size=400)


def prepare(data: bytes) -> int:
    """Decode and resize an image; how many numbers that gives."""
    return PREPROCESS.image(images.decode(data, where="it")).contiguous().numel()


def prepare_quietly(data: bytes) -> int:
    """The same in a process, where torch is to leave the other cores alone."""
    torch.set_num_threads(1)
    return prepare(data)


@contextmanager
def beside_python() -> Iterator[None]:
    """A thread that runs Python and holds the interpreter's lock as long as it is let."""
    over = threading.Event()

    def turn() -> None:
        n = 0
        while not over.is_set():
            n += 1

    thread = threading.Thread(target=turn)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def rate(pool: Executor, work: Callable[[bytes], int], files: list[bytes], repeats: int) -> float:
    """Images a second, the quickest of some turns."""
    list(pool.map(work, files[:8]))
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        list(pool.map(work, files))
        best = min(best, time.perf_counter() - start)
    return len(files) / best


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="Searched for *.jpg.")
    parser.add_argument("--workers", default="1,2,4,8", help="Numbers of workers, joined by commas.")
    parser.add_argument("--images", type=int, default=200, help="Files of a turn.")
    parser.add_argument("--repeats", type=int, default=3, help="Turns; the quickest counts.")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    files = [path.read_bytes() for path in sorted(arguments.folder.rglob("*.jpg"))[: arguments.images]]
    print(f"{len(files)} images, {os.cpu_count()} cores; images/s")
    print(f"{'workers':>8} {'threads':>9} {'threads beside Python':>23} {'processes':>10}")
    for n in map(int, arguments.workers.split(",")):
        with ThreadPoolExecutor(n) as threads:
            alone = rate(threads, prepare, files, arguments.repeats)
            with beside_python():
                beside = rate(threads, prepare, files, arguments.repeats)
        with ProcessPoolExecutor(n, mp_context=get_context("spawn")) as processes:
            apart = rate(processes, prepare_quietly, files, arguments.repeats)
        print(f"{n:8} {alone:9.0f} {beside:23.0f} {apart:10.0f}")


if __name__ == "__main__":
    main()

"""What an evaluation does beside the model: milliseconds an episode, stage by stage, with models that answer at once.

    python benchmarks/host_path.py FOLDER [--set coco-20i/strict/fold0] [--episodes 1000] [--workers 2]

asks the episodes of a prepared set below FOLDER twice of each model: once to measure what the thread that scores takes
in all, once with its stages told apart, which takes a little longer. ``all-foreground`` is asked whole episodes and
looks at no image; the other one has features, which are encoded, kept and matched as HSNet's are. Time is the
processor's, of the thread itself, so a busy machine shifts it less than the clock. What the models do is among it.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import inspect
import platform
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fssbench.engine.evaluate import answers
from fssbench.engine.partial import ScoredEpisode, unfinished
from fssbench.models.baselines import AllForeground
from fssbench.models.interface import FeatureSegmenter, FewShotSegmenter, Preprocess, Size
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet

STAGES = {
    "read shards and check their hashes": ["fssbench.pipelines.formats.shards:read_checked"],
    "take tar files apart": ["fssbench.pipelines.episode_sets.stream:by_webdataset"],
    "read JSON": [
        "fssbench.schemas.samples:ImageMeta.model_validate_json",
        "fssbench.schemas.samples:EpisodeSample.model_validate_json",
    ],
    "decode images": ["fssbench.pipelines.formats.images:decode"],
    "decode masks": ["fssbench.pipelines.episode_sets.stream:truth_of"],
    "resize images": ["fssbench.models.interface:Preprocess.image"],
    "resize masks": [
        "fssbench.models.interface:resize_mask",
        "fssbench.models.segmenter:resize_mask",
        "fssbench.models.preprocess:resize_mask",
        "fssbench.engine.prepared:resize_mask",
        "fssbench.results.counting:resize_mask",
    ],
    "order episodes for reuse": ["fssbench.engine.feature_asker:FeatureAsker.arrange"],
    "look ahead": ["fssbench.pipelines.formats.lookahead:Lookahead.take"],
    "normalise images": ["fssbench.models.interface:Preprocess.normalise"],
    "keep features": [
        "fssbench.base.belady:BeladyCache.begin",
        "fssbench.engine.feature_asker:FeatureAsker._keep",
    ],
    "ask": ["fssbench.engine.askers:PlainAsker.__call__", "fssbench.engine.feature_asker:FeatureAsker.__call__"],
    "count": [
        "fssbench.engine.evaluate:policy_counts",
        "fssbench.engine.evaluate:pixel_sums",
        "fssbench.engine.evaluate:scored",
        "fssbench.engine.evaluate:facts_of",
    ],
    "write the partial file": ["fssbench.engine.partial:Unfinished.add"],
}
"""Functions by what they do; time within one that belongs to another stage is that one's alone."""

ELSE = "all else"
BLOCK = 50
"""Episodes of which the quickest are told too: what a busy machine disturbs least."""


class Instant(FeatureSegmenter):
    """A model whose features are one number an image, and whose masks are foreground throughout."""

    reads_images = False

    def __init__(self) -> None:
        super().__init__()
        self.preprocess = Preprocess(size=400)

    def encode(self, images: Tensor) -> list[Tensor]:
        """Images (N, 3, H, W) → one number each (N, 1)."""
        return [images[:, 0, 0, :1].clone()]

    def condition(self, features: list[Tensor], images: Tensor, masks: Tensor) -> list[Tensor]:
        """The features."""
        return features

    def match(self, query: list[Tensor], supports: list[Tensor]) -> Tensor:
        """Logits (B, 1, 2, 1, 1) of nothing."""
        return torch.zeros(len(query[0]), 1, 2, 1, 1)

    def decide(self, logits: Tensor, size: Size) -> Tensor:
        """Ones (B, h, w) uint8."""
        return torch.ones(len(logits), *size, dtype=torch.uint8)


class Clock:
    """The processor's seconds by thread and stage."""

    def __init__(self) -> None:
        self.spent: dict[str, dict[str, float]] = {}
        self.local = threading.local()

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Charge what the block takes, but for stages within it, to a stage."""
        within: list[float] = self.local.__dict__.setdefault("within", [])
        start = time.thread_time()
        within.append(0.0)
        try:
            yield
        finally:
            whole, inner = time.thread_time() - start, within.pop()
            scoring = threading.current_thread() is threading.main_thread()
            self.spent.setdefault("scoring" if scoring else "other", defaultdict(float))[name] += whole - inner
            if within:
                within[-1] += whole

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function, or one that gives an iterator, charged to a stage."""

        @functools.wraps(function)
        def called(*args: Any, **options: Any) -> Any:
            with self.stage(name):
                found = function(*args, **options)
            return self.stepwise(name, found) if isinstance(found, Iterator) else found

        return called

    def stepwise(self, name: str, iterator: Iterator[Any]) -> Iterator[Any]:
        """An iterator each step of which is charged."""
        while True:
            with self.stage(name):
                one = next(iterator, self)
            if one is self:
                return
            yield one


@contextlib.contextmanager
def told_apart(clock: Clock) -> Iterator[None]:
    """Time the functions of `STAGES` while the block runs; those that this version has not are left out."""
    with contextlib.ExitStack() as stack:
        for name, places in STAGES.items():
            for place in places:
                module, _, path = place.partition(":")
                try:
                    *outer, last = path.split(".")
                    owner: Any = functools.reduce(getattr, outer, importlib.import_module(module))
                    function = getattr(owner, last)
                except (ImportError, AttributeError):
                    continue
                timed = clock.timed(name, function)
                bound = inspect.isclass(owner) and inspect.ismethod(function)
                here = owner.__dict__.get(last)
                setattr(owner, last, staticmethod(timed) if bound else timed)
                stack.callback(delattr, owner, last) if here is None else stack.callback(setattr, owner, last, here)
        yield


def ask(
    model: FewShotSegmenter, episode_set: EpisodeSet, options: argparse.Namespace, folder: Path
) -> tuple[int, float, float]:
    """Ask the episodes and keep their counts as `fssbench eval` does.

    Returns how many there were, and of this thread's seconds all and those of the quickest `BLOCK` episodes.
    """
    asked = answers(
        model,
        episode_set,
        shot=options.shot,
        seed=options.seed,
        episodes=options.episodes,
        workers=options.workers,
        device="cpu",
    )
    marks = [time.thread_time()]
    with unfinished(folder / "counts.partial", identity="host path") as so_far:
        for answer in asked:
            so_far.add(ScoredEpisode(answer.scored, {}))
            if len(so_far.kept) % BLOCK == 0:
                marks.append(time.thread_time())
        n = len(so_far.kept)
    best = min((after - before for before, after in pairwise(marks)), default=float("nan"))
    return n, time.thread_time() - marks[0], best


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sets", type=Path, help="Folder of sets, as `fssbench prepare --output` wrote it.")
    parser.add_argument("--set", default="coco-20i/strict/fold0", help="Which of them.")
    parser.add_argument("--shot", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--episodes", type=int, default=1_000)
    parser.add_argument("--workers", type=int, default=2, help="Decoding threads.")
    options = parser.parse_args()
    torch.set_num_threads(1)
    episode_set = EpisodeSet.open(options.sets / options.set)
    print(f"{platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        for model in (AllForeground(), Instant()):
            report(model, episode_set, options, Path(folder))


def report(model: FewShotSegmenter, episode_set: EpisodeSet, options: argparse.Namespace, folder: Path) -> None:
    """Ask a model twice, and print what that took."""
    clock, start = Clock(), time.perf_counter()
    n, whole, best = ask(model, episode_set, options, folder)
    seconds = time.perf_counter() - start
    with told_apart(clock):
        _, timed, _ = ask(model, episode_set, options, folder)
    scoring, other = (defaultdict(float, clock.spent.get(kind, {})) for kind in ("scoring", "other"))
    scoring[ELSE] = timed - sum(scoring.values())
    print(f"\n{type(model).__name__}: {n:,} episodes, {n / seconds:,.0f}/s by the clock")
    print(f"{'ms an episode':>36} {'scoring':>9} {'elsewhere':>9}")
    for stage in (*STAGES, ELSE):
        print(f"{stage:>36} {1e3 * scoring[stage] / n:9.3f} {1e3 * other[stage] / n:9.3f}")
    print(f"{'all stages':>36} {1e3 * timed / n:9.3f}")
    print(f"{'without telling them apart':>36} {1e3 * whole / n:9.3f}")
    print(f"{f'of the quickest {BLOCK}':>36} {1e3 * best / BLOCK:9.3f}")


if __name__ == "__main__":
    main()

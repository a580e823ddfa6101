"""Where the time goes: what the host does alone, each step of asking on the device, and the share of the peak."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from fssbench.engine.asked import held_of_frames
from fssbench.engine.evaluate import answers
from fssbench.engine.inference import InferenceSettings, Precision
from fssbench.models import build_model
from fssbench.models.interface import FeatureSegmenter
from fssbench.pipelines.episode_sets.stream import stream
from fssbench.results.counting import pixel_sums
from on_gpu.bench import Bench
from on_gpu.chosen import MODELS, Chosen, asked, feature_asker
from on_gpu.device import CORRELATION, precisions, product_speed

__all__ = ["measure"]

PROFILED = 256
"""Episodes under the profiler, after as many that warm up: many more than are decoded while it begins."""


def measure(bench: Bench) -> None:
    """The host, then HSNet's and HDMNet's steps, then what the device was busy with from end to end."""
    host(bench)
    batch = 2 if bench.small else 8
    for chosen in MODELS[:1] if bench.small else (MODELS[0], MODELS[3]):
        for precision in precisions(bench)[: 1 if bench.small else 3]:
            with bench.attempt(f"{chosen.title}, batch of {batch}", precision):
                steps(bench, chosen, precision, batch)
    if bench.gpu:
        with bench.attempt("device busy, end to end"):
            busy(bench, MODELS[0], batch)


def host(bench: Bench) -> None:
    """Episodes a second of the stream, and of a whole evaluation by a model that answers at once."""
    seconds = 0.1 if bench.small else bench.seconds / 20
    instant, prepare = build_model("all-foreground"), MODELS[0].build(bench, 1).preprocess
    for workers in sorted({1, 4, bench.workers}):

        def read(workers: int = workers) -> Any:
            return stream(
                bench.coco,
                shot=1,
                seed=0,
                transform=lambda frame: (prepare.image(frame.image), prepare.mask(frame.mask)),
                workers=workers,
            )

        def evaluate(workers: int = workers) -> Any:
            return answers(instant, bench.coco, shot=1, seed=0, device=bench.device, workers=workers)

        for what, begin in (("read, decode, resize", read), ("the same and count, no model", evaluate)):
            with bench.attempt(f"host: {what}", f"{workers} workers"):
                bench.tell(f"host: {what}", pace(begin(), seconds), "episodes/s", case=f"{workers} workers")


def pace(found: Any, seconds: float) -> float:
    """Items a second of an iterator, the first few not counted."""
    for _ in range(8):
        next(found)
    start, n = time.perf_counter(), 0
    for n, _ in enumerate(found, 1):  # noqa: B007
        if time.perf_counter() - start > seconds:
            break
    taken = time.perf_counter() - start
    found.close()
    return n / taken


def steps(bench: Bench, chosen: Chosen, precision: Precision, batch: int) -> None:
    """Milliseconds an episode of each step, 1 shot, nothing shared; and the speed of encoding and matching."""
    inference = InferenceSettings(batch=batch, precision=precision)
    model = chosen.build(bench, 1)
    ready = asked(bench, model.preprocess, shot=1, n=batch).episodes
    asker = feature_asker(bench, model, inference)
    twin = asker.model
    cast = torch.autocast(bench.device.partition(":")[0], dtype=asker.cast, enabled=asker.cast != torch.float32)
    with inference.arithmetic(), cast:
        there = torch.stack([one.query.pixels for one in ready])
        pixels = there.cpu().pin_memory() if bench.gpu else there
        held = held_of_frames([one.supports[0] for one in ready])
        masks = torch.stack([one.supports[0].mask for one in ready]).float()
        images = twin.preprocess.normalise(there)
        shown_images = twin.preprocess.normalise(torch.stack([one.supports[0].pixels for one in ready]))
        features, of_supports = twin.encode(images), twin.encode(shown_images)
        own = of_supports if twin.reads_features or not twin.keeps_supports else []
        shown = twin.condition_held(own, shown_images, masks, held)
        queries = [[part[i : i + 1] for part in features] for i in range(batch)]
        supports = [[[part[i : i + 1] for part in shown]] for i in range(batch)]
        logits = twin.match_episodes(queries, supports)
        truths = [[truth.on(there.device) for truth in one.query.truths.values()] for one in ready]

        def decide() -> list[list[Tensor]]:
            return [[twin.decide(logits[i : i + 1], size)[0] for size in one.sizes] for i, one in enumerate(ready)]

        decided = decide()

        def count() -> list[Tensor]:
            return [
                pixel_sums(mask, truth.mask, truth.ignore)
                for masks, of_episode in zip(decided, truths, strict=True)
                for mask, truth in zip(masks, of_episode, strict=True)
            ]

        of: dict[str, Callable[[], object]] = {
            "copy": lambda: pixels.to(bench.device, non_blocking=True, copy=True),
            "normalise": lambda: twin.preprocess.normalise(there),
            "encode": lambda: twin.encode(images),
            "condition": lambda: twin.condition_held(own, shown_images, masks, held),
            "match": lambda: twin.match_episodes(queries, supports),
            "decide": decide,
            "count": count,
        }
        taken = {}
        for name, ask in of.items():
            taken[name] = bench.each(ask, seconds=0.05 if bench.small else 0.4) / batch
            title = f"{chosen.title} in {precision}, batch of {batch}"
            bench.tell(title, 1000 * taken[name], "ms an episode", case=name)
        shapes = (CORRELATION[0] // 32, CORRELATION[1] // 32, CORRELATION[2] // 32) if bench.small else CORRELATION
        peak = product_speed(bench, shapes, precision, batch=8, seconds=0.1)
        for name in ("encode", "match"):
            reached = operations(of[name]) / batch / taken[name]
            share = 100 * reached / peak
            bench.tell(f"{chosen.title}, share of the product's speed", share, "%", case=f"{precision} {name}")


def operations(ask: Callable[[], object]) -> float:
    """Floating-point operations of convolutions and products."""
    with FlopCounterMode(display=False) as counter:
        ask()
    return float(counter.get_total_flops())


def busy(bench: Bench, chosen: Chosen, batch: int) -> None:
    """From end to end: how much of the time the device works or copies, and on what."""
    model: FeatureSegmenter = chosen.build(bench, 1)
    found = answers(
        model,
        bench.coco,
        shot=1,
        seed=0,
        device=bench.device,
        workers=bench.workers,
        inference=InferenceSettings(batch=batch),
    )
    deque(islice(found, PROFILED), maxlen=0)
    bench.wait()
    kind = torch.profiler.ProfilerActivity
    # The device alone: noting what the host does as well would slow it down.
    with torch.profiler.profile(activities=[kind.CUDA if bench.gpu else kind.CPU]) as profiler:
        start = time.perf_counter()
        deque(islice(found, PROFILED), maxlen=0)
        bench.wait()
        taken = time.perf_counter() - start
    found.close()  # type: ignore[attr-defined]
    spent: Counter[str] = Counter()
    for event in profiler.events() or ():
        if event.device_type.name == "CUDA":
            spent[event.name] += event.time_range.elapsed_us() / 1e6
    copied = sum(seconds for name, seconds in spent.items() if name.startswith(("Memcpy", "Memset")))
    title = "device, end to end, under the profiler"
    bench.tell(title, 100 * (sum(spent.values()) - copied) / taken, "% of the time", case="kernels")
    bench.tell(title, 100 * copied / taken, "% of the time", case="copies, beside them")
    for number, (name, seconds) in enumerate(spent.most_common(8), 1):
        bench.tell(f"kernel {number}: {name[:60]}", 1000 * seconds / PROFILED, "ms an episode")

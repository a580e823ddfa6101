"""Training steps a second of the published recipes at their full size and batch, in each precision.

fp32 is torch's usual one, in which a GPU's convolutions are in tf32 and its products are not.
"""

from __future__ import annotations

import time

import torch
from train_step import episodes

from fssbench.engine.ranks import Ranks
from fssbench.episodes.benchmarks import find_benchmark
from fssbench.models import build_module
from fssbench.models.batch import on_device
from fssbench.training.loop import Learner
from fssbench.training.recipe import Recipe, find_recipe, overridden
from on_gpu.bench import Bench

__all__ = ["measure"]

RECIPES = (("hsnet", "pascal"), ("hdmnet", "coco"))
MOST_STEPS = 20


def measure(bench: Bench) -> None:
    """Each recipe in fp32, and by AMP in bf16 and fp16."""
    seconds = bench.seconds / 15
    for model, benchmark in RECIPES:
        recipe = find_recipe(model, find_benchmark(benchmark))
        if bench.small:
            recipe = overridden(recipe, {"run.batch": 2, "options.size": 65 if model == "hdmnet" else 64})
        for precision in ("fp32", "bf16", "fp16") if bench.gpu else ("fp32",):
            with bench.attempt(f"train {model} for {benchmark}", precision):
                train(bench, overridden(recipe, {"run.precision": precision}), seconds)


def train(bench: Bench, recipe: Recipe, seconds: float) -> None:
    """Whole steps; where a batch does not fit, its gradients add up over the largest parts that do."""
    title = f"train {recipe.model} for {recipe.benchmark}, batch of {recipe.run.batch}"
    parts, pace = recipe.run.batch, None
    while pace is None and parts:
        try:
            pace = steps_a_second(bench, overridden(recipe, {"run.micro_batch": parts}), seconds)
        except torch.OutOfMemoryError:
            parts //= 2
        bench.tidy()
    if pace is None:
        raise MemoryError("one item at a time does not fit")
    case = recipe.run.precision
    bench.tell(title, pace, "steps/s", case=case)
    bench.tell(f"{title}, items", pace * recipe.run.batch, "items/s", case=case)
    bench.tell(f"{title}, at a time", float(parts), "items", case=case)
    if bench.gpu:
        bench.tell(f"{title}, memory", torch.cuda.max_memory_allocated(bench.device) / 1e9, "GB", case=case)


def steps_a_second(bench: Bench, recipe: Recipe, seconds: float) -> float:
    """Of a model with random weights, on drawn episodes that are on the device."""
    if bench.gpu:
        torch.cuda.reset_peak_memory_stats(bench.device)
    model = build_module(recipe.model, **recipe.options, backbone_weights="none")
    learner = Learner(model, recipe, device=bench.device, ranks=Ranks())
    learner.model.learn()
    batch = on_device(episodes(recipe.run.batch, recipe.options["size"]), bench.device)

    def step() -> None:
        learner.take(batch, of=recipe.run.batch, stop=False)

    for _ in range(1 if bench.small else 2):
        step()
    bench.wait()
    start, n = time.perf_counter(), 0
    while n < MOST_STEPS and (n == 0 or time.perf_counter() - start < seconds):
        step()
        n += 1
    bench.wait()
    return n / (time.perf_counter() - start)

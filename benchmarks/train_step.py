"""One optimizer step of each recipe at its published size and batch: time, and the most memory it takes.

Gradients are accumulated over micro-batches of drawn images, and weights are random, which changes neither. Recipes
of one model, size and batch cost the same, and are measured once. Each runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import torch
from torch import Tensor

from fssbench.engine.ranks import Ranks
from fssbench.episodes.benchmarks import find_benchmark
from fssbench.episodes.episodes import Episode
from fssbench.models import build_module
from fssbench.models.batch import EpisodeBatch, SemanticBatch, on_device
from fssbench.models.interface import FewShotSegmenter
from fssbench.training.loop import Learner
from fssbench.training.recipe import Recipe, find_recipe, overridden, recipe_names


def drawn(n: int, size: int) -> tuple[Tensor, Tensor]:
    """Noise (n, 3, size, size) uint8, and masks of a square (n, size, size) uint8."""
    images = torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8)
    masks = torch.zeros(n, size, size, dtype=torch.uint8)
    masks[:, size // 4 : size // 2, size // 4 : size // 2] = 1
    return images, masks


def episodes(n: int, size: int) -> EpisodeBatch:
    """A batch of 1-shot episodes."""
    (query, target), (support, shown) = drawn(n, size), drawn(n, size)
    return EpisodeBatch(
        epoch=0,
        indices=tuple(range(n)),
        episodes=tuple(Episode(0, f"query {i}", (f"support {i}",)) for i in range(n)),
        query=query,
        query_target=target,
        support=support[:, None],
        support_target=shown[:, None],
        class_ids=torch.zeros(n, dtype=torch.int64),
        class_positions=torch.zeros(n, dtype=torch.int64),
        query_labels=target,
    )


def labelled(n: int, size: int) -> SemanticBatch:
    """A batch of labelled images."""
    images, labels = drawn(n, size)
    return SemanticBatch(epoch=0, indices=tuple(range(n)), image_ids=("",) * n, images=images, labels=labels)


def recipes() -> dict[str, Recipe]:
    """The published recipes, those that cost the same under one name; the quickest first."""
    found: dict[tuple[object, ...], tuple[list[str], Recipe]] = {}
    for name in recipe_names():
        model, _, alias = name.rpartition("-")
        if alias != "toy":
            recipe = find_recipe(model, find_benchmark(alias))
            key = model, recipe.options["size"], recipe.run.batch
            found.setdefault(key, ([], recipe))[0].append(name)
    by_cost = sorted(found.values(), key=lambda one: (one[1].options["size"], one[1].run.batch))
    return {", ".join(names): recipe for names, recipe in by_cost}


def measure(recipe: Recipe, *, micro_batch: int, items: int, device: str, warm_up: bool) -> dict[str, float]:
    """Seconds of a step of ``items``, also of the processor, and the most GB of memory: of the process or the GPU."""
    recipe = overridden(recipe, {"run.micro_batch": micro_batch})
    model = build_module(recipe.model, **recipe.options, backbone_weights="none")
    learner = Learner(model, recipe, device=device, ranks=Ranks())
    learner.model.learn()
    make = episodes if isinstance(model, FewShotSegmenter) else labelled
    batch = on_device(make(items, recipe.options["size"]), device)
    gpu = device.startswith("cuda")
    for _ in range(1 + warm_up):
        start, worked = time.perf_counter(), time.process_time()
        learner.take(batch, of=len(batch.indices), stop=False)
        if gpu:
            torch.cuda.synchronize()
        seconds, processor = time.perf_counter() - start, time.process_time() - worked
    most = torch.cuda.max_memory_allocated() if gpu else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": seconds, "processor": processor, "gigabytes": most / 1e9}


def main() -> None:
    """Measure every recipe in turn, or the one that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", help="one of them, as hsnet-coco")
    parser.add_argument("--micro-batch", type=int, default=1)
    parser.add_argument("--items", type=int, help="of the batch that are computed, to save time [default: all]")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--warm-up", action="store_true", help="take one step before the one that is measured")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    found = recipes()
    if asked.recipe is not None:
        recipe = next(one for names, one in found.items() if asked.recipe in names.split(", "))
        items = min(asked.items or recipe.run.batch, recipe.run.batch)
        told = measure(recipe, micro_batch=asked.micro_batch, items=items, device=asked.device, warm_up=asked.warm_up)
        print(json.dumps(told))
        return
    print(f"{'recipes':30} {'size':>5} {'batch':>6} {'items':>6} {'s':>8} {'s of processor':>15} {'GB':>6}", flush=True)
    for names, recipe in found.items():
        first, *more = names.split(", ")
        command = [sys.executable, __file__, "--recipe", first, *sys.argv[1:]]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{names}: {done.stderr.strip().splitlines()[-1]}")
        told, batch = json.loads(done.stdout), recipe.run.batch
        label = ", ".join([first, *(one.partition("-")[2] for one in more)])
        counts = f"{recipe.options['size']:5} {batch:6} {min(asked.items or batch, batch):6}"
        figures = f"{told['seconds']:8.1f} {told['processor']:15.1f} {told['gigabytes']:6.2f}"
        print(f"{label:30} {counts} {figures}", flush=True)


if __name__ == "__main__":
    main()

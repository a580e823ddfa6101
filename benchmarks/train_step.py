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
    """The published recipes, those that cost the same under one name."""
    found: dict[tuple[object, ...], tuple[list[str], Recipe]] = {}
    for name in recipe_names():
        model, _, alias = name.rpartition("-")
        if alias != "toy":
            recipe = find_recipe(model, find_benchmark(alias))
            key = model, recipe.options["size"], recipe.run.batch
            found.setdefault(key, ([], recipe))[0].append(name)
    return {", ".join(names): recipe for names, recipe in found.values()}


def measure(recipe: Recipe, *, micro_batch: int, device: str, warm_up: bool) -> dict[str, float]:
    """Seconds of a step, and the most GB of memory: of the process, or of the GPU."""
    recipe = overridden(recipe, {"run.micro_batch": micro_batch})
    model = build_module(recipe.model, **recipe.options, backbone_weights="none")
    learner = Learner(model, recipe, device=device, ranks=Ranks())
    learner.model.learn()
    make = episodes if isinstance(model, FewShotSegmenter) else labelled
    batch = on_device(make(recipe.run.batch, recipe.options["size"]), device)
    gpu = device.startswith("cuda")
    for _ in range(1 + warm_up):
        start = time.perf_counter()
        learner.take(batch, share=1.0, stop=False)
        if gpu:
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
    most = torch.cuda.max_memory_allocated() if gpu else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": seconds, "gigabytes": most / 1e9}


def main() -> None:
    """Measure every recipe in turn, or the one that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", help="one of them, as hsnet-coco")
    parser.add_argument("--micro-batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--warm-up", action="store_true", help="take one step before the one that is measured")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    found = recipes()
    if asked.recipe is not None:
        recipe = next(one for names, one in found.items() if asked.recipe in names.split(", "))
        told = measure(recipe, micro_batch=asked.micro_batch, device=asked.device, warm_up=asked.warm_up)
        print(json.dumps(told))
        return
    print(f"{'recipes':40} {'size':>5} {'batch':>6} {'micro':>6} {'s/step':>8} {'s/item':>8} {'GB':>6}")
    for names, recipe in found.items():
        command = [sys.executable, __file__, "--recipe", names.split(", ")[0], *sys.argv[1:]]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{names}: {done.stderr.strip().splitlines()[-1]}")
        told, batch = json.loads(done.stdout), recipe.run.batch
        micro = min(asked.micro_batch, batch)
        print(
            f"{names:40} {recipe.options['size']:5} {batch:6} {micro:6} {told['seconds']:8.1f} "
            f"{told['seconds'] / batch:8.2f} {told['gigabytes']:6.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()

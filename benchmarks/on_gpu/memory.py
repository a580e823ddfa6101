"""Memory: the most that is taken, beside what ``--dry-run`` says before; and a shortage that is provoked."""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor

from fssbench.engine.estimate import estimate
from fssbench.engine.evaluate import answers
from fssbench.engine.inference import PLAIN, InferenceCost, InferenceSettings
from fssbench.engine.job import Job
from fssbench.engine.memory import peak_bytes
from fssbench.engine.model import load_object
from fssbench.models.interface import FeatureSegmenter
from on_gpu.bench import Bench
from on_gpu.chosen import MODELS, Chosen

__all__ = ["measure"]

EPISODES = 128
BATCHES = (8, 32)
"""The lower one fits into the memory that is left; the higher one, which is asked for, does not."""


def measure(bench: Bench) -> None:
    """HSNet and HDMNet, by twins and plain, then the shortage."""
    usual = InferenceSettings(batch=2 if bench.small else 8)
    for chosen in MODELS[:1] if bench.small else (MODELS[0], MODELS[3]):
        for way, inference in (("twin", usual), ("plain", PLAIN)):
            with bench.attempt(f"memory of {chosen.title}, {way}"):
                compare(bench, chosen, way, inference)
    if bench.gpu:
        with bench.attempt("provoked shortage"):
            shortage(bench)
    else:
        bench.tell("provoked shortage", "left out: only a GPU's memory can be limited")


def compare(bench: Bench, chosen: Chosen, way: str, inference: InferenceSettings) -> None:
    """Estimated and measured, GB."""
    episodes = 4 if bench.small else EPISODES
    loaded = load_object(chosen.build(bench, 1))
    job = Job(
        episode_set=bench.coco,
        shot=1,
        seed=0,
        episodes=episodes,
        output=None,
        device=bench.device,
        inference=inference,
        workers=bench.workers,
    )
    said = estimate(loaded, job)
    bench.tidy()
    assert isinstance(loaded.model, FeatureSegmenter)
    model = loaded.model
    taken = peak_bytes(lambda: ask(bench, model, inference, episodes), model, bench.device)
    title = f"memory of {chosen.title}, {way}"
    bench.tell(title, said.memory / 1e9, "GB", case="dry run")
    bench.tell(title, taken / 1e9, "GB", case="taken")
    if bench.gpu:
        bench.tell(title, torch.cuda.max_memory_reserved(bench.device) / 1e9, "GB", case="reserved by torch")
    bench.tell(f"{title}, taken against said", taken / said.memory, "×")


def ask(
    bench: Bench,
    model: FeatureSegmenter,
    inference: InferenceSettings,
    episodes: int,
    cost: InferenceCost | None = None,
) -> dict[int, Tensor]:
    """The masks of the first episodes, where they are scored."""
    kept: dict[int, Tensor] = {}
    found = answers(
        model,
        bench.coco,
        shot=1,
        seed=0,
        episodes=episodes,
        device=bench.device,
        workers=bench.workers,
        inference=inference,
        cost=cost,
    )
    if cost is None:
        deque(found, maxlen=0)
    else:
        for answer in found:
            kept[answer.index] = torch.as_tensor(answer.masks["model"]).cpu()
    return kept


def shortage(bench: Bench) -> None:
    """A batch that does not fit into the memory that is left: the run goes on with less, to the same masks."""
    model = MODELS[0].build(bench, 1)
    most, masks = {}, {}
    for batch in BATCHES:
        bench.tidy()
        torch.cuda.reset_peak_memory_stats(bench.device)
        masks[batch] = ask(bench, model, InferenceSettings(batch=batch, feature_cache=0), EPISODES, InferenceCost())
        most[batch] = torch.cuda.max_memory_reserved(bench.device)
        bench.tell("memory reserved without a limit", most[batch] / 1e9, "GB", case=f"batch {batch}")
    total = torch.cuda.get_device_properties(bench.device).total_memory
    limit = sum(most.values()) / 2
    bench.tell("memory it is then limited to", limit / 1e9, "GB")
    bench.tidy()
    cost = InferenceCost()
    torch.cuda.set_per_process_memory_fraction(limit / total, bench.device)
    try:
        found = ask(bench, model, InferenceSettings(batch=BATCHES[1], feature_cache=0), EPISODES, cost)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, bench.device)
    bench.tell("provoked shortage: halvings", float(cost.shortages))
    bench.tell("provoked shortage: batch at the end", float(cost.batch))
    bench.tell("provoked shortage: episodes answered", float(len(found)))
    for batch in BATCHES:
        differing = sum(int((found[index] != mask).sum()) for index, mask in masks[batch].items())
        bench.tell("provoked shortage: pixels that differ", float(differing), case=f"from batch {batch}")

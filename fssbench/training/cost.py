"""What a step of training takes, in time and memory: a few small ones are done, and nothing of them is kept."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import Any

import torch

from fssbench.base.errors import TrainingError
from fssbench.engine.memory import peak_bytes
from fssbench.engine.ranks import Ranks
from fssbench.episodes.training import TrainingLists
from fssbench.models.batch import on_device
from fssbench.training.loop import Learner
from fssbench.training.settings import TrainingJob
from fssbench.training.supply import supply

__all__ = ["TrainingCost", "measure_cost"]

SIZES = (2, 4)
"""Episodes of the steps that are measured; more need memory and time in proportion."""


@dataclass(frozen=True, kw_only=True)
class TrainingCost:
    """What one process needs.

    Attributes:
        seconds: of a step, decoding not counted, which goes on beside it.
        memory: bytes, at most, of weights, optimizer, gradients and activations.
    """

    seconds: float
    memory: int


def measure_cost(job: TrainingJob, lists: TrainingLists, *, processes: int) -> TrainingCost:
    """Take steps of a few episodes, and say what those of the recipe's batch will take.

    Raises:
        TrainingError: the device has not the memory for even these.
    """
    share = math.ceil(job.recipe.run.batch / processes)
    part = min(job.recipe.run.micro_batch or share, share)
    sizes = sorted({min(size, part) for size in SIZES})
    try:
        taken = [_step(job, lists, size) for size in sizes]
    except torch.cuda.OutOfMemoryError as error:
        raise TrainingError(
            f"a step of {sizes[-1]} episodes needs more memory than {job.device} has",
            remedy="pass --micro-batch 1, or another --device",
        ) from error
    last = taken[-1]
    growth = (last.memory - taken[0].memory) / max(1, sizes[-1] - sizes[0])
    return TrainingCost(
        seconds=last.seconds * share / sizes[-1], memory=int(last.memory + growth * max(0, part - sizes[-1]))
    )


def _step(job: TrainingJob, lists: TrainingLists, size: int) -> TrainingCost:
    """Memory of the first step of so many episodes, which makes the optimizer's state too; time of the second."""
    run = job.recipe.run.model_copy(update={"batch": size, "micro_batch": None, "drop_last": False})
    job = replace(job, recipe=job.recipe.model_copy(update={"run": run}))
    model = job.build()
    learner = Learner(model, job.recipe, device=job.device, ranks=Ranks())
    batch: Any = on_device(next(supply(job, model, lists, Ranks()).batches(0, 0)), job.device)
    model.learn()  # type: ignore[operator]

    def take() -> float:
        start = time.perf_counter()
        learner.take(batch, of=size, stop=False)  # which reads the loss, so that the device is done with it
        return time.perf_counter() - start

    memory = peak_bytes(take, model, job.device)
    return TrainingCost(seconds=take(), memory=memory)

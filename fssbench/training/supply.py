"""Where a training's batches come from."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from torch import nn

from fssbench.engine.ranks import Ranks
from fssbench.episodes.training import TrainingLists
from fssbench.models.interface import FewShotSegmenter
from fssbench.pipelines.training_sets.batches import batches, semantic_batches
from fssbench.pipelines.training_sets.epoch import Epoch
from fssbench.pipelines.training_sets.sequential import streamed_batches, streamed_semantic_batches
from fssbench.training.loop import Supply
from fssbench.training.settings import TrainingJob

__all__ = ["supply"]


def supply(job: TrainingJob, model: nn.Module, lists: TrainingLists, ranks: Ranks) -> Supply[Any]:
    """The batches: of episodes for a model that answers them, of labelled images for any other."""
    of_episodes = isinstance(model, FewShotSegmenter)
    make: Any = batches if of_episodes else semantic_batches
    if job.buffer is not None:
        make = partial(streamed_batches if of_episodes else streamed_semantic_batches, buffer=job.buffer)

    preprocess: Any = model.preprocess  # of any model that can be trained

    def epoch(number: int, first: int) -> Iterator[Any]:
        asked = Epoch(
            job.training_set,
            lists,
            plan=job.plan,
            number=number,
            start=first,
            rank=ranks.rank,
            world=ranks.world,
            preprocess=preprocess,
            augmentation=job.augmentation,
            workers=job.workers,
        )
        found: Iterator[Any] = make(asked)
        return found

    plan = job.plan
    return Supply(batches=epoch, episodes=plan.length(lists), batch=plan.batch, n_classes=1 + job.benchmark.n_classes)

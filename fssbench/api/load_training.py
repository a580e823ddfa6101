"""Episodes of base classes, for a training loop of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from torch import nn

from fssbench.api.places import benchmark_and_root
from fssbench.engine.functions import as_segmenter
from fssbench.engine.ranks import Ranks
from fssbench.episodes.training import TrainingPolicy
from fssbench.models.batch import EpisodeBatch
from fssbench.models.interface import Preprocess
from fssbench.pipelines.training_sets.batches import batches, validation_batches
from fssbench.pipelines.training_sets.epoch import Epoch, EpochPlan
from fssbench.pipelines.training_sets.lists import training_lists
from fssbench.pipelines.training_sets.training_set import find_training_set
from fssbench.training.validation import validate_on_batches

__all__ = ["TrainingEpisodes", "load_training"]


def load_training(
    benchmark: str,
    *,
    data: str | Path | None = None,
    fold: int = 0,
    shot: int = 1,
    size: int = 400,
    batch: int = 8,
    episodes: int | None = None,
    held_out: float = 0.2,
    drop_novel: bool = False,
    min_pixels: int = 1,
    seed: int = 0,
    workers: int = 4,
) -> TrainingEpisodes:
    """Open a fold's base classes to learn from; `prepare_training` builds what this reads.

    Args:
        benchmark: its name or alias, such as ``coco``.
        data: where sets lie: a folder or an address; ``None`` for the home.
        fold: whose base classes are learned.
        shot: supports of an episode.
        size: the side that images and masks are squashed to, in pixels.
        batch: episodes at a time.
        episodes: of an epoch; ``None`` for as many as there are images.
        held_out: share of the base classes that is kept to choose weights by, in [0, 1).
        drop_novel: leave out images that show a novel class, instead of learning it as background.
        min_pixels: least mask pixels for an image to serve a class.
        seed: of all draws.
        workers: decoding threads.

    Raises:
        UsageError: there is no such benchmark or fold.
        TrainingSetError: there is no training set, or it is damaged.
    """
    found, root = benchmark_and_root(benchmark, data)
    training_set = find_training_set(root, found.training)
    policy = TrainingPolicy(drop_novel=drop_novel, min_pixels=min_pixels, held_out=held_out)
    lists = training_lists(training_set, fold, policy, benchmark=found.training)
    plan = EpochPlan(seed=seed, shot=shot, episodes=episodes, batch=batch)
    first = Epoch(training_set, lists, plan=plan, number=0, preprocess=Preprocess(size=size), workers=workers)
    return TrainingEpisodes(first)


class TrainingEpisodes:
    """Batches of episodes, epoch by epoch: the same for the same seed on any machine.

    A batch has ``query`` (B, 3, s, s) uint8, ``query_target`` (B, s, s) uint8, ``support`` (B, K, 3, s, s) and
    ``support_target`` (B, K, s, s) likewise. Targets are 1 where the class is, 0 elsewhere, 255 where there is no
    truth.

    Attributes:
        preprocess: its ``normalise`` makes a model's input of the images.
        classes: the base classes that are learned: index → name.
        held_out: the base classes that are kept to choose weights by, likewise.
    """

    def __init__(self, first: Epoch) -> None:
        """Begin with an epoch; all others differ in their number alone."""
        self._epoch = first
        self.preprocess = first.preprocess
        names = {pool.id: pool.name for pool in first.training_set.manifest.classes}
        self.classes = {c: names[c] for c in first.lists.classes}
        self.held_out = {c: names[c] for c in first.lists.held_out}

    def __len__(self) -> int:
        """Batches of an epoch."""
        return self._epoch.plan.n_batches(self._epoch.lists)

    def epoch(self, number: int) -> Iterator[EpisodeBatch]:
        """The batches of an epoch, the first being 0."""
        return batches(replace(self._epoch, number=number))

    def validate(self, model: nn.Module, *, episodes: int = 200, device: str = "cpu") -> float:
        """The mIoU of a model on fixed episodes of the base classes that are held out, in [0, 1].

        Args:
            model: as `fssbench.evaluate` takes modules.
            episodes: how many, always the same.
        """
        learning = model.training
        held_out = partial(self._held_out, episodes=episodes)
        try:
            return validate_on_batches(as_segmenter(model), held_out, device=device, ranks=Ranks()).miou
        finally:
            model.train(learning)

    def _held_out(self, *, preprocess: Preprocess, episodes: int) -> Iterator[EpisodeBatch]:
        plan = EpochPlan(shot=self._epoch.plan.shot, episodes=episodes, batch=self._epoch.plan.batch)
        return validation_batches(replace(self._epoch, plan=plan, number=-1, preprocess=preprocess))

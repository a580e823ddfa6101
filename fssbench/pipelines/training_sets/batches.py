"""The batches of an epoch: drawn, read, decoded and augmented ahead of need, in order.

A batch is the same whatever the number of threads, and over several ranks its parts are those of one process's batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from fssbench.base.errors import UsageError
from fssbench.episodes.training import TrainingLists, epoch_episodes, epoch_images, validation_track
from fssbench.models.batch import EpisodeBatch, SemanticBatch
from fssbench.models.interface import Preprocess
from fssbench.pipelines.training_sets.assemble import Reading, draw, episode_batches, image_batches
from fssbench.pipelines.training_sets.augment import Augmentation
from fssbench.pipelines.training_sets.training_set import TrainingSet

__all__ = ["EpochPlan", "batches", "semantic_batches", "shares", "validation_batches"]


@dataclass(frozen=True, kw_only=True)
class EpochPlan:
    """What an epoch is.

    Attributes:
        seed: of everything that is drawn.
        shot: supports of an episode; means nothing to images without episodes.
        episodes: of an epoch, or images of it; ``None`` for as many as there are images to learn from.
        batch: episodes (or images) of a batch, over all ranks together.
    """

    seed: int = 0
    shot: int = 1
    episodes: int | None = None
    batch: int

    def length(self, lists: TrainingLists) -> int:
        """Episodes (or images) of an epoch that are used: whole batches; what is left over is not."""
        return self.n_batches(lists) * self.batch

    def n_batches(self, lists: TrainingLists) -> int:
        """Batches of an epoch; `UsageError` if there is not one."""
        total = len(lists.images) if self.episodes is None else self.episodes
        if self.batch < 1 or total < self.batch:
            raise UsageError(
                f"an epoch of {total:,} does not fill a batch of {self.batch:,}",
                remedy="choose a smaller batch, or more episodes",
            )
        return total // self.batch


def batches(
    training_set: TrainingSet,
    lists: TrainingLists,
    *,
    plan: EpochPlan,
    epoch: int,
    start: int = 0,
    rank: int = 0,
    world: int = 1,
    preprocess: Preprocess,
    augmentation: Augmentation | None = None,
    workers: int = 2,
) -> Iterator[EpisodeBatch]:
    """The batches of episodes of an epoch, from the ``start``-th on, of one rank of ``world``.

    Raises:
        PoolError: a class has too few images.
        UsageError: the ranks cannot share a batch evenly, or the epoch does not fill one.
        TrainingSetError: a shard is missing or damaged.
        SourceError: an image cannot be decoded.
    """
    episodes = epoch_episodes(lists, seed=plan.seed, epoch=epoch, shot=plan.shot, n=plan.length(lists))
    reading = Reading(preprocess=preprocess, augmentation=augmentation, workers=workers)
    parts = shares(plan, lists, start=start, rank=rank, world=world)
    drawn = ([draw(training_set, index, episodes[index]) for index in indices] for indices in parts)
    yield from episode_batches(drawn, lists, reading, seed=plan.seed, epoch=epoch)


def validation_batches(
    training_set: TrainingSet,
    lists: TrainingLists,
    *,
    seed: int = 0,
    shot: int = 1,
    episodes: int,
    batch: int,
    rank: int = 0,
    world: int = 1,
    preprocess: Preprocess,
    workers: int = 2,
) -> Iterator[EpisodeBatch]:
    """The episodes of the held-out classes, always the same ones, as batches of epoch −1; the last may be smaller.

    Episode i belongs to rank i mod ``world``. Raises what `batches` and `validation_track` raise.
    """
    track = validation_track(lists, seed=seed, shot=shot, n=episodes)
    own = range(rank, len(track.episodes), world)
    parts = [own[at : at + batch] for at in range(0, len(own), batch)]
    drawn = ([draw(training_set, index, track.episodes[index]) for index in indices] for indices in parts)
    yield from episode_batches(drawn, lists, Reading(preprocess=preprocess, workers=workers), seed=seed, epoch=-1)


def semantic_batches(
    training_set: TrainingSet,
    lists: TrainingLists,
    *,
    plan: EpochPlan,
    epoch: int,
    start: int = 0,
    rank: int = 0,
    world: int = 1,
    preprocess: Preprocess,
    augmentation: Augmentation | None = None,
    workers: int = 2,
) -> Iterator[SemanticBatch]:
    """The batches of labelled images of an epoch: every image of the lists at most once. See `batches`."""
    ids = epoch_images(lists, seed=plan.seed, epoch=epoch)
    if plan.episodes is not None and plan.episodes > len(ids):
        raise UsageError(
            f"an epoch of {plan.episodes:,} images was asked for, there are {len(ids):,}",
            remedy="leave the number out, or name a smaller one",
        )
    reading = Reading(preprocess=preprocess, augmentation=augmentation, workers=workers)
    parts = shares(plan, lists, start=start, rank=rank, world=world)
    drawn = ([(index, partial(training_set.read, ids[index])) for index in indices] for indices in parts)
    yield from image_batches(drawn, lists, reading, seed=plan.seed, epoch=epoch)


def shares(plan: EpochPlan, lists: TrainingLists, *, start: int, rank: int, world: int) -> list[tuple[int, ...]]:
    """A rank's indices in every batch from the ``start``-th on: the ``rank``-th of ``world`` runs of equal length."""
    if not 0 <= rank < world or plan.batch % world:
        raise UsageError(
            f"rank {rank} of {world} cannot take an equal part of a batch of {plan.batch}",
            remedy="choose a batch that the number of processes divides",
        )
    each = plan.batch // world
    n = plan.n_batches(lists)
    if not 0 <= start <= n:
        raise UsageError(f"batch {start} was asked for, the epoch has {n}", remedy=f"start at 0 to {n}")
    firsts = (batch * plan.batch + rank * each for batch in range(start, n))
    return [tuple(range(first, first + each)) for first in firsts]

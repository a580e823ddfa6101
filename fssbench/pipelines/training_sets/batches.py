"""The batches of an epoch: drawn, read, decoded and augmented ahead of need, in order.

A batch is the same whatever the number of threads, and over several ranks its parts are those of one process's batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from fssbench.base.errors import UsageError
from fssbench.episodes.epochs import epoch_episodes, epoch_images, validation_track
from fssbench.models.batch import EpisodeBatch, SemanticBatch
from fssbench.pipelines.training_sets.assemble import draw, episode_batches, image_batches
from fssbench.pipelines.training_sets.epoch import Epoch

__all__ = ["batches", "semantic_batches", "semantic_validation_batches", "validation_batches"]


def batches(epoch: Epoch) -> Iterator[EpisodeBatch]:
    """The batches of episodes of an epoch.

    Raises:
        PoolError: a class has too few images.
        UsageError: the ranks cannot share a batch evenly, or the epoch does not fill one.
        TrainingSetError: a shard is missing or damaged.
        SourceError: an image cannot be decoded.
    """
    plan, lists = epoch.plan, epoch.lists
    episodes = epoch_episodes(lists, seed=plan.seed, epoch=epoch.number, shot=plan.shot, n=plan.length(lists))
    parts = epoch.shares()
    yield from episode_batches(([draw(epoch.training_set, i, episodes[i]) for i in part] for part in parts), epoch)


def validation_batches(epoch: Epoch) -> Iterator[EpisodeBatch]:
    """As many episodes of the held-out classes as the plan says, always the same ones; the last batch may be smaller.

    Episode i belongs to rank i mod ``world``. Raises what `batches` and `validation_track` raise.
    """
    plan = epoch.plan
    episodes = validation_track(epoch.lists, seed=plan.seed, shot=plan.shot, n=plan.episodes or 0).episodes
    parts = _every(epoch, len(episodes))
    yield from episode_batches(([draw(epoch.training_set, i, episodes[i]) for i in part] for part in parts), epoch)


def semantic_validation_batches(epoch: Epoch) -> Iterator[SemanticBatch]:
    """All images that are held out, with the labels of the base classes; shared by ranks as `validation_batches`.

    Raises `UsageError` if none are, and what `semantic_batches` raises.
    """
    ids, read = epoch.lists.validation_images, epoch.training_set.read
    if not ids:
        raise UsageError("no image is held out to choose weights by", remedy="set data.held_out_images, as to 0.1")
    parts = _every(epoch, len(ids))
    yield from image_batches(([(i, partial(read, ids[i])) for i in part] for part in parts), epoch)


def semantic_batches(epoch: Epoch) -> Iterator[SemanticBatch]:
    """The batches of labelled images of an epoch: every image of the lists at most once. See `batches`."""
    ids, wanted = epoch_images(epoch.lists, seed=epoch.plan.seed, epoch=epoch.number), epoch.plan.episodes
    if wanted is not None and wanted > len(ids):
        raise UsageError(
            f"an epoch of {wanted:,} images was asked for, there are {len(ids):,}",
            remedy="leave the number out, or name a smaller one",
        )
    read = epoch.training_set.read
    yield from image_batches(([(i, partial(read, ids[i])) for i in part] for part in epoch.shares()), epoch)


def _every(epoch: Epoch, n: int) -> list[range]:
    """The rank's indices below ``n``, every ``world``-th, a batch at a time."""
    own = range(epoch.rank, n, epoch.world)
    return [own[at : at + epoch.plan.batch] for at in range(0, len(own), epoch.plan.batch)]

"""A training set read from end to end, shard by shard: for shards that lie where random access is slow.

Nothing but the order of reading differs from `batches`: queries are drawn from a buffer of images, and so are their
supports. An epoch is a pure function of seed, epoch and the buffer's size, the same with any number of threads and
ranks; every rank reads all of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import count, islice
from typing import TypeVar

from fssbench.base.errors import TrainingSetError, UsageError
from fssbench.base.files import sha256_bytes
from fssbench.episodes.episodes import Episode
from fssbench.episodes.streamed import StreamDraw, draw_episodes, shuffle
from fssbench.episodes.strict import HashStream, draw_distinct
from fssbench.models.batch import EpisodeBatch, SemanticBatch
from fssbench.pipelines.formats.shards import training_samples
from fssbench.pipelines.training_sets.assemble import Drawn, episode_batches, image_batches
from fssbench.pipelines.training_sets.epoch import Epoch
from fssbench.pipelines.training_sets.training_set import TrainingSet, damage
from fssbench.pipelines.transport import Remote
from fssbench.pipelines.transport.ahead import read_ahead
from fssbench.schemas.samples import TrainingSample
from fssbench.schemas.training_set import TrainingShard

__all__ = ["BUFFER", "read_shards", "streamed_batches", "streamed_semantic_batches"]

BUFFER = 1_000
"""Images held at a time: about 160 MB of COCO's."""

T = TypeVar("T")


def read_shards(training_set: TrainingSet, order: Iterable[int]) -> Iterator[TrainingSample]:
    """The samples of the shards with these numbers; the next shard is fetched while one is read.

    Raises `TrainingSetError` if a shard is not the one that the manifest pins.
    """
    shards = [training_set.manifest.shards[number] for number in order]
    for shard, data in zip(shards, read_ahead(shards, partial(_read, training_set), ahead=1), strict=True):
        yield from _checked(training_set, shard, data)


def _read(training_set: TrainingSet, shard: TrainingShard) -> bytes:
    if isinstance(training_set.place, Remote):
        with damage():
            return training_set.place.read_checked(shard)
    path = training_set.path / shard.name
    try:
        return path.read_bytes()
    except OSError as error:
        raise TrainingSetError(
            f"{path} cannot be read: {error.strerror}", remedy="prepare the set again with --train --overwrite"
        ) from error


def _checked(training_set: TrainingSet, shard: TrainingShard, data: bytes) -> Iterator[TrainingSample]:
    if sha256_bytes(data) != shard.sha256:
        raise TrainingSetError(
            f"{shard.name} of {training_set.place} is damaged: its SHA-256 is not the manifest's",
            remedy="prepare the set again with --train --overwrite, or fetch the file again",
        )
    with damage():
        yield from training_samples(data, where=shard.name)


def streamed_batches(epoch: Epoch, *, buffer: int = BUFFER) -> Iterator[EpisodeBatch]:
    """`batches` from a stream. Queries are as likely as their images; the shards are read again as often as needed.

    Raises, beside what `batches` does, `UsageError` if the policy draws classes first, or if the buffer
    is too small to hold supports of any query.
    """
    queries = epoch.lists.policy.queries
    if queries != "image-uniform":
        raise UsageError(
            f"queries are to be {queries}, a stream gives images as they come",
            remedy="choose image-uniform (fssbench train --set data.queries=image-uniform), or copy the set to this "
            "machine's disk",
        )
    numbered = (_as_drawn(index, one) for index, one in enumerate(_endless(epoch, buffer=buffer)))
    yield from episode_batches(_parts(numbered, epoch.shares()), epoch)


def streamed_semantic_batches(epoch: Epoch, *, buffer: int = BUFFER) -> Iterator[SemanticBatch]:
    """`semantic_batches` from a stream: one pass over the shards, through a shuffle buffer."""
    samples = shuffle(_one_pass(epoch, 0), buffer=buffer, stream=_draws(epoch, "images"))
    numbered = ((index, partial(_itself, sample)) for index, sample in enumerate(samples))
    yield from image_batches(_parts(numbered, epoch.shares()), epoch)


def _draws(epoch: Epoch, *what: str | int) -> HashStream:
    lists = epoch.lists
    return HashStream("fssbench streamed/1", lists.benchmark, lists.fold, epoch.plan.seed, epoch.number, *what)


def _one_pass(epoch: Epoch, turn: int) -> Iterator[TrainingSample]:
    """The samples of the lists' images, the shards in an order of this pass."""
    wanted = frozenset(epoch.lists.images)
    order = draw_distinct(_draws(epoch, "shards", turn), len(epoch.training_set.manifest.shards))
    for sample in read_shards(epoch.training_set, order):
        if sample.meta.image_id in wanted:
            yield sample


def _endless(epoch: Epoch, *, buffer: int) -> Iterator[StreamDraw[TrainingSample]]:
    """The episodes of pass after pass, each with the shards in an order of its own."""
    shown, served, shot = epoch.lists.shown, epoch.lists.served, epoch.plan.shot
    for turn in count():
        drawn = 0
        for one in draw_episodes(
            _one_pass(epoch, turn),
            asked=lambda sample: shown.get(sample.meta.image_id, ()),
            served=lambda sample: served.get(sample.meta.image_id, ()),
            shot=shot,
            buffer=buffer,
            stream=_draws(epoch, "episodes", turn),
        ):
            drawn += 1
            yield one
        if not drawn:
            raise UsageError(
                f"no image had {shot} supports among the {buffer:,} read before it",
                remedy="hold more images in the buffer, or train with fewer supports",
            )


def _as_drawn(index: int, one: StreamDraw[TrainingSample]) -> Drawn:
    episode = Episode(one.class_id, one.query.meta.image_id, tuple(support.meta.image_id for support in one.supports))
    return Drawn(index, episode, tuple(partial(_itself, sample) for sample in (one.query, *one.supports)))


def _itself(sample: TrainingSample) -> TrainingSample:
    return sample


def _parts(items: Iterator[T], indices: Sequence[tuple[int, ...]]) -> Iterator[list[T]]:
    """The items at the places of each run of ``indices``; the runs ascend and do not overlap."""
    place = 0
    for run in indices:
        passed = run[0] - place if run else 0
        yield list(islice(items, passed, passed + len(run)))
        place = run[-1] + 1 if run else place

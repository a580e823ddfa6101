"""Batches: the same for any threads, ranks and starting point, and what the samples say at the model's size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fssbench.base.errors import TrainingSetError, UsageError
from fssbench.episodes.benchmarks import TOY_20I
from fssbench.episodes.training import TrainingLists, TrainingPolicy
from fssbench.models.batch import IGNORED, EpisodeBatch, SemanticBatch
from fssbench.models.interface import Preprocess
from fssbench.pipelines.training_sets.augment import Augmentation
from fssbench.pipelines.training_sets.batches import (
    batches,
    semantic_batches,
    semantic_validation_batches,
    validation_batches,
)
from fssbench.pipelines.training_sets.decode import decode_sample
from fssbench.pipelines.training_sets.epoch import Epoch, EpochPlan
from fssbench.pipelines.training_sets.lists import training_lists
from fssbench.pipelines.training_sets.sequential import streamed_batches, streamed_semantic_batches
from fssbench.pipelines.training_sets.training_set import TrainingSet
from fssbench.schemas.training_set import TrainingShard

SIZE = Preprocess(size=32)
PLAN = EpochPlan(seed=3, shot=2, episodes=25, batch=4)
STRONG = Augmentation(scale=(0.8, 1.25), rotate=10, blur=0.5, flip=0.5, fit="crop", colour=0.3)

Batch = EpisodeBatch | SemanticBatch
Make = Callable[..., Iterator[Any]]


@pytest.fixture(scope="module")
def lists(toy_training: TrainingSet) -> TrainingLists:
    return training_lists(toy_training, 0, TrainingPolicy(queries="image-uniform", held_out=0.2))


def everything(batch: Batch) -> list[object]:
    """All that a batch holds, comparable."""
    values = (getattr(batch, field.name) for field in fields(batch))
    return [value.tolist() if isinstance(value, Tensor) else value for value in values]


def joined(parts: list[Batch]) -> list[object]:
    """Several ranks' parts of one batch, as one."""
    values = []
    for field in fields(parts[0]):
        found = [getattr(part, field.name) for part in parts]
        if field.name == "epoch":
            values.append(found[0])
        elif isinstance(found[0], Tensor):
            values.append(torch.cat(found).tolist())
        else:
            values.append(tuple(item for part in found for item in part))
    return values


# --- what is in a batch ---------------------------------------------------------------------------------


def test_without_augmentation_a_batch_is_what_the_models_preprocessing_makes_of_the_samples(
    toy_training: TrainingSet, lists: TrainingLists
) -> None:
    (batch, *_) = batches(Epoch(toy_training, lists, plan=PLAN, number=0, preprocess=SIZE))
    assert (batch.query.shape, batch.support.shape) == ((4, 3, 32, 32), (4, 2, 3, 32, 32))
    assert {getattr(batch, name).dtype for name in ("query", "query_target", "support", "query_labels")} == {
        torch.uint8
    }
    for n, episode in enumerate(batch.episodes):
        assert batch.class_ids[n] == episode.class_id
        roles = [(episode.query, batch.query[n], batch.query_target[n])]
        roles += [(i, batch.support[n, k], batch.support_target[n, k]) for k, i in enumerate(episode.supports)]
        for image_id, image, target in roles:
            decoded = decode_sample(toy_training.read(image_id))
            assert torch.equal(image, SIZE.image(decoded.image))
            assert torch.equal(target == 1, SIZE.mask(decoded.target(episode.class_id) == 1))


def test_labels_count_the_folds_base_classes_and_never_show_novel_or_held_out_ones(
    toy_training: TrainingSet, lists: TrainingLists
) -> None:
    numbers = {c: 1 + place for place, c in enumerate(lists.base)}
    trained = {numbers[c] for c in lists.classes}
    for batch in semantic_batches(
        Epoch(toy_training, lists, plan=EpochPlan(episodes=80, batch=20), number=0, preprocess=SIZE)
    ):
        assert set(batch.labels.flatten().tolist()) <= {0, *trained}
        for image_id, labels in zip(batch.image_ids, batch.labels, strict=True):
            decoded = decode_sample(toy_training.read(image_id))
            biggest = max(lists.shown[image_id], key=lambda c: toy_training.entries[image_id].areas[c])
            inside = SIZE.mask(decoded.target(biggest) == 1)
            assert (labels[inside] == numbers[biggest]).float().mean() > 0.5


def test_a_model_that_resizes_without_antialias_gets_whole_numbers_too(
    toy_training: TrainingSet, lists: TrainingLists
) -> None:
    points = Preprocess(size=32, antialias=False)
    batch = next(batches(Epoch(toy_training, lists, plan=PLAN, number=0, preprocess=points)))
    image = points.image(decode_sample(toy_training.read(batch.episodes[0].query)).image)
    assert batch.query.dtype == torch.uint8
    assert (batch.query[0].float() - image).abs().max() <= 0.5


# --- the same everywhere --------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [batches, semantic_batches, streamed_batches, streamed_semantic_batches])
def test_threads_ranks_and_a_later_start_change_nothing(
    make: Make, toy_training: TrainingSet, lists: TrainingLists
) -> None:
    """The union over ranks is one process's batch, in order; an epoch may be taken up at any batch."""

    def run(**options: Any) -> list[Batch]:
        more = {"buffer": 60} if make.__name__.startswith("streamed") else {}
        return list(
            make(
                Epoch(toy_training, lists, plan=PLAN, number=1, preprocess=SIZE, augmentation=STRONG, **options), **more
            )
        )

    whole = run(workers=1)
    assert [one.indices for one in whole] == [tuple(range(4 * n, 4 * n + 4)) for n in range(6)]  # 25 // 4
    expected = [everything(one) for one in whole]
    assert [everything(one) for one in run(workers=5, start=4)] == expected[4:]
    ranks = [run(workers=2, rank=rank, world=2) for rank in range(2)]
    assert [joined(list(parts)) for parts in zip(*ranks, strict=True)] == expected


@pytest.mark.parametrize("make", [batches, semantic_batches, streamed_batches, streamed_semantic_batches])
def test_the_last_batch_may_have_what_is_left(make: Make, toy_training: TrainingSet, lists: TrainingLists) -> None:
    """And its parts over ranks are that, also where a rank has none of it."""
    plan = EpochPlan(seed=3, shot=2, episodes=9, batch=4, drop_last=False)
    more = {"buffer": 60} if make.__name__.startswith("streamed") else {}

    def run(**options: Any) -> list[Batch]:
        return list(make(Epoch(toy_training, lists, plan=plan, number=0, preprocess=SIZE, **options), **more))

    whole = run()
    assert [len(one.indices) for one in whole] == [4, 4, 1]
    ranks = [run(rank=rank, world=2) for rank in range(2)]
    assert [joined(list(parts)) for parts in zip(*ranks, strict=True)] == [everything(one) for one in whole]


def test_epochs_differ(toy_training: TrainingSet, lists: TrainingLists) -> None:
    first, second = (
        next(batches(Epoch(toy_training, lists, plan=PLAN, number=epoch, preprocess=SIZE))) for epoch in range(2)
    )
    assert first.episodes != second.episodes


def test_the_same_image_is_augmented_anew_in_every_epoch(
    toy_training: TrainingSet, lists: TrainingLists, tmp_path: Path
) -> None:
    (tmp_path / "one.txt").write_text(lists.images[0])
    one = training_lists(toy_training, 0, TrainingPolicy(), image_list=tmp_path / "one.txt")
    plan = EpochPlan(batch=1)
    seen = [
        next(
            semantic_batches(Epoch(toy_training, one, plan=plan, number=n, preprocess=SIZE, augmentation=STRONG))
        ).images
        for n in range(4)
    ]
    assert all(not torch.equal(a, b) for n, a in enumerate(seen) for b in seen[:n])


def test_validation_is_the_same_episodes_of_held_out_classes_over_any_ranks(
    toy_training: TrainingSet, lists: TrainingLists
) -> None:
    def run(**options: Any) -> list[EpisodeBatch]:
        plan = EpochPlan(episodes=11, batch=4)
        epoch = Epoch(toy_training, lists, plan=plan, number=-1, preprocess=SIZE, **options)
        return list(validation_batches(epoch))

    whole = run()
    assert [len(one.indices) for one in whole] == [4, 4, 3]
    assert {e.class_id for one in whole for e in one.episodes} <= set(lists.held_out)
    asked = {i: e for one in whole for i, e in zip(one.indices, one.episodes, strict=True)}
    parts = [one for rank in range(3) for one in run(rank=rank, world=3)]
    assert {i: e for one in parts for i, e in zip(one.indices, one.episodes, strict=True)} == asked


def test_images_that_are_held_out_are_each_seen_once_with_their_labels(
    toy_training: TrainingSet, lists: TrainingLists
) -> None:
    apart = training_lists(toy_training, 0, TrainingPolicy(held_out_images=0.05, all_images=True))
    plan = EpochPlan(batch=4)

    def run(**options: Any) -> list[SemanticBatch]:
        epoch = Epoch(toy_training, apart, plan=plan, number=-1, preprocess=SIZE, **options)
        return list(semantic_validation_batches(epoch))

    assert [i for one in run() for i in one.image_ids] == list(apart.validation_images)
    parts = [i for rank in range(3) for one in run(rank=rank, world=3) for i in one.image_ids]
    assert sorted(parts) == list(apart.validation_images)
    with pytest.raises(UsageError, match="no image is held out"):
        next(semantic_validation_batches(Epoch(toy_training, lists, plan=plan, number=-1, preprocess=SIZE)))


# --- from a stream --------------------------------------------------------------------------------------


def test_a_stream_reads_every_shard_once_a_pass_and_gives_every_image_once(
    toy_training: TrainingSet, lists: TrainingLists, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def read(training_set: TrainingSet, shard: TrainingShard) -> bytes:
        opened.append(shard.name)
        return (training_set.path / shard.name).read_bytes()

    monkeypatch.setattr("fssbench.pipelines.training_sets.sequential._read", read)

    plan = EpochPlan(batch=1)
    found = [
        image_id
        for batch in streamed_semantic_batches(
            Epoch(toy_training, lists, plan=plan, number=0, preprocess=Preprocess(size=8)), buffer=50
        )
        for image_id in batch.image_ids
    ]
    assert sorted(opened) == sorted(shard.name for shard in toy_training.manifest.shards)
    assert sorted(found) == list(lists.images)
    assert found != sorted(found)


def test_a_streamed_shard_is_checked_whoever_brought_it(
    toy_training: TrainingSet, lists: TrainingLists, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fssbench.pipelines.training_sets.sequential._read", lambda _, shard: bytes(shard.bytes))
    with pytest.raises(TrainingSetError, match="is damaged"):
        next(streamed_batches(Epoch(toy_training, lists, plan=PLAN, number=0, preprocess=SIZE)))


def test_a_stream_cannot_draw_classes_first_nor_from_a_buffer_of_one(
    toy_training: TrainingSet, lists: TrainingLists
) -> None:
    uniform = training_lists(toy_training, 0, TrainingPolicy())
    with pytest.raises(UsageError, match="a stream gives images as they come"):
        next(streamed_batches(Epoch(toy_training, uniform, plan=PLAN, number=0, preprocess=SIZE)))
    with pytest.raises(UsageError, match="no image had 2 supports among the 1 read before it"):
        next(streamed_batches(Epoch(toy_training, lists, plan=PLAN, number=0, preprocess=SIZE), buffer=1))


# --- what is refused ------------------------------------------------------------------------------------


def test_what_cannot_be_shared_or_filled_is_refused(toy_training: TrainingSet, lists: TrainingLists) -> None:
    def first(plan: EpochPlan = PLAN, **options: Any) -> EpisodeBatch:
        return next(batches(Epoch(toy_training, lists, plan=plan, number=0, preprocess=SIZE, **options)))

    with pytest.raises(UsageError, match="rank 0 of 3 cannot take an equal part of a batch of 4"):
        first(world=3)
    with pytest.raises(UsageError, match="an epoch of 3 does not fill a batch of 4"):
        first(EpochPlan(episodes=3, batch=4))
    with pytest.raises(UsageError, match="batch 7 was asked for, the epoch has 6"):
        first(start=7)
    with pytest.raises(UsageError, match="an epoch of 9,999 images was asked for"):
        next(
            semantic_batches(
                Epoch(toy_training, lists, plan=EpochPlan(episodes=9_999, batch=4), number=0, preprocess=SIZE)
            )
        )


def test_a_consumer_may_stop_at_any_batch(toy_training: TrainingSet, lists: TrainingLists) -> None:
    """Threads end with the generator: nothing is left running that would keep a process alive."""
    import threading

    before = threading.active_count()
    running = batches(Epoch(toy_training, lists, plan=PLAN, number=0, preprocess=SIZE))
    next(running)
    assert threading.active_count() > before
    running.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_more_base_classes_than_labels_have_values_are_told_as_nothing_known(toy_training: TrainingSet) -> None:
    from dataclasses import replace

    lists = training_lists(toy_training, 0, TrainingPolicy())
    many = replace(lists, base=tuple(range(300)))
    batch = next(batches(Epoch(toy_training, many, plan=PLAN, number=0, preprocess=SIZE)))
    assert np.unique(batch.query_labels.numpy()).tolist() == [IGNORED]
    with pytest.raises(UsageError, match="has 300 base classes, labels can tell 254 apart"):
        next(semantic_batches(Epoch(toy_training, many, plan=PLAN, number=0, preprocess=SIZE)))
    assert TOY_20I.name == lists.benchmark

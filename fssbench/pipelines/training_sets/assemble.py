"""Episodes and images that were drawn → batches of tensors, made by threads ahead of need."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from fssbench.base.errors import UsageError
from fssbench.episodes.episodes import Episode
from fssbench.episodes.training import TrainingLists
from fssbench.models.batch import IGNORED, EpisodeBatch, SemanticBatch
from fssbench.pipelines.training_sets.augment import fit
from fssbench.pipelines.training_sets.decode import LabelledImage, Labels, decode_sample
from fssbench.pipelines.training_sets.draws import Draws
from fssbench.pipelines.training_sets.epoch import Epoch
from fssbench.pipelines.training_sets.training_set import TrainingSet
from fssbench.schemas.samples import TrainingSample

__all__ = ["Drawn", "Load", "draw", "episode_batches", "image_batches", "label_numbers"]

AHEAD = 3
"""Batches that are made ahead of the one in use."""

P = TypeVar("P")
B = TypeVar("B")
Load = Callable[[], TrainingSample]
Label = Callable[[LabelledImage], Sequence[Labels]]
"""The maps of labels (H, W) uint8 that are wanted of an image."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """An episode and what loads its images, in whichever thread; the query's comes first."""

    index: int
    episode: Episode
    loads: tuple[Load, ...]


def draw(training_set: TrainingSet, index: int, episode: Episode) -> Drawn:
    """An episode whose images are read from their places in the shards."""
    ids = (episode.query, *episode.supports)
    return Drawn(index, episode, tuple(partial(training_set.read, image_id) for image_id in ids))


def episode_batches(parts: Iterable[Sequence[Drawn]], epoch: Epoch) -> Iterator[EpisodeBatch]:
    """A batch for each of ``parts``, of episodes of one shot."""
    lists, make, stacked = epoch.lists, ImageLoader(epoch), partial(_stacked, size=epoch.preprocess.side)
    numbers = label_numbers(lists) if len(lists.base) < IGNORED else None
    places = {class_id: place for place, class_id in enumerate(lists.base)}

    def jobs(part: Sequence[Drawn]) -> Iterator[Job]:
        for one in part:
            query, *supports = one.loads
            class_id = one.episode.class_id
            yield partial(make, query, one.index, "query", partial(_query_labels, class_id=class_id, numbers=numbers))
            for place, support in enumerate(supports):
                yield partial(make, support, one.index, f"support {place}", partial(_target, class_id=class_id))

    def collate(part: Sequence[Drawn], made: Sequence[ImageTensors]) -> EpisodeBatch:
        each = 1 + epoch.plan.shot
        grouped = partial(_grouped, shape=(len(part), epoch.plan.shot))
        queries, supports = made[::each], [one for n, one in enumerate(made) if n % each]
        return EpisodeBatch(
            epoch=epoch.number,
            indices=tuple(one.index for one in part),
            episodes=tuple(one.episode for one in part),
            query=stacked([one.image for one in queries], 3),
            query_target=stacked([one.maps[0] for one in queries]),
            support=grouped(stacked([one.image for one in supports], 3)),
            support_target=grouped(stacked([one.maps[0] for one in supports])),
            class_ids=torch.tensor([one.episode.class_id for one in part], dtype=torch.int64),
            class_positions=torch.tensor([places.get(one.episode.class_id, -1) for one in part], dtype=torch.int64),
            query_labels=stacked([one.maps[1] for one in queries]),
        )

    return _ahead(parts, jobs, collate, workers=epoch.workers)


def image_batches(parts: Iterable[Sequence[tuple[int, Load]]], epoch: Epoch) -> Iterator[SemanticBatch]:
    """A batch for each of ``parts``: indices in the epoch, with what loads their images."""
    label, make = partial(_labels, numbers=label_numbers(epoch.lists)), ImageLoader(epoch)
    stacked = partial(_stacked, size=epoch.preprocess.side)

    def jobs(part: Sequence[tuple[int, Load]]) -> Iterator[Job]:
        return (partial(make, load, index, "image", label) for index, load in part)

    def collate(part: Sequence[tuple[int, Load]], made: Sequence[ImageTensors]) -> SemanticBatch:
        return SemanticBatch(
            epoch=epoch.number,
            indices=tuple(index for index, _ in part),
            image_ids=tuple(one.image_id for one in made),
            images=stacked([one.image for one in made], 3),
            labels=stacked([one.maps[0] for one in made]),
        )

    return _ahead(parts, jobs, collate, workers=epoch.workers)


def _stacked(tensors: Sequence[Tensor], *channels: int, size: int) -> Tensor:
    """Tensors of one shape side by side: (N, …, size, size) uint8, also of none."""
    return torch.stack(list(tensors)) if tensors else torch.empty(0, *channels, size, size, dtype=torch.uint8)


def _grouped(tensors: Tensor, *, shape: tuple[int, int]) -> Tensor:
    """(B·K, …) as (B, K, …)."""
    return tensors.reshape(*shape, *tensors.shape[1:])


def label_numbers(lists: TrainingLists) -> dict[int, int]:
    """The label of every trained class: 1 + its position among the base classes.

    Raises `UsageError` if they are more than a byte has values for.
    """
    if len(lists.base) >= IGNORED:
        raise UsageError(
            f"{lists.benchmark} has {len(lists.base)} base classes, labels can tell {IGNORED - 1} apart",
            remedy="train on episodes, which tell one class from everything else",
        )
    return {c: 1 + place for place, c in enumerate(lists.base) if c in lists.pools}


def _target(image: LabelledImage, *, class_id: int) -> list[Labels]:
    return [image.target(class_id)]


def _labels(image: LabelledImage, *, numbers: Mapping[int, int]) -> list[Labels]:
    return [image.labels(numbers)]


def _query_labels(image: LabelledImage, *, class_id: int, numbers: Mapping[int, int] | None) -> list[Labels]:
    target = image.target(class_id)
    return [target, np.full_like(target, IGNORED) if numbers is None else image.labels(numbers)]


@dataclass(frozen=True, slots=True, eq=False)
class ImageTensors:
    """A sample as tensors: its image (3, s, s) uint8 and N maps of labels (N, s, s) uint8."""

    image_id: str
    image: Tensor
    maps: Tensor


Job = Callable[[], ImageTensors]


@dataclass(frozen=True, slots=True)
class ImageLoader:
    """Loads, decodes and augments one image at a time, in whichever thread."""

    epoch: Epoch

    def __call__(self, load: Load, index: int, role: str, label: Label) -> ImageTensors:
        """The image that plays ``role`` in the ``index``-th episode of the epoch."""
        decoded = decode_sample(load())
        epoch, labels = self.epoch, label(decoded)
        if epoch.augmentation is None:
            image, maps = fit(decoded.image, labels, preprocess=epoch.preprocess)
        else:
            draws = Draws("fssbench augment/1", epoch.plan.seed, epoch.number, index, role)
            image, maps = epoch.augmentation(decoded.image, labels, preprocess=epoch.preprocess, draws=draws)
        return ImageTensors(decoded.meta.image_id, image, maps)


def _ahead(
    parts: Iterable[P],
    jobs: Callable[[P], Iterable[Job]],
    collate: Callable[[P, Sequence[ImageTensors]], B],
    *,
    workers: int,
) -> Iterator[B]:
    """What ``collate`` makes of each part and the results of its ``jobs``, which threads do ahead of need."""
    waiting: deque[tuple[P, list[Future[ImageTensors]]]] = deque()

    def finish() -> B:
        part, futures = waiting.popleft()
        return collate(part, [future.result() for future in futures])

    executor = ThreadPoolExecutor(workers)
    try:
        for part in parts:
            waiting.append((part, [executor.submit(job) for job in jobs(part)]))
            if len(waiting) > AHEAD:
                yield finish()
        while waiting:
            yield finish()
    finally:
        executor.shutdown(cancel_futures=True)

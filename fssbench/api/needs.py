"""What sets will take before they are built, in images, bytes and time, judged by a few of their images."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from fssbench.base.errors import SourceError
from fssbench.base.files import require_room
from fssbench.base.progress import Report, duration
from fssbench.pipelines.episode_sets.plan import FoldPlan
from fssbench.pipelines.episode_sets.sameness import read_sample
from fssbench.pipelines.formats import tar
from fssbench.pipelines.formats.images import suffix
from fssbench.pipelines.formats.truth import image_truth
from fssbench.pipelines.sources import Source
from fssbench.pipelines.training_sets.build_training_set import TrainingPlan, read_training_sample
from fssbench.schemas.samples import EpisodeSample, image_key

__all__ = ["Needs", "Planned", "needs_of_folds", "needs_of_training"]

LOOKED_AT = 24
"""Images that are read to judge the others by."""

T = TypeVar("T")
P = TypeVar("P", FoldPlan, TrainingPlan)


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a set, or several, will take.

    Attributes:
        images: to be written; an image counts once for every class of its own.
        bytes: on disk.
        seconds: to read, check and write them.
    """

    images: int
    bytes: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.images:,} images to write: about {self.bytes / 1e6:,.1f} MB and {duration(self.seconds)}"

    @staticmethod
    def total(parts: Collection[Needs]) -> Needs:
        """Of several sets together."""
        return Needs(
            images=sum(one.images for one in parts),
            bytes=sum(one.bytes for one in parts),
            seconds=sum(one.seconds for one in parts),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Planned(Generic[P]):
    """Sets to build, and what each of them will take.

    Attributes:
        raw: what they are built of.
        target: the folder that they will lie in.
    """

    plans: Sequence[P]
    needs: Sequence[Needs]
    raw: Source
    target: Path
    workers: int

    @property
    def total(self) -> Needs:
        """Of all sets together."""
        return Needs.total(self.needs)

    def begin(self, report: Report) -> None:
        """Say what building will take, if anything is to be built; `StorageError` if the disk has not the room."""
        if self.total.images:
            report.note(str(self.total))
            require_room(self.total.bytes, self.target, what="the sets take about")


def needs_of_folds(plans: Sequence[FoldPlan], source: Source, *, workers: int) -> list[Needs]:
    """What every planned set will take, none where it is up to date."""
    new = [plan.images - (plan.base.keys().keys() if plan.base else set()) for plan in plans]
    key = image_key(0)

    def size(image: tuple[int, str]) -> int:
        sample = read_sample(source, key, class_id=image[0], image_id=image[1])
        image_truth(sample)  # takes its time when the set is built
        return _packed(sample.jpeg, sample.meta)

    each, seconds = _judge(sorted(set().union(*new)), size, workers=workers)
    return [
        Needs(images=len(images), bytes=int(len(images) * each) + _episodes(plan), seconds=len(images) * seconds)
        for plan, images in zip(plans, new, strict=True)
    ]


def needs_of_training(plan: TrainingPlan, source: Source, *, workers: int) -> Needs:
    """What a training set will take, nothing if it is there."""

    def size(image_id: str) -> int:
        sample = read_training_sample(source, image_key(0), image_id, plan.shown[image_id])
        return _packed(sample.jpeg, sample.meta)

    each, seconds = _judge(sorted(plan.shown), size, workers=workers)
    n = len(plan.shown)
    return Needs(images=n, bytes=int(n * each), seconds=n * seconds)


def _judge(images: Sequence[T], size: Callable[[T], int], *, workers: int) -> tuple[float, float]:
    """Bytes and seconds of an image, by some of them, evenly spread; damaged ones are refused in their turn."""
    sizes: list[int] = []
    start = time.perf_counter()
    for image in images[:: max(1, len(images) // LOOKED_AT)][:LOOKED_AT]:
        with suppress(SourceError):
            sizes.append(size(image))
    taken = time.perf_counter() - start
    n, at_a_time = max(1, len(sizes)), max(1, min(workers, os.cpu_count() or 1))
    return sum(sizes) / n, taken / n / at_a_time


def _packed(image: bytes, meta: Any) -> int:
    return tar.packed_size({suffix(image): image, "json": meta.model_dump_json().encode()})


def _episodes(plan: FoldPlan) -> int:
    """Bytes of the episodes to add: all of a track are of one length, but for the digits of their numbers."""
    total = 0
    for track, _ in plan.tracks:
        first, n = track.episodes[0], len(track.episodes)
        supports = (image_key(0),) * len(first.supports)
        sample = EpisodeSample(index=n, class_id=first.class_id, query=image_key(0), supports=supports)
        total += n * tar.packed_size({"json": sample.model_dump_json().encode()})
    return total

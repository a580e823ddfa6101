"""Drawing what a model learns from: the classes and images of a fold, and the episodes of an epoch.

As with the episodes of a test, every draw is a function of its key alone, so that any worker, rank or resumed run
can tell any episode of any epoch without drawing those before it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Literal, TypeVar

from fssbench.base.errors import PoolError, UsageError
from fssbench.episodes.benchmarks import Benchmark
from fssbench.episodes.episodes import Episode, Track
from fssbench.episodes.lists import FoldLists, Pools
from fssbench.episodes.strict import HashStream, draw_distinct, sample_strict

__all__ = [
    "Queries",
    "TrainingLists",
    "TrainingPolicy",
    "base_classes",
    "derive_training",
    "draw_others",
    "epoch_episodes",
    "epoch_images",
    "held_out_classes",
    "validation_track",
]

TRAINING_LABEL = "training/1"

T = TypeVar("T")

VALIDATION_IMAGES = 50
"""Images of a held-out class that are set apart at most: enough to choose weights by, few enough to do without."""

Queries = Literal["class-uniform", "image-uniform", "pair-uniform"]


@dataclass(frozen=True, kw_only=True)
class TrainingPolicy:
    """What publications differ in when they say that they trained on the base classes.

    Attributes:
        drop_novel: leave out images that show a novel class, in however few pixels. If they stay, those pixels are
            learned as background.
        min_pixels: least mask pixels, at original size, for an image to serve a class.
        queries: ``class-uniform``: the class is drawn, then an image of it. ``image-uniform``: the image is drawn,
            then one of the classes it serves. ``pair-uniform``: every pair of image and class is as likely.
        held_out: share of the base classes that is not trained but kept to choose weights by, in [0, 1). If it is
            above 0 and the benchmark sets classes apart for that, it is these, whatever the share.
    """

    drop_novel: bool = False
    min_pixels: int = 1
    queries: Queries = "class-uniform"
    held_out: float = 0.0

    def __post_init__(self) -> None:
        if self.min_pixels < 1:
            raise UsageError(f"min_pixels must be at least 1, got {self.min_pixels}")
        if not 0 <= self.held_out < 1:
            raise UsageError(f"held_out must be a share in [0, 1), got {self.held_out}")


@dataclass(frozen=True, kw_only=True)
class TrainingLists:
    """What the epochs of a fold are drawn from.

    Attributes:
        benchmark: its name, part of every key.
        novel: the fold's novel classes, ascending.
        base: the fold's base classes, ascending: what the labels of a `SemanticBatch` count.
        pools: for every class that is trained the sorted images that may serve it.
        validation: for every held-out class the sorted images set apart for it; none of them is in ``pools``.
        dropped: images left out because they show a novel class.
    """

    benchmark: str
    fold: int
    policy: TrainingPolicy
    novel: tuple[int, ...]
    base: tuple[int, ...]
    pools: Pools
    validation: Pools
    dropped: int

    @property
    def classes(self) -> tuple[int, ...]:
        """The classes that are trained, ascending."""
        return tuple(self.pools)

    @property
    def held_out(self) -> tuple[int, ...]:
        """The classes kept to choose weights by, ascending."""
        return tuple(self.validation)

    @cached_property
    def shown(self) -> Mapping[str, tuple[int, ...]]:
        """The trained classes that an image may serve, ascending, by image id; ids sorted."""
        found: dict[str, list[int]] = {}
        for class_id, ids in self.pools.items():
            for image_id in ids:
                found.setdefault(image_id, []).append(class_id)
        return {image_id: tuple(found[image_id]) for image_id in sorted(found)}

    @cached_property
    def images(self) -> tuple[str, ...]:
        """Every image that is learned from, sorted."""
        return tuple(self.shown)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of all pools: two lists are the same images of the same classes if and only if it agrees."""
        lines = (
            f"{kind}\t{class_id}\t{image_id}\n"
            for kind, pools in (("train", self.pools), ("validation", self.validation))
            for class_id, ids in pools.items()
            for image_id in ids
        )
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @cached_property
    def pairs(self) -> tuple[tuple[str, int], ...]:
        """Every image with every class it may serve, sorted."""
        return tuple((image_id, class_id) for image_id, classes in self.shown.items() for class_id in classes)


def base_classes(benchmark: Benchmark, fold: int) -> tuple[int, ...]:
    """The ascending classes that may be trained when ``fold`` is tested: neither novel nor set apart for validation."""
    others = {*benchmark.novel_classes(fold), *benchmark.validation_classes}
    return tuple(c for c in range(benchmark.n_classes) if c not in others)


def held_out_classes(benchmark: Benchmark, fold: int, share: float) -> tuple[int, ...]:
    """The ascending classes to choose weights by: the benchmark's own, or a drawn ``share`` of the base classes.

    At least one, and never all, unless the share is 0: then none.
    """
    base = base_classes(benchmark, fold)
    if share == 0 or benchmark.validation_classes:
        return benchmark.validation_classes if share else ()
    if len(base) < 2:
        raise UsageError(
            f"fold {fold} of {benchmark.title} has {len(base)} base classes, too few to hold one out",
            remedy="hold out none, and keep the last weights",
        )
    n = min(max(1, round(share * len(base))), len(base) - 1)
    order = draw_distinct(HashStream(f"fssbench {TRAINING_LABEL}", benchmark.name, fold, "held out"), len(base))
    return tuple(sorted(base[place] for place in islice(order, n)))


def derive_training(
    areas: Mapping[str, Mapping[int, int]],
    *,
    benchmark: Benchmark,
    fold: int,
    policy: TrainingPolicy,
    images: Collection[str] | None = None,
    pairs: Collection[tuple[str, int]] | None = None,
) -> TrainingLists:
    """The lists of a fold from what every image shows.

    Images that are set apart for a held-out class are not trained on, whatever else they show. Of a class with
    many images only some are, so that holding out a common one does not cost all of them.

    Args:
        areas: mask pixels by class, by image id.
        images: only these ids; ``None`` for all.
        pairs: only these images for these classes; ``None`` for all. What an image shows beside counts as before.
    """
    novel = benchmark.novel_classes(fold)
    held_out = held_out_classes(benchmark, fold, policy.held_out)
    trained = [c for c in base_classes(benchmark, fold) if c not in held_out]
    listed = {i: shown for i, shown in areas.items() if images is None or i in images}
    kept = {i: shown for i, shown in listed.items() if not (policy.drop_novel and shown.keys() & set(novel))}
    key = (f"fssbench {TRAINING_LABEL}", benchmark.name, fold, "validation images")
    pools = _pools(kept, [*trained, *held_out], policy.min_pixels, pairs)
    validation = {c: _some(pools[c], HashStream(*key, c)) for c in held_out}
    apart = {image_id for ids in validation.values() for image_id in ids}
    return TrainingLists(
        benchmark=benchmark.name,
        fold=fold,
        policy=policy,
        novel=novel,
        base=base_classes(benchmark, fold),
        pools={c: tuple(i for i in pools[c] if i not in apart) for c in trained},
        validation=validation,
        dropped=len(listed) - len(kept),
    )


def _pools(
    areas: Mapping[str, Mapping[int, int]],
    classes: Iterable[int],
    min_pixels: int,
    pairs: Collection[tuple[str, int]] | None,
) -> dict[int, tuple[str, ...]]:
    found: dict[int, list[str]] = {class_id: [] for class_id in classes}
    for image_id in sorted(areas):
        for class_id, pixels in areas[image_id].items():
            listed = pairs is None or (image_id, class_id) in pairs
            if listed and class_id in found and pixels >= min_pixels:
                found[class_id].append(image_id)
    return {class_id: tuple(ids) for class_id, ids in found.items()}


def _some(ids: Sequence[str], stream: HashStream) -> tuple[str, ...]:
    """Up to `VALIDATION_IMAGES` of ``ids``, drawn, sorted."""
    return tuple(sorted(ids[place] for place in islice(draw_distinct(stream, len(ids)), VALIDATION_IMAGES)))


def epoch_episodes(lists: TrainingLists, *, seed: int, epoch: int, shot: int, n: int) -> tuple[Episode, ...]:
    """The ``n`` episodes of an epoch, by the lists' policy.

    ``class-uniform``: every run of as many episodes as there are classes has each class once, in an order of its
    own, and the queries of a class go through its images before one comes again. The other two go through all
    images, or all pairs of image and class, before one comes again. Supports are drawn without replacement from the
    other images of the class.

    Raises:
        PoolError: a class has fewer than ``shot`` + 1 images.
        UsageError: shot or n is below 1.
    """
    if shot < 1 or n < 1:
        raise UsageError(f"shot and episodes must be at least 1, got {shot} and {n}")
    FoldLists(pools=lists.pools).require(shot + 1, shot=shot)
    key = (f"fssbench {TRAINING_LABEL}", lists.benchmark, lists.fold, seed, epoch)
    return tuple(
        Episode(class_id, query, draw_others(lists.pools[class_id], query, shot, HashStream(*key, "supports", index)))
        for index, (query, class_id) in enumerate(islice(_queries(lists, key), n))
    )


def epoch_images(lists: TrainingLists, *, seed: int, epoch: int) -> tuple[str, ...]:
    """All images of the lists in the order of an epoch that is no epoch of episodes."""
    if not lists.images:
        raise PoolError("there is no image to learn from", remedy="a smaller min_pixels leaves more")
    key = (f"fssbench {TRAINING_LABEL}", lists.benchmark, lists.fold, seed, epoch, "images")
    return tuple(lists.images[place] for place in draw_distinct(HashStream(*key), len(lists.images)))


def validation_track(lists: TrainingLists, *, seed: int, shot: int, n: int) -> Track:
    """Episodes of the held-out classes, drawn as the ``strict`` protocol draws those of a test.

    Raises:
        UsageError: no class is held out.
        PoolError: a held-out class has fewer than ``shot`` + 1 images.
    """
    if not lists.validation:
        raise UsageError("no class is held out to choose weights by", remedy="set the policy's held_out, as to 0.2")
    pools = FoldLists(pools=lists.validation)
    return sample_strict(pools, benchmark=lists.benchmark, fold=lists.fold, shot=shot, seed=seed, episodes=n)


def draw_others(pool: Sequence[str], query: str, shot: int, stream: HashStream) -> tuple[str, ...]:
    """Supports: ``shot`` distinct elements of ``pool``; the query is passed over if it is drawn."""
    drawn = (pool[place] for place in draw_distinct(stream, len(pool)))
    return tuple(islice((image_id for image_id in drawn if image_id != query), shot))


def _queries(lists: TrainingLists, key: tuple[str | int, ...]) -> Iterator[tuple[str, int]]:
    """Queries and their classes, without end."""
    match lists.policy.queries:
        case "class-uniform":
            images = {c: _round(lists.pools[c], (*key, "queries", c)) for c in lists.classes}
            for class_id in _round(lists.classes, (*key, "classes")):
                yield next(images[class_id]), class_id
        case "image-uniform":
            for n, image_id in enumerate(_round(lists.images, (*key, "queries"))):
                classes = lists.shown[image_id]
                yield image_id, classes[HashStream(*key, "class", n).below(len(classes))]
        case "pair-uniform":
            yield from _round(lists.pairs, (*key, "queries"))


def _round(items: Sequence[T], key: tuple[str | int, ...]) -> Iterator[T]:
    """All items in random order, then all in another one, and so on."""
    turn = 0
    while True:
        for place in draw_distinct(HashStream(*key, turn), len(items)):
            yield items[place]
        turn += 1

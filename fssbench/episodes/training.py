"""What a model learns from: the classes and images of a fold, and what publications differ in when they choose them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Literal

from fssbench.base.errors import PoolError, UsageError
from fssbench.episodes.benchmarks import Benchmark
from fssbench.episodes.lists import Pools
from fssbench.episodes.strict import HashStream, draw_distinct

__all__ = [
    "TRAINING_LABEL",
    "Queries",
    "TrainingLists",
    "TrainingPolicy",
    "base_classes",
    "derive_training",
    "held_out_classes",
]

TRAINING_LABEL = "training/1"
"""Begins the key of every draw for training."""

VALIDATION_IMAGES = 50
"""Images of a held-out class that are set apart at most: enough to choose weights by, few enough to do without."""

Queries = Literal["class-uniform", "image-uniform", "pair-uniform"]


@dataclass(frozen=True, kw_only=True)
class TrainingPolicy:
    """What publications differ in when they say that they trained on the base classes.

    Attributes:
        drop_novel: leave out images that show a novel class, in however few pixels. If they stay, those pixels are
            learned as background.
        min_pixels: least mask pixels, at original size, for an image to serve a class, where no list says so.
        query_pixels: least mask pixels of the class that an image which serves any is asked about; ``None`` for
            ``min_pixels``.
        all_images: let a model that learns from labels see images that show no trained class, too. Episodes never do.
        queries: ``class-uniform``: the class is drawn, then an image of it. ``image-uniform``: the image is drawn,
            then one of the classes it serves. ``pair-uniform``: every pair of image and class is as likely.
        held_out: share of the base classes that is not trained but kept to choose weights by, in [0, 1). If it is
            above 0 and the benchmark sets classes apart for that, it is these, whatever the share.
        held_out_images: share of the images that is kept for that instead, with all their classes, in [0, 1).
    """

    drop_novel: bool = False
    min_pixels: int = 1
    query_pixels: int | None = None
    all_images: bool = False
    queries: Queries = "class-uniform"
    held_out: float = 0.0
    held_out_images: float = 0.0

    def __post_init__(self) -> None:
        if self.min_pixels < 1:
            raise UsageError(f"min_pixels must be at least 1, got {self.min_pixels}")
        if self.query_pixels is not None and self.query_pixels < 1:
            raise UsageError(f"query_pixels must be at least 1, got {self.query_pixels}")
        if self.queries == "class-uniform" and (self.query_pixels or 1) > self.min_pixels:
            # A class with no image to be asked about would never have its turn.
            raise UsageError(
                f"query_pixels {self.query_pixels} is above min_pixels, {self.min_pixels}",
                remedy="draw queries image-uniform or pair-uniform, or lower it",
            )
        for name in ("held_out", "held_out_images"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} must be a share in [0, 1), got {getattr(self, name)}")
        if self.held_out and self.held_out_images:
            raise UsageError("classes and images cannot both be held out", remedy="set one of the two shares to 0")


@dataclass(frozen=True, kw_only=True)
class TrainingLists:
    """What the epochs of a fold are drawn from.

    Attributes:
        benchmark: its name, part of every key.
        novel: the fold's novel classes, ascending.
        base: the fold's base classes, ascending: what the labels of a `SemanticBatch` count.
        pools: for every class that is trained the sorted images that may serve it.
        asked: for every class that is trained the sorted images that may be asked about it, all of them in ``pools``
            of some class: where the policy lets queries be small, more than serve it.
        unclassed: sorted images to learn from that show no trained class; no episode has them.
        validation: for every held-out class the sorted images set apart for it; none of them is in ``pools``.
        validation_images: the sorted images set apart in place of classes; nor are these.
        dropped: images left out because they show a novel class.
    """

    benchmark: str
    fold: int
    policy: TrainingPolicy
    novel: tuple[int, ...]
    base: tuple[int, ...]
    pools: Pools
    asked: Pools
    unclassed: tuple[str, ...]
    validation: Pools
    validation_images: tuple[str, ...]
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
        """The trained classes that an image may be asked about, ascending, by image id; ids sorted."""
        return _by_image(self.asked)

    @cached_property
    def served(self) -> Mapping[str, tuple[int, ...]]:
        """The trained classes that an image may serve as a support, likewise."""
        return _by_image(self.pools)

    @cached_property
    def images(self) -> tuple[str, ...]:
        """Every image that is learned from, sorted."""
        return tuple(sorted({*self.shown, *self.served, *self.unclassed}))

    @property
    def epoch(self) -> int:
        """How many episodes, or images, an epoch has: as published, one a pair or one an image."""
        return len(self.pairs if self.policy.queries == "pair-uniform" else self.images)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of all pools: two lists are the same images of the same classes if and only if it agrees.

        What images are asked about beside, the policy decides, as it does how queries are drawn.
        """
        lines = (
            f"{kind}\t{class_id}\t{image_id}\n"
            for kind, pools in (
                ("train", self.pools),
                ("validation", self.validation),
                ("unclassed", {"": self.unclassed}),
                ("validation", {"": self.validation_images}),
            )
            for class_id, ids in pools.items()
            for image_id in ids
        )
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @cached_property
    def pairs(self) -> tuple[tuple[str, int], ...]:
        """Every image with every class it may be asked about, sorted."""
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
        pairs: exactly these images for these classes, however small; ``None`` for all that are large enough. What
            an image shows beside counts as before.
    """
    novel = benchmark.novel_classes(fold)
    held_out = held_out_classes(benchmark, fold, policy.held_out)
    trained = [c for c in base_classes(benchmark, fold) if c not in held_out]
    listed = {i: shown for i, shown in areas.items() if images is None or i in images}
    kept = {i: shown for i, shown in listed.items() if not (policy.drop_novel and shown.keys() & set(novel))}
    key = (f"fssbench {TRAINING_LABEL}", benchmark.name, fold, "validation images")
    pools = _pools(kept, [*trained, *held_out], policy.min_pixels, pairs)
    validation = {c: _some(pools[c], HashStream(*key, c)) for c in held_out}
    usable = kept.keys() & {i for i, _ in pairs} if pairs is not None else kept.keys()
    usable = usable if policy.all_images else {i for ids in pools.values() for i in ids}
    validation_images = _share(sorted(usable), policy.held_out_images, HashStream(*key))
    apart = {*validation_images, *(image_id for ids in validation.values() for image_id in ids)}
    pools = {c: tuple(i for i in pools[c] if i not in apart) for c in trained}
    serving = {i: kept[i] for ids in pools.values() for i in ids}
    return TrainingLists(
        benchmark=benchmark.name,
        fold=fold,
        policy=policy,
        novel=novel,
        base=base_classes(benchmark, fold),
        pools=pools,
        asked=pools if policy.query_pixels is None else _pools(serving, trained, policy.query_pixels, None),
        unclassed=tuple(sorted(usable - apart - serving.keys())) if policy.all_images else (),
        validation=validation,
        validation_images=validation_images,
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
            serves = pixels >= min_pixels if pairs is None else (image_id, class_id) in pairs
            if serves and class_id in found:
                found[class_id].append(image_id)
    return {class_id: tuple(ids) for class_id, ids in found.items()}


def _some(ids: Sequence[str], stream: HashStream) -> tuple[str, ...]:
    """Up to `VALIDATION_IMAGES` of ``ids``, drawn, sorted."""
    return tuple(sorted(ids[place] for place in islice(draw_distinct(stream, len(ids)), VALIDATION_IMAGES)))


def _share(ids: Sequence[str], share: float, stream: HashStream) -> tuple[str, ...]:
    """About a ``share`` of ``ids``, drawn, sorted; at least one and never all, unless the share is 0: then none."""
    if not share:
        return ()
    if len(ids) < 2:
        raise PoolError(
            f"{len(ids)} images are too few to hold one out", remedy="hold out none, and keep the last weights"
        )
    n = min(max(1, round(share * len(ids))), len(ids) - 1)
    return tuple(sorted(ids[place] for place in islice(draw_distinct(stream, len(ids)), n)))


def _by_image(pools: Pools) -> dict[str, tuple[int, ...]]:
    found: dict[str, list[int]] = {}
    for class_id, ids in pools.items():
        for image_id in ids:
            found.setdefault(image_id, []).append(class_id)
    return {image_id: tuple(found[image_id]) for image_id in sorted(found)}

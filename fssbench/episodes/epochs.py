"""The episodes and images of an epoch, drawn from a fold's lists.

As with the episodes of a test, every draw is a function of its key alone, so that any worker, rank or resumed run
can tell any episode of any epoch without drawing those before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TypeVar

from fssbench.base.errors import PoolError, UsageError
from fssbench.episodes.episodes import Episode, Track
from fssbench.episodes.lists import FoldLists
from fssbench.episodes.strict import HashStream, draw_distinct, sample_strict
from fssbench.episodes.training import TRAINING_LABEL, TrainingLists

__all__ = ["draw_others", "epoch_episodes", "epoch_images", "validation_track"]

T = TypeVar("T")


def epoch_episodes(lists: TrainingLists, *, seed: int, epoch: int, shot: int, n: int) -> tuple[Episode, ...]:
    """The ``n`` episodes of an epoch, by the lists' policy.

    ``class-uniform``: every run of as many episodes as there are classes has each class once, in an order of its
    own, and the queries of a class go through its images before one comes again. The other two go through all
    images, or all pairs of image and class, before one comes again: in an epoch of `TrainingLists.epoch` episodes each
    comes once. Supports are drawn without replacement from the other images of the class.

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
    """All images of the lists in the order of an epoch that is not an epoch of episodes."""
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
            images = {c: _round(lists.asked[c], (*key, "queries", c)) for c in lists.classes}
            for class_id in _round(lists.classes, (*key, "classes")):
                yield next(images[class_id]), class_id
        case "image-uniform":
            for n, image_id in enumerate(_round(tuple(lists.shown), (*key, "queries"))):
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

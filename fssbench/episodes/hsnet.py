"""Drawing episodes as the published evaluation of HSNet and HMFS does.

Its code asks numpy's global generator, seeded once before the first episode, for ``choice(list, 1,
replace=False)``. That shuffles the places of the whole list to take the first of them, so how far the
generator moves depends on how long the list is. numpy has frozen this generator (NEP 19); here it is an
object of its own, which gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from fssbench.base.errors import UsageError
from fssbench.episodes.episodes import Episode, Track
from fssbench.episodes.lists import FoldLists, Pools

__all__ = ["SEEDS_BELOW", "derive_hsnet", "sample_hsnet"]

T = TypeVar("T")

HSNET_LABEL = "hsnet/2"
SEEDS_BELOW = 1 << 32
"""numpy's legacy generator takes seeds of 32 bits."""


def derive_hsnet(pools: Pools, *, present: Pools, benchmark: str) -> FoldLists:
    """Lists in the published code's form, in sorted order: what can be said without its split files.

    PASCAL is asked by (image, class) pairs, FSS-1000 by class and path, where ``10`` stands before ``2``,
    with supports drawn from the numbers 1 to 10; on all else query and supports are drawn alike. ``present``
    means nothing here.
    """
    ordered = {c: tuple(sorted(pools[c])) for c in sorted(pools)}
    by_class = [(image, (c,)) for c, ids in ordered.items() for image in ids]
    match benchmark:
        case "pascal-5i" | "coco-20i-to-pascal":
            return FoldLists(pools=ordered, queries=tuple(sorted(by_class)))
        case "fss-1000":
            numbered = {c: tuple(sorted(ids, key=_number)) for c, ids in ordered.items()}
            return FoldLists(pools=numbered, queries=tuple(by_class))
    return FoldLists(pools=ordered)


def _number(image_id: str) -> int:
    """10 for ``abacus/10``."""
    return int(image_id.rpartition("/")[2])


def sample_hsnet(lists: FoldLists, *, benchmark: str, fold: int, shot: int, seed: int, episodes: int) -> Track:
    """Draw a track by the ``hsnet`` protocol, version 2: one sequence of draws over all episodes.

    Where the lists have queries, episode i is the i-th of them, from the start again at their end; otherwise
    its class is drawn from the ascending classes, then its query from the class's pool. Supports are drawn one
    by one from the pool, again only if the query came: one may repeat.

    Args:
        lists: of the fold; their order is part of the protocol.
        shot: number of supports K ≥ 1; every class needs two images, whatever K.
        seed: below 2^32; the publication's is 0.
        episodes: how many to draw, ≥ 1; fewer are the first of more.

    Raises:
        PoolError: a class has only one image.
        UsageError: shot or episodes is below 1, the seed is too large, or the lists contradict themselves.
    """
    if shot < 1 or episodes < 1:
        raise UsageError(f"shot and episodes must be at least 1, got {shot} and {episodes}")
    if not 0 <= seed < SEEDS_BELOW:
        raise UsageError(f"the protocol hsnet takes seeds from 0 to {SEEDS_BELOW - 1}, got {seed}")
    lists.require(2, shot=shot)
    generator = np.random.RandomState(seed)
    classes = sorted(lists.pools)

    def draw(values: Sequence[T]) -> T:
        return values[int(generator.choice(len(values), 1, replace=False)[0])]

    def question(index: int) -> tuple[str, int]:
        if lists.queries:
            query, (class_id,) = lists.queries[index % len(lists.queries)]
            return query, class_id
        class_id = draw(classes)
        return draw(lists.pools[class_id]), class_id

    def episode(index: int) -> Episode:
        query, class_id = question(index)
        supports: list[str] = []
        while len(supports) < shot:
            support = draw(lists.pools[class_id])
            if support != query:
                supports.append(support)
        return Episode(class_id, query, tuple(supports))

    return Track(
        benchmark=benchmark,
        protocol=HSNET_LABEL,
        fold=fold,
        shot=shot,
        seed=seed,
        episodes=tuple(episode(index) for index in range(episodes)),
    )

"""Drawing episodes as the published evaluation of HDMNet does, as far as that can be known.

Its code draws with Python's ``random`` inside the workers of torch's data loader. Each time the loader is
started, torch draws a base seed from its own generator and seeds ``random`` in worker w with base seed + w;
item i is fetched by worker i mod W. Every round over the images starts the loader anew. Both generators are
Mersenne twisters that numpy and Python can run too, so neither torch nor a process is needed here.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import numpy as np

from fssbench.base.errors import UsageError
from fssbench.episodes.episodes import Episode, Track
from fssbench.episodes.lists import FoldLists, Pools

__all__ = ["LOADER_WORKERS", "SEEDS", "derive_hdmnet", "sample_hdmnet", "worker_seeds"]

HDMNET_LABEL = "hdmnet/2"
LOADER_WORKERS = 8
SEEDS_BELOW = 1 << 32

SEEDS = tuple(int(seed) for seed in np.random.RandomState(123).randint(0, 1000, 10))
"""The ten seeds of the published evaluation, whose scores it averages."""


def derive_hdmnet(pools: Pools, *, present: Pools, benchmark: str) -> FoldLists:
    """The rule of the published lists, applied to masks: images by ascending id.

    Args:
        pools: by class, the images with enough pixels of it: they serve as its supports, and all of them,
            once each, are the queries.
        present: by class, the images with any pixel of it: a query may be asked about each class it shows.
        benchmark: means nothing here.
    """
    eligible = sorted({image for ids in pools.values() for image in ids})
    return FoldLists(
        pools={c: tuple(sorted(pools[c])) for c in sorted(pools)},
        queries=tuple((image, ()) for image in eligible),
    ).showing(present)


def worker_seeds(seed: int, *, workers: int) -> Iterator[tuple[int, ...]]:
    """What torch seeds Python's ``random`` with in each worker, start after start of the loader.

    Args:
        seed: what torch's generator was seeded with, below 2^32; nothing else draws from it.
        workers: processes of the loader, ≥ 1.
    """
    torch_generator = np.random.RandomState(seed)
    while True:
        high, low = torch_generator.randint(0, 1 << 32, size=2, dtype=np.uint32)
        base = (int(high) << 32 | int(low)) % (1 << 63)
        yield tuple(base + worker for worker in range(workers))


def sample_hdmnet(
    lists: FoldLists,
    *,
    benchmark: str,
    fold: int,
    shot: int,
    seed: int,
    episodes: int,
    loader_workers: int = LOADER_WORKERS,
) -> Track:
    """Draw a track by the ``hdmnet`` protocol, version 2.

    Queries are the list's images in order, again and again. Of an episode, worker (place in the list mod W)
    draws first the class, from the ascending classes of the query, then each support from the class's pool.
    Before a support is drawn one number is drawn for nothing, as the published loop does, which starts from
    the query itself; then it is drawn again as long as it is the query or an earlier support.

    Args:
        lists: of the fold, with queries; their order is part of the protocol.
        shot: number of supports K ≥ 1; every class needs K + 1 images.
        seed: below 2^32; the publication's are `SEEDS`.
        episodes: how many to draw, ≥ 1; fewer are the first of more.
        loader_workers: W ≥ 1; another number gives other episodes.

    Raises:
        PoolError: a class has fewer than K + 1 images, or there is no query.
        UsageError: shot, episodes or workers is below 1, the seed is too large, or the lists contradict
            themselves.
    """
    if shot < 1 or episodes < 1 or loader_workers < 1:
        raise UsageError(
            f"shot, episodes and loader workers must be at least 1, got {shot}, {episodes} and {loader_workers}"
        )
    if not 0 <= seed < SEEDS_BELOW:
        raise UsageError(f"the protocol hdmnet takes seeds from 0 to {SEEDS_BELOW - 1}, got {seed}")
    lists.require(shot + 1, shot=shot)
    if not lists.queries:
        raise UsageError("the protocol hdmnet walks a list of queries, and there is none")
    rounds = worker_seeds(seed, workers=loader_workers)

    def one_round() -> Iterator[Episode]:
        generators = [random.Random(number) for number in next(rounds)]
        for place, (query, classes) in enumerate(lists.queries):
            yield _episode(query, classes, lists.pools, shot, generators[place % loader_workers])

    drawn: list[Episode] = []
    while len(drawn) < episodes:
        drawn += one_round()
    return Track(
        benchmark=benchmark,
        protocol=HDMNET_LABEL,
        fold=fold,
        shot=shot,
        seed=seed,
        episodes=tuple(drawn[:episodes]),
    )


def _episode(query: str, classes: Sequence[int], pools: Pools, shot: int, generator: random.Random) -> Episode:
    class_id = classes[generator.randrange(len(classes))]
    pool = pools[class_id]
    supports: list[str] = []
    while len(supports) < shot:
        generator.randrange(len(pool))  # for nothing
        support = query
        while support == query or support in supports:
            support = pool[generator.randrange(len(pool))]
        supports.append(support)
    return Episode(class_id, query, tuple(supports))

"""Drawing episodes: the ``strict`` protocol's sampler and the random numbers under it.

Nothing here depends on a generator of Python or numpy, on workers, on the platform or on the order in
which files were listed: every draw is a function of its key alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import islice

from fssbench.base.errors import UsageError
from fssbench.episodes.episodes import Episode, Track
from fssbench.episodes.lists import FoldLists, Pools

__all__ = ["HashStream", "derive_strict", "draw_distinct", "sample_strict"]

STRICT_LABEL = "strict/1"
_WORD = 1 << 64


class HashStream:
    """Unbiased integers from SHA-256 in counter mode.

    Block j is ``SHA-256(key ‖ j)``: the key's fields, each followed by a newline, in UTF-8, then j as 8
    big-endian bytes. A block gives four 64-bit big-endian words.
    """

    def __init__(self, *key: str | int) -> None:
        fields = [str(field) for field in key]
        if any("\n" in field for field in fields):
            raise UsageError(f"a sampling key must not contain a newline, got {fields}")
        self._prefix = hashlib.sha256("".join(f"{field}\n" for field in fields).encode())
        self._words = self._generate()

    def _generate(self) -> Iterator[int]:
        block = 0
        while True:
            hasher = self._prefix.copy()
            hasher.update(block.to_bytes(8, "big"))
            digest = hasher.digest()
            for start in range(0, 32, 8):
                yield int.from_bytes(digest[start : start + 8], "big")
            block += 1

    def below(self, n: int) -> int:
        """An integer drawn uniformly from 0 … n-1; words that would favour small values are skipped."""
        if not 1 <= n <= _WORD:
            raise UsageError(f"a draw needs 1 to 2^64 values to choose from, got {n}")
        fair = _WORD - _WORD % n
        return next(word % n for word in self._words if word < fair)


def draw_distinct(stream: HashStream, n: int) -> Iterator[int]:
    """The integers 0 … n-1 in random order, drawn one by one.

    A Fisher–Yates shuffle that stores only the places it has touched, so that the first few of many cost
    little; and since each draw is made when asked for, a longer list begins with the shorter one.
    """
    moved: dict[int, int] = {}
    for place in range(n):
        drawn = place + stream.below(n - place)
        yield moved.get(drawn, drawn)
        moved[drawn] = moved.get(place, place)


def derive_strict(pools: Pools, *, present: Pools, benchmark: str) -> FoldLists:
    """The ``strict`` protocol draws from pools alone, on every benchmark."""
    return FoldLists(pools=pools)


def sample_strict(lists: FoldLists, *, benchmark: str, fold: int, shot: int, seed: int, episodes: int) -> Track:
    """Draw a track by the ``strict`` protocol, version 1.

    Episode i belongs to the (i mod C)-th class in ascending order, at position p = i div C. The query is
    element p mod n of a permutation of the class's n images, sorted by id; the supports are drawn without
    replacement from the others. So classes and queries are balanced in every prefix, and the K-shot
    supports are the first K of any longer list.

    Args:
        lists: of the fold; only the pools count, in any order.
        benchmark: the benchmark's name, part of every key.
        fold: 0-based fold, part of every key.
        shot: number of supports K ≥ 1; every class needs K + 1 images.
        seed: part of every key; another seed is another sample.
        episodes: how many to draw, ≥ 1.

    Raises:
        PoolError: a class has fewer than K + 1 images.
        UsageError: shot or episodes is below 1, or a pool names an image twice.
    """
    if shot < 1 or episodes < 1:
        raise UsageError(f"shot and episodes must be at least 1, got {shot} and {episodes}")
    lists.require(shot + 1, shot=shot)
    classes = sorted(lists.pools)
    images = {class_id: sorted(lists.pools[class_id]) for class_id in classes}
    key = (f"fssbench {STRICT_LABEL}", benchmark, fold, seed)
    queries = {
        class_id: list(draw_distinct(HashStream(*key, class_id, "query"), len(images[class_id])))
        for class_id in classes
    }

    def episode(index: int) -> Episode:
        position, which = divmod(index, len(classes))
        class_id = classes[which]
        pool = images[class_id]
        query = queries[class_id][position % len(pool)]
        stream = HashStream(*key, class_id, "supports", position)
        # The query is left out by closing the gap it leaves: places from it onward move up by one.
        others = islice(draw_distinct(stream, len(pool) - 1), shot)
        supports = tuple(pool[place + (place >= query)] for place in others)
        return Episode(class_id, pool[query], supports)

    return Track(
        benchmark=benchmark,
        protocol=STRICT_LABEL,
        fold=fold,
        shot=shot,
        seed=seed,
        episodes=tuple(episode(index) for index in range(episodes)),
    )

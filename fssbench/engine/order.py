"""In which order the episodes of a class are asked, so that those that share images stand together.

No mask depends on it: it decides how often an image is encoded when not all of them can be kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fssbench.base.belady import BeladyCache

__all__ = ["computations", "order_for_reuse"]

Needs = Sequence[Sequence[str]]

MOST = 4_000
"""Episodes beyond which no order is sought: the search takes time with their square."""


def computations(needs: Needs, capacity: int) -> int:
    """How often something is computed if each step needs these keys and ``capacity`` of them can be kept."""
    cache: BeladyCache[str, None] = BeladyCache(capacity)
    cache.expect(needs)
    for step, keys in enumerate(needs):
        cache.begin(keys, done=step)
        for key in dict.fromkeys(keys):
            if key not in cache:
                cache.misses += 1
                cache.put(key, None, 1)
    return cache.misses


def order_for_reuse(needs: Needs, capacity: int) -> list[int]:
    """An order of the steps in which less has to be computed, or the order they have, whichever is better.

    Step by step the one of which most is there already, the earliest of equals. It follows from the arguments alone.

    Args:
        needs: of each step the images.
        capacity: how many of them can be kept.
    """
    as_they_are = list(range(len(needs)))
    if len(set().union(*needs)) <= capacity or len(needs) > MOST:
        return as_they_are
    order = _greedy([frozenset(keys) for keys in needs], capacity)
    better = computations([needs[i] for i in order], capacity) < computations(needs, capacity)
    return order if better else as_they_are


def _greedy(needs: Sequence[frozenset[str]], capacity: int) -> list[int]:
    remaining = dict.fromkeys(range(len(needs)))
    wanted = Counter(key for keys in needs for key in keys)
    there: dict[str, None] = {}
    order: list[int] = []
    while remaining:
        best = min(remaining, key=lambda i: len(needs[i] - there.keys()))
        order.append(best)
        del remaining[best]
        wanted.subtract(needs[best])
        there |= dict.fromkeys(sorted(needs[best]))
        while len(there) > capacity:  # who is wanted least goes first
            unused = [key for key in there if key not in needs[best]]
            if not unused:
                break
            del there[min(unused, key=lambda key: wanted[key])]
    return order

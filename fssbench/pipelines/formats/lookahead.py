"""Doing the next things in a known sequence before they are asked for."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor, Future
from typing import Generic, TypeVar

__all__ = ["Lookahead"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Lookahead(Generic[K, V]):
    """Values for a sequence of keys known in advance, made by an executor ahead of need, given in order.

    A value is kept as long as its key comes again. When there is no room for another, the one needed furthest
    in the future is dropped and made again later: with the future known and all of one size, no rule drops
    fewer (Belady, 1966). Nothing is dropped for what is needed later than itself; then there is no looking ahead.
    """

    def __init__(
        self,
        keys: Sequence[K],
        make: Callable[[K], V],
        *,
        executor: Executor,
        capacity: int,
        ahead: int,
        size: Callable[[K], int] = lambda _: 1,
    ) -> None:
        """Plan for ``keys``.

        Args:
            capacity: the sum of sizes that may be held; the value asked for is made even if it alone has more.
            ahead: places to look ahead.
            size: of a key's value, known before it is made.
        """
        self._keys = keys
        self._make = make
        self._executor = executor
        self._capacity = capacity
        self._ahead = ahead
        self._size = size
        self._total = 0  # of the sizes held
        self._next_use = _next_uses(keys)
        self._held: dict[K, Future[V]] = {}
        self._uses: dict[K, int] = {}  # the place where a held key is used next
        self._furthest: list[tuple[int, K]] = []  # heap of (-place, key); stale entries are skipped
        self._place = 0
        self._scheduled = 0

    def take(self) -> V:
        """The value of the next key; blocks until it is made, and raises what making it raised."""
        place = self._place
        self._schedule(min(place + 1 + self._ahead, len(self._keys)))
        key = self._keys[place]
        self._place += 1
        value = self._held[key].result()
        self._note(key, self._next_use[place])
        return value

    def _schedule(self, end: int) -> None:
        for place in range(self._scheduled, end):
            key = self._keys[place]
            if key not in self._held:
                if not self._make_room(self._size(key), place):
                    end = place
                    break
                self._held[key] = self._executor.submit(self._make, key)
                self._total += self._size(key)
                self._note(key, place)
        self._scheduled = max(self._scheduled, end)

    def _note(self, key: K, place: int) -> None:
        """Remember where ``key`` is used next, or let it go if it is not."""
        if place == len(self._keys):
            self._drop(key)
            return
        self._uses[key] = place
        # Places are unique, so the heap never has to compare two keys.
        heapq.heappush(self._furthest, (-place, key))

    def _drop(self, key: K) -> None:
        del self._held[key]
        del self._uses[key]
        self._total -= self._size(key)

    def _make_room(self, size: int, place: int) -> bool:
        """Drop what is used later than ``place`` until ``size`` more fits; whether it may be made now."""
        while self._held and self._total + size > self._capacity:
            negative, key = self._furthest[0]
            if self._uses.get(key) == -negative:
                if -negative < place:
                    return False
                self._drop(key)
            heapq.heappop(self._furthest)
        return True


def _next_uses(keys: Sequence[K]) -> list[int]:
    """For every place the next place of the same key, or the sequence's length if there is none."""
    seen: dict[K, int] = {}
    uses = [len(keys)] * len(keys)
    for place in range(len(keys) - 1, -1, -1):
        uses[place] = seen.get(keys[place], len(keys))
        seen[keys[place]] = place
    return uses

"""Doing the next things in a known sequence before they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor, Future
from typing import Generic, TypeVar

from fssbench.base.belady import BeladyCache

__all__ = ["Lookahead"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Lookahead(Generic[K, V]):
    """Values for a sequence of keys known in advance, made by an executor ahead of need, given in order.

    A value is kept as long as its key comes again. When there is no room for another, the one needed furthest
    in the future is dropped and made again later. Nothing is dropped for what is needed later than itself; then there
    is no looking ahead.
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
        self._ahead = ahead
        self._size = size
        self._held: BeladyCache[K, Future[V]] = BeladyCache(capacity)
        self._held.expect([(key,) for key in keys])
        self._place = 0
        self._scheduled = 0

    def take(self) -> V:
        """The value of the next key; blocks until it is made, and raises what making it raised."""
        self._schedule(min(self._place + 1 + self._ahead, len(self._keys)))
        made = self._held.get(self._keys[self._place])
        assert made is not None
        self._place += 1
        value = made.result()
        self._held.end(self._place)
        return value

    def _schedule(self, end: int) -> None:
        for place in range(self._scheduled, end):
            key = self._keys[place]
            if key not in self._held:
                if not self._held.make_room(self._size(key), before=place):
                    end = place
                    break
                self._held.put(key, self._executor.submit(self._make, key), self._size(key))
        self._scheduled = max(self._scheduled, end)

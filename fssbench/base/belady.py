"""Values kept within a budget, when it is known what will be needed: what is needed last is given up first.

That rule needs the fewest computations of all (Belady, IBM Systems Journal 1966), if values are of one size.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import count
from math import inf
from typing import Generic, TypeVar

__all__ = ["BeladyCache"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

NOW = -1.0


class BeladyCache(Generic[K, V]):
    """Values by key, no more than a budget of them, but for those that are needed right now.

    Without `expect`, nothing is known of the future, and the value used longest ago is given up first.

    Attributes:
        budget: in the unit of the sizes.
        held: the sum of the sizes there are.
        misses: how often a value was not there.
    """

    def __init__(self, budget: float) -> None:
        self.budget = budget
        self.held = 0.0
        self.misses = 0
        self._values: dict[K, tuple[V, float]] = {}
        self._needs: Sequence[Iterable[K]] | None = None
        self._uses: dict[K, deque[int]] = {}  # the steps to come that need a key
        self._done = 0
        self._now: dict[K, None] = {}
        self._notes = count()
        self._noted: dict[K, tuple[float, int]] = {}
        self._furthest: list[tuple[float, int, K]] = []  # heap of (-step, note, key); outdated notes are skipped

    def expect(self, needs: Sequence[Iterable[K]]) -> None:
        """What will be needed, step by step; what is held for other steps is dropped."""
        self._needs, self._done, self._uses, self._now, self._furthest = needs, 0, {}, {}, []
        for step, keys in enumerate(needs):
            for key in keys:
                self._uses.setdefault(key, deque()).append(step)
        self._note(list(self._values))

    def begin(self, keys: Iterable[K], *, done: int) -> None:
        """Begin a step, or several, that need ``keys``, after ``done`` steps."""
        self.end(done, now=keys)
        self.make_room(0)

    def end(self, done: int, *, now: Iterable[K] = ()) -> None:
        """``done`` steps have been; what no other needs is dropped."""
        changed, self._now = self._now, dict.fromkeys(now)
        for keys in [] if self._needs is None else self._needs[self._done : done]:
            for key in keys:
                self._uses[key].popleft()
                changed[key] = None
        self._done = done
        self._note(changed | self._now)

    def get(self, key: K) -> V | None:
        """The value, if it is there."""
        if key not in self._values:
            self.misses += 1
            return None
        if self._needs is None:
            self._note([key])
        return self._values[key][0]

    def put(self, key: K, value: V, size: float) -> None:
        """Keep a value; others are given up to make room for it."""
        self._drop(key)
        self.make_room(size)
        self._values[key] = value, size
        self.held += size
        self._note([key])

    def make_room(self, size: float, *, before: float = NOW) -> bool:
        """Give up what is needed after the step ``before`` until ``size`` more fits; whether it does, or is alone."""
        while self._values and self.held + size > self.budget:
            negative, note, key = self._furthest[0]
            if self._noted.get(key) == (negative, note):
                if -negative <= before:
                    return False
                self._drop(key)
            heapq.heappop(self._furthest)
        return True

    def clear(self) -> None:
        """Give up all."""
        self._values.clear()
        self._noted.clear()
        self._furthest.clear()
        self.held = 0.0

    def sizes(self) -> Iterator[tuple[K, float]]:
        """Keys with the sizes of their values."""
        for key, (_, size) in self._values.items():
            yield key, size

    def __contains__(self, key: K) -> bool:
        return key in self._values

    def __len__(self) -> int:
        return len(self._values)

    def _note(self, keys: Iterable[K]) -> None:
        """Remember when these are needed next, or let them go if they are not; of equals the first noted goes first."""
        for key in keys:
            if key in self._values:
                uses = self._uses.get(key)
                if self._needs is not None and not uses and key not in self._now:
                    self._drop(key)
                    continue
                step = NOW if key in self._now else uses[0] if uses else inf
                self._noted[key] = noted = -step, next(self._notes)
                heapq.heappush(self._furthest, (*noted, key))

    def _drop(self, key: K) -> None:
        if key in self._values:
            self.held -= self._values.pop(key)[1]
            del self._noted[key]

"""Values kept within a budget, when it is known what will be needed: what is needed last is given up first.

That rule needs the fewest computations of all (Belady, IBM Systems Journal 1966), if values are of one size.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Sequence
from math import inf
from typing import Generic, TypeVar

__all__ = ["Cache"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Cache(Generic[K, V]):
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
        self._values: dict[K, tuple[V, float]] = {}  # in the order of their last use
        self._uses: dict[K, deque[int]] | None = None
        self._now: frozenset[K] = frozenset()

    def expect(self, needs: Sequence[Iterable[K]]) -> None:
        """What will be needed, step by step; what is held for other steps is dropped."""
        self._uses = {}
        for step, keys in enumerate(needs):
            for key in keys:
                self._uses.setdefault(key, deque()).append(step)
        self._now = frozenset()
        self._drop_useless()

    def begin(self, keys: Iterable[K], *, done: int) -> None:
        """Begin a step, or several, that need ``keys``, after ``done`` steps."""
        self._now = frozenset(keys)
        for uses in (self._uses or {}).values():
            while uses and uses[0] < done:
                uses.popleft()
        self._drop_useless()
        self._make_room(0)

    def get(self, key: K) -> V | None:
        """The value, if it is there."""
        if key not in self._values:
            self.misses += 1
            return None
        self._values[key] = self._values.pop(key)
        return self._values[key][0]

    def put(self, key: K, value: V, size: float) -> None:
        """Keep a value; others are given up to make room for it."""
        self._drop(key)
        self._make_room(size)
        self._values[key] = value, size
        self.held += size

    def clear(self) -> None:
        """Give up all."""
        self._values.clear()
        self.held = 0.0

    def sizes(self) -> Iterator[tuple[K, float]]:
        """Keys with the sizes of their values."""
        for key, (_, size) in self._values.items():
            yield key, size

    def __contains__(self, key: K) -> bool:
        return key in self._values

    def __len__(self) -> int:
        return len(self._values)

    def _make_room(self, size: float) -> None:
        while self._values and self.held + size > self.budget:
            last = max(self._values, key=self._urgency)
            if last in self._now:
                break
            self._drop(last)

    def _urgency(self, key: K) -> tuple[bool, float]:
        """Greater for what is given up sooner; of equals `max` takes the first, the one used longest ago."""
        if key in self._now:
            return False, 0
        uses = None if self._uses is None else self._uses.get(key)
        return True, uses[0] if uses else inf

    def _drop_useless(self) -> None:
        if self._uses is not None:
            for key in [key for key in self._values if key not in self._now and not self._uses.get(key)]:
                self._drop(key)

    def _drop(self, key: K) -> None:
        if key in self._values:
            self.held -= self._values.pop(key)[1]

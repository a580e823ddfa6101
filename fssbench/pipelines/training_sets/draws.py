"""Random numbers for one sample, from its key alone."""

from __future__ import annotations

from fssbench.episodes.strict import HashStream

__all__ = ["Draws"]

STEPS = 1 << 53
"""Every float in [0, 1) that is a multiple of 2⁻⁵³ is as likely."""


class Draws:
    """A `HashStream` that also gives real numbers and decisions."""

    def __init__(self, *key: str | int) -> None:
        self._stream = HashStream(*key)

    def below(self, n: int) -> int:
        """An integer in 0 … n-1."""
        return self._stream.below(n)

    def between(self, low: float, high: float) -> float:
        """A real number in [low, high)."""
        return low + (high - low) * (self._stream.below(STEPS) / STEPS)

    def chance(self, share: float) -> bool:
        """Whether something that happens to this share of the samples happens to this one."""
        return self.between(0, 1) < share

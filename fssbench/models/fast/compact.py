"""Maps that are constant in their middle, with most of the middle left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fssbench.models.fast.windows import Span

__all__ = ["Compact"]


@dataclass(frozen=True, slots=True)
class Compact:
    """One dimension of such a map, and what a strided convolution makes of it.

    Attributes:
        size: positions of the whole map.
        stride: of the convolution.
        output: an output that sees nothing but the middle.
        left_out: how many outputs are left out after it, and ``stride`` times as many positions.
    """

    size: int
    stride: int
    output: int
    left_out: int

    @staticmethod
    def of(start: int, stop: int, *, size: int, kernel: int, stride: int) -> Compact:
        """Of a map of ``size`` that is constant from ``start`` to ``stop``, for a kernel with half of it as padding."""
        pad = kernel // 2
        output = -(-(start + pad) // stride)
        last_seen = output * stride - pad + kernel - 1
        return Compact(size, stride, output, max(0, (stop - 1 - last_seen) // stride))

    @property
    def facts(self) -> tuple[int, int, int, int]:
        """All that it is, in their order."""
        return self.size, self.stride, self.output, self.left_out

    @property
    def positions(self) -> list[int]:
        """Those of the whole map that are kept."""
        middle = self.stride * self.output
        return [i for i in range(self.size) if not middle < i <= middle + self.stride * self.left_out]

    def runs(self, span: Span) -> Iterator[tuple[slice, slice]]:
        """A span of the whole map in pieces, counted from its start, and which kept ones have their values.

        That is as many as there are positions in the piece, or one for all.
        """
        middle, gone = self.stride * self.output, self.stride * self.left_out
        pieces = ((0, middle, None), (middle, middle + gone, middle), (middle + gone, self.size, None))
        for number, (first, end, one) in enumerate(pieces):
            a, b = max(first, span.start), min(end, span.stop)
            if a < b:
                less = gone if number == 2 else 0
                kept = slice(a - less, b - less) if one is None else slice(one, one + 1)
                yield slice(a - span.start, b - span.start), kept

    @property
    def outputs(self) -> list[int]:
        """For each output of the whole map the one of the kept positions that is the same."""
        count = -(-self.size // self.stride)
        return [i if i <= self.output else max(self.output, i - self.left_out) for i in range(count)]

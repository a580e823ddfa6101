"""Windows of the support's grid: what a strided convolution makes of a map that is constant outside of a box."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Span", "Window", "bounding_box"]


@dataclass(frozen=True, slots=True)
class Span:
    """Positions ``start`` ≤ i < ``stop`` of one dimension."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def reached(self, *, kernel: int, stride: int, size: int) -> Span:
        """The outputs of a convolution, padded by half its kernel, that see any of it in an input of ``size``.

        They may be none: a stride greater than half the kernel can pass over the last positions.
        """
        pad, outputs = kernel // 2, -(-size // stride)
        first = max(0, -(-(self.start + pad - kernel + 1) // stride))
        return Span(first, max(first, min(outputs - 1, (self.stop - 1 + pad) // stride) + 1))

    def seen(self, *, kernel: int, stride: int) -> Span:
        """The inputs that these outputs see; some may lie outside of the map, where it is padded."""
        pad = kernel // 2
        return Span(self.start * stride - pad, (self.stop - 1) * stride - pad + kernel)

    def kept(self, stride: int) -> Span:
        """Of every ``stride``-th position those in the span, counted among themselves."""
        return Span(-(-self.start // stride), -(-self.stop // stride))

    def sampled(self, *, of: int, n: int) -> Span:
        """Of ``n`` positions, spread from the first of ``of`` to the last, those that interpolation gives any of it.

        What only touches it counts, so that rounding cannot matter; where there is none, one is taken.
        """
        first = max(0, -(-(self.start - 1) * (n - 1) // max(1, of - 1)))
        return Span(first, max(first, min(n - 1, self.stop * (n - 1) // max(1, of - 1))) + 1)

    def within(self, other: Span) -> Span:
        """What both have, which must be something."""
        return Span(max(self.start, other.start), min(self.stop, other.stop))

    @property
    def slice(self) -> slice:
        """As an index."""
        return slice(self.start, self.stop)


@dataclass(frozen=True, slots=True)
class Window:
    """Rows and columns of a grid."""

    rows: Span
    columns: Span

    def reached(self, *, kernel: int, stride: int, size: tuple[int, int]) -> Window:
        """See `Span.reached`."""
        return Window(
            self.rows.reached(kernel=kernel, stride=stride, size=size[0]),
            self.columns.reached(kernel=kernel, stride=stride, size=size[1]),
        )

    def seen(self, *, kernel: int, stride: int) -> Window:
        """See `Span.seen`."""
        return Window(self.rows.seen(kernel=kernel, stride=stride), self.columns.seen(kernel=kernel, stride=stride))

    def kept(self, stride: int) -> Window:
        """See `Span.kept`."""
        return Window(self.rows.kept(stride), self.columns.kept(stride))

    def sampled(self, *, of: tuple[int, int], size: tuple[int, int]) -> Window:
        """See `Span.sampled`."""
        return Window(self.rows.sampled(of=of[0], n=size[0]), self.columns.sampled(of=of[1], n=size[1]))

    def within(self, other: Window) -> Window:
        """See `Span.within`."""
        return Window(self.rows.within(other.rows), self.columns.within(other.columns))

    def inside(self, outer: Window) -> Window:
        """The same positions counted from the corner of ``outer``."""
        r, c = outer.rows.start, outer.columns.start
        return Window(
            Span(self.rows.start - r, self.rows.stop - r), Span(self.columns.start - c, self.columns.stop - c)
        )

    def padding_to(self, outer: Window) -> tuple[int, int, int, int]:
        """Columns left and right, rows above and below, that make it ``outer``; negative where it is cut."""
        return (
            self.columns.start - outer.columns.start,
            outer.columns.stop - self.columns.stop,
            self.rows.start - outer.rows.start,
            outer.rows.stop - self.rows.stop,
        )

    @property
    def bounds(self) -> tuple[int, int, int, int]:
        """First row, end, first column and end."""
        return self.rows.start, self.rows.stop, self.columns.start, self.columns.stop

    @property
    def spans(self) -> tuple[Span, Span]:
        """Rows and columns."""
        return self.rows, self.columns

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.rows), len(self.columns)

    @property
    def area(self) -> int:
        """Positions."""
        return len(self.rows) * len(self.columns)


def bounding_box(inside: Tensor) -> list[Tensor]:
    """The least windows that hold all true positions of (N, h, w), as first row, end, first column, end, each (N,).

    Where none is true, the first position alone, which then is as good as any.
    """
    bounds = []
    for dim in (2, 1):
        along = inside.any(dim=dim)  # (N, h) or (N, w)
        size, some = along.shape[1], along.any(dim=1)
        first = along.int().argmax(dim=1)
        stop = size - along.flip(1).int().argmax(dim=1)
        bounds += [first * some, torch.where(some, stop, 1)]
    return bounds

"""What a support shows outside of the window that it is compared in, where that is not nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import EllipsisType

import torch
import torch.nn.functional as F
from torch import Tensor

from fssbench.models.center_pivot import CenterPivotConv4d
from fssbench.models.fast.compact import Compact
from fssbench.models.fast.products import product
from fssbench.models.fast.windows import Window

__all__ = ["Elsewhere"]

Size = tuple[int, int]
Index = tuple[EllipsisType, slice, slice]


@dataclass(frozen=True, slots=True, eq=False)
class Elsewhere:
    """A map that is constant in its middle, at the positions that are kept of it; it is known of the window too.

    Attributes:
        rows: L maps (r·c, C), of unit length over C.
        vertical: which rows of the grid are kept, r of h.
        horizontal: which columns, c of w.
    """

    rows: Sequence[Tensor]
    vertical: Compact
    horizontal: Compact

    def runs(self, window: Window) -> list[tuple[Index, Index]]:
        """A window of the whole map in pieces, and what is kept of them; see `Compact.runs`."""
        across = list(self.horizontal.runs(window.columns))
        return [
            ((..., rows, columns), (..., kept_rows, kept_columns))
            for rows, kept_rows in self.vertical.runs(window.rows)
            for columns, kept_columns in across
        ]

    def correlations(self, query: Sequence[Tensor], size: Size) -> Tensor:
        """With L maps (Hq·Wq, C), Hq and Wq being ``size``: (Hq·Wq, L, r, c)."""
        shape = (len(self.vertical.positions), len(self.horizontal.positions))
        found = query[0].new_empty(len(query[0]), len(query), *shape)
        for number, (one, rows) in enumerate(zip(query, self.rows, strict=True)):
            torch.clamp_min(product(one.view(*size, -1), rows).view(-1, *shape), 0, out=found[:, number])
        return found

    def convolved(self, x: Tensor, layer: CenterPivotConv4d, size: Size) -> Tensor:
        """What a layer makes of the `correlations`, if what is elsewhere is everywhere: (Hq·Wq, hs', ws', C')."""
        stride, weight = layer.support_stride, layer.conv1.weight.contiguous()
        over_support = layer.conv2(x)  # (Hq·Wq, C', r', c')
        kept = x[:, :, ::stride, ::stride]  # (Hq·Wq, L, r', c')
        images = kept.permute(2, 3, 1, 0).reshape(-1, x.shape[1], *size)
        over_query = F.conv2d(images, weight, layer.conv1.bias, padding=layer.conv1.padding)  # (r'·c', C', Hq, Wq)
        by_support = over_query.view(*kept.shape[2:], -1, len(x))
        y = over_support.permute(0, 2, 3, 1) + by_support.permute(3, 0, 1, 2)
        down, across = (torch.tensor(one.outputs, device=x.device) for one in (self.vertical, self.horizontal))
        whole: Tensor = y.index_select(2, across).index_select(1, down)
        return whole

"""Pyramid pooling and the convolution behind it as one, wherever it is asked for."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fssbench.models.fast.products import by_onednn
from fssbench.models.fast.windows import Span, Window
from fssbench.models.fast.winograd import parts_of, winograd
from fssbench.models.hdmnet.base_learner import PyramidPooling

__all__ = ["PooledConvolution"]


class PooledConvolution(nn.Module):
    """The semantic map of HDMNet's base learner.

    Half of the channels that its convolution reads are means over a few cells, interpolated. The convolution is applied
    to the cells, and what it makes of them is interpolated: both being linear, the same, for a hundredth of the work.

    Args:
        pooling: whose batch norms are folded.
        convolution: of 3×3, likewise.
    """

    def __init__(self, pooling: PyramidPooling, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.pools = pooling.features
        shares = [pool[1].out_channels for pool in self.pools]  # type: ignore[index]
        weight = convolution.weight.detach()
        own, *pooled = weight.split_with_sizes([weight.shape[1] - sum(shares), *shares], dim=1)
        self.weight = _constant(own.contiguous(memory_format=torch.channels_last))
        self.parts = _constant(parts_of(own) if by_onednn(own) else own.new_empty(0))
        assert convolution.bias is not None
        self.bias = _constant(convolution.bias)
        # Of each pool what every tap makes of a cell: (share, 9·C').
        self.taps = nn.ParameterList(_constant(one.permute(1, 2, 3, 0).flatten(1)) for one in pooled)

    def forward(self, deep: Tensor, window: Window) -> Tensor:
        """(1, C, h, w) → (rows, columns, C'), those of the window."""
        h, w = deep.shape[-2:]
        seen = window.seen(kernel=3, stride=1)
        there = seen.within(Window(Span(0, h), Span(0, w)))
        crop, padding = deep[..., there.rows.slice, there.columns.slice], there.padding_to(seen)
        if by_onednn(deep):
            y = winograd(crop[0].permute(1, 2, 0), self.parts, padding=padding)
        else:
            y = F.conv2d(F.pad(crop, padding), self.weight)[0].permute(1, 2, 0)
        return y + self._of_pools(deep, window) + self.bias

    def _of_pools(self, deep: Tensor, window: Window) -> Tensor:
        """What the pools' channels add to the map, (rows, columns, C')."""
        down, made = [], []
        for pool, taps in zip(self.pools, self.taps, strict=True):
            cells = pool(deep)[0]  # (share, b, b)
            b = cells.shape[-1]
            of_taps = (cells.flatten(1).t() @ taps).view(b, b, 3, 3, -1).permute(2, 0, 3, 1, 4)  # (3, b, 3, b, C')
            across = _interpolation(b, deep.shape[-1], like=deep)[..., window.columns.slice].flatten(0, 1)
            made.append((across.t() @ of_taps.flatten(2, 3)).flatten(0, 1).flatten(1))  # (3·b, columns·C')
            down.append(_interpolation(b, deep.shape[-2], like=deep)[..., window.rows.slice].flatten(0, 1))
        return (torch.cat(down).t() @ torch.cat(made)).view(*window.shape, -1)


def _interpolation(cells: int, size: int, *, like: Tensor) -> Tensor:
    """How much of a cell each tap of three sees at each position, nothing beyond the ends: (3, cells, size)."""
    identity = torch.eye(cells, dtype=like.dtype, device=like.device)
    shares = F.pad(F.interpolate(identity[None], size, mode="linear", align_corners=True)[0], (1, 1))
    return torch.stack([shares[:, tap : tap + size] for tap in range(3)])


def _constant(x: Tensor) -> nn.Parameter:
    return nn.Parameter(x.detach(), requires_grad=False)

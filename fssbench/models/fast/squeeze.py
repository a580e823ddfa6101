"""`HypercorrelationSqueeze` of center-pivot convolutions, for inference; see `fssbench.models.fast.center_pivot`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fssbench.models.center_pivot import CenterPivotConv4d
from fssbench.models.fast.center_pivot import (
    Size,
    SupportLevel,
    as_images,
    convolved,
    correlated,
    grouped,
    normalised,
    normalised_rest,
)
from fssbench.models.fast.products import NEEDLESS_DILATION, by_onednn
from fssbench.models.squeeze import HypercorrelationSqueeze, require_one_grid

__all__ = ["DenseLayer", "FastSqueeze", "Grid2Layer"]


class FastSqueeze(nn.Module):
    """The same function as the `HypercorrelationSqueeze` it is made from, whose kernel is center-pivot.

    Args:
        original: is not changed.
    """

    def __init__(self, original: HypercorrelationSqueeze) -> None:
        super().__init__()
        blocks = [original.encoder_layer4]
        mixers = []
        if original.levels > 1:
            blocks.insert(0, original.encoder_layer3)
            mixers.append(original.encoder_layer4to3)
        if original.levels > 2:
            blocks.insert(0, original.encoder_layer2)
            mixers.append(original.encoder_layer3to2)
        self.blocks = nn.ModuleList(SqueezeBlock(block) for block in blocks)  # fine to coarse
        self.mixers = nn.ModuleList(MixBlock(block) for block in mixers)  # coarse to fine
        self.decoder1 = original.decoder1.to(memory_format=torch.channels_last)
        self.decoder2 = original.decoder2.to(memory_format=torch.channels_last)

    def forward(
        self, asked: Sequence[Sequence[Tensor]], shown: Sequence[Sequence[SupportLevel]], sizes: Sequence[Size]
    ) -> Tensor:
        """Logits (P, 2, 2h, 2w) of P pairs, h the finest level's.

        Args:
            asked: of each pair the query's maps of unit length, (Hq·Wq, C), those of a level side by side.
            shown: of each pair the support's levels, fine to coarse.
            sizes: Hq and Wq of each level.
        """
        x = self._level(len(sizes) - 1, asked, shown, sizes)
        for level, mix in zip(reversed(range(len(sizes) - 1)), self.mixers, strict=True):
            fine = self._level(level, asked, shown, sizes)
            x = mix(fine.add_(_resized(x, sizes[level + 1], fine, sizes[level])), sizes[level])
        x = as_images(x.mean(dim=(2, 3)), sizes[0])  # (P, 128, h, w), channels last
        x = self.decoder1(x)
        x = F.interpolate(x, (2 * x.shape[-2], 2 * x.shape[-1]), mode="bilinear", align_corners=True)
        logits: Tensor = self.decoder2(x)
        return logits

    def _level(
        self,
        level: int,
        asked: Sequence[Sequence[Tensor]],
        shown: Sequence[Sequence[SupportLevel]],
        sizes: Sequence[Size],
    ) -> Tensor:
        """One level squeezed, of all pairs: (P, Hq·Wq, 2, 2, 128)."""
        counts = [len(one.rows) for one in shown[0]]
        start = sum(counts[:level])
        maps = [pair[start : start + counts[level]] for pair in asked]
        squeezed: Tensor = self.blocks[level](maps, [pair[level] for pair in shown], sizes[level])
        return squeezed


class SqueezeBlock(nn.Module):
    """Correlation and the convolutions of one level, pair by pair until the support is small."""

    def __init__(self, block: nn.Sequential) -> None:
        super().__init__()
        parts = list(block)
        self.layers = nn.ModuleList(parts[0::3])
        self.norms = nn.ModuleList(parts[1::3])
        self.dense = nn.ModuleList(DenseLayer(cast(CenterPivotConv4d, layer)) for layer in parts[6::3])

    def forward(self, asked: Sequence[Sequence[Tensor]], shown: Sequence[SupportLevel], size: Size) -> Tensor:
        """P pairs → (P, Hq·Wq, 2, 2, 128)."""
        small = [self._until_small(query, support, size) for query, support in zip(asked, shown, strict=True)]
        x = torch.stack(small)  # (P, Hq·Wq, hs, ws, C)
        for dense, norm in zip(self.dense, list(self.norms)[2:], strict=True):
            x = normalised(dense(x, size), norm)
        return x

    def _until_small(self, query: Sequence[Tensor], support: SupportLevel, size: Size) -> Tensor:
        """One pair → (Hq·Wq, hs, ws, C), after two convolutions."""
        first = correlated(query, support, cast(CenterPivotConv4d, self.layers[0]), size)
        x = normalised_rest(first, cast(nn.GroupNorm, self.norms[0]))
        return normalised(convolved(x, cast(CenterPivotConv4d, self.layers[1]), size)[None], self.norms[1])[0]


class MixBlock(nn.Module):
    """The convolutions over merged levels."""

    def __init__(self, block: nn.Sequential) -> None:
        super().__init__()
        parts = list(block)
        self.layers = nn.ModuleList(Grid2Layer(cast(CenterPivotConv4d, layer)) for layer in parts[0::3])
        self.norms = nn.ModuleList(parts[1::3])

    def forward(self, x: Tensor, size: Size) -> Tensor:
        """(P, Hq·Wq, hs, ws, C) → the same shape."""
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = normalised(layer(x, size), norm)
        return x


class DenseLayer(nn.Module):
    """A center-pivot convolution of (P, Hq·Wq, hs, ws, C)."""

    def __init__(self, layer: CenterPivotConv4d) -> None:
        super().__init__()
        self.over_query, self.over_support = layer.conv1, layer.conv2
        self.stride = layer.support_stride

    def forward(self, x: Tensor, size: Size) -> Tensor:
        """→ (P, Hq·Wq, hs', ws', C')."""
        p, n, hs, ws, c = x.shape
        kept = x[:, :, :: self.stride, :: self.stride]  # (P, Hq·Wq, hs', ws', C)
        over_query = grouped(kept, self.over_query, size)
        at_query = x.view(p * n, hs, ws, c).permute(0, 3, 1, 2)  # channels last
        over_support = self.over_support(at_query).permute(0, 2, 3, 1)  # (P·Hq·Wq, hs', ws', C')
        return over_query.add_(over_support.reshape(over_query.shape))


class Grid2Layer(DenseLayer):
    """A center-pivot convolution of stride 1: over a support of 2×2, what it does to it is one matrix."""

    def __init__(self, layer: CenterPivotConv4d) -> None:
        super().__init__(layer)
        kernel = layer.conv2.weight.detach()  # (C', C, 3, 3)
        # From support position (a, b) to (i, j) leads the tap that is as far off the middle.
        taps = [[kernel[:, :, 1 + a - i, 1 + b - j] for a in (0, 1) for b in (0, 1)] for i in (0, 1) for j in (0, 1)]
        matrix = torch.cat([torch.cat(row, dim=1) for row in taps])[..., None, None]  # (4·C', 4·C, 1, 1)
        self.matrix = _constant(matrix)
        self.weight = _constant(layer.conv1.weight.repeat(4, 1, 1, 1))
        assert layer.conv1.bias is not None
        assert layer.conv2.bias is not None
        self.bias = nn.Parameter((layer.conv1.bias + layer.conv2.bias).detach().repeat(4), requires_grad=False)

    def forward(self, x: Tensor, size: Size) -> Tensor:
        """→ (P, Hq·Wq, hs, ws, C')."""
        if x.shape[2:4] != (2, 2):
            return super().forward(x, size)
        images = as_images(x, size)  # (P, 4·C, Hq, Wq)
        over_query = F.conv2d(images, self.weight, self.bias, padding=self.over_query.padding, groups=4)
        dilation = NEEDLESS_DILATION if by_onednn(images) else 1
        both = over_query.add_(F.conv2d(images, self.matrix, dilation=dilation))
        return both.permute(0, 2, 3, 1).reshape(*x.shape[:4], -1)


def _constant(weight: Tensor) -> nn.Parameter:
    """A weight that does not learn, in the order that convolutions of channels-last maps read."""
    return nn.Parameter(weight.detach().contiguous(memory_format=torch.channels_last), requires_grad=False)


def _resized(x: Tensor, size: Size, finer: Tensor, finer_size: Size) -> Tensor:
    """The query side of a level (P, Hq·Wq, hs, ws, C) resized to the next one's."""
    require_one_grid(x.shape[2:4], finer.shape[2:4])
    resized = F.interpolate(as_images(x, size), finer_size, mode="bilinear", align_corners=True)
    return resized.permute(0, 2, 3, 1).reshape(finer.shape)

"""The two 4D convolutions that HSNet's Table 4 compares its own with: the original and the separable one.

Shapes are those of `CenterPivotConv4d`: (B, C, Hq, Wq, Hs, Ws) → (B, C', Hq, Wq, ⌈Hs/stride⌉, ⌈Ws/stride⌉).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["OriginalConv4d", "SeparableConv4d"]


class OriginalConv4d(nn.Module):
    """A kernel over all four dimensions: k⁴ weights for every pair of channels (NCNet's, [55] in HSNet's paper).

    It starts as torch starts its convolutions: uniform within 1/√(inputs of one output).
    """

    def __init__(self, in_channels: int, out_channels: int, *, kernel: int, support_stride: int) -> None:
        super().__init__()
        self.kernel, self.support_stride = kernel, support_stride
        bound = (in_channels * kernel**4) ** -0.5
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, *[kernel] * 4).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(out_channels).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, Hq, Wq, Hs, Ws) → (B, C', Hq, Wq, ⌈Hs/stride⌉, ⌈Ws/stride⌉)."""
        b, c, hq, wq, hs, ws = x.shape
        pad, s = self.kernel // 2, self.support_stride
        padded = F.pad(x, (0, 0, 0, 0, 0, 0, pad, pad))  # (B, C, Hq + 2·pad, Wq, Hs, Ws)
        total = None
        # torch has no 4D convolution: a 3D one over (Wq, Hs, Ws) for each of the kernel's k rows of the query, added.
        for row in range(self.kernel):
            shifted = padded[:, :, row : row + hq].transpose(1, 2).reshape(b * hq, c, wq, hs, ws)
            bias = self.bias if row == 0 else None
            part = F.conv3d(shifted, self.weight[:, :, row], bias, stride=(1, s, s), padding=pad)
            total = part if total is None else total.add_(part)
        assert total is not None
        return total.view(b, hq, *total.shape[1:]).transpose(1, 2)  # (B, C', Hq, Wq, hs, ws)


class SeparableConv4d(nn.Module):
    """Two 2D convolutions one after the other, over the support's and then the query's dimensions ([77]).

    HSNet's paper says that it has "auxiliary transformation layers with multiple batch normalizations" and
    does not define them. Here: batch normalisation after each of the two, ReLU between them, and a shortcut,
    a 1×1 convolution with batch normalisation, around both. That has fewer parameters than the paper's.
    """

    def __init__(self, in_channels: int, out_channels: int, *, kernel: int, support_stride: int) -> None:
        super().__init__()
        pad, self.support_stride = kernel // 2, support_stride
        self.conv1 = nn.Conv2d(in_channels, out_channels, kernel, stride=support_stride, padding=pad, bias=False)
        self.conv2 = nn.Conv2d(out_channels, out_channels, kernel, padding=pad, bias=False)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1, stride=support_stride, bias=False)
        self.norm1, self.norm2, self.norm3 = (nn.BatchNorm2d(out_channels) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, Hq, Wq, Hs, Ws) → (B, C', Hq, Wq, ⌈Hs/stride⌉, ⌈Ws/stride⌉)."""
        b, c, hq, wq, hs, ws = x.shape
        at_query = x.permute(0, 2, 3, 1, 4, 5).reshape(-1, c, hs, ws)  # (B·Hq·Wq, C, Hs, Ws)
        squeezed = F.relu(self.norm1(self.conv1(at_query)))  # (B·Hq·Wq, C', hs, ws)
        around = self.norm3(self.shortcut(at_query))

        hs, ws = squeezed.shape[-2:]
        at_support = squeezed.view(b, hq, wq, -1, hs, ws).permute(0, 4, 5, 3, 1, 2)  # (B, hs, ws, C', Hq, Wq)
        total = self.norm2(self.conv2(at_support.reshape(b * hs * ws, -1, hq, wq)))  # (B·hs·ws, C', Hq, Wq)
        total = total.view(b, hs, ws, -1, hq, wq).permute(0, 3, 4, 5, 1, 2)
        whole: Tensor = total + around.view(b, hq, wq, -1, hs, ws).permute(0, 3, 1, 2, 4, 5)
        return whole  # (B, C', Hq, Wq, hs, ws)

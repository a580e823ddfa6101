"""Products of matrices, and pieces of large maps that a processor's cache holds."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["NEEDLESS_DILATION", "by_onednn", "pieces", "product"]

NEEDLESS_DILATION = (2, 2)
"""Of a 1×1 convolution. It changes nothing, but torch then gives it to oneDNN even on one thread."""

PIECE = 24 << 20
"""Bytes that are worked on at a time: more than this is fetched from memory, and its pages made anew, each time."""


def by_onednn(x: Tensor) -> bool:
    """Whether convolutions of it are oneDNN's, which on some processors multiplies twice as fast as torch's BLAS."""
    return x.device.type == "cpu" and x.dtype == torch.float32


def product(a: Tensor, b: Tensor) -> Tensor:
    """Rows (h, w, C) and (N, C) → the products of all pairs (h·w, N)."""
    rows = a.flatten(0, 1)
    if not by_onednn(a):
        return rows @ b.t()
    images = a[None].permute(0, 3, 1, 2)  # channels last, by its strides too, or it would be copied
    y = F.conv2d(images, b[..., None, None], dilation=NEEDLESS_DILATION)
    return y.permute(0, 2, 3, 1).reshape(len(rows), len(b))


def pieces(count: int, size: int, device: torch.device) -> Iterator[slice]:
    """Slices of ``count`` things of ``size`` bytes each; all at once but on a processor."""
    step = max(1, PIECE // size) if device.type == "cpu" else count
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))

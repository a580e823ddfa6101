"""Baselines without learning or features: what a score means is read against them."""

from __future__ import annotations

import torch
from torch import Tensor

from fssbench.models.interface import FewShotSegmenter, Preprocess, check_inputs

__all__ = ["AllForeground", "CopySupport"]


class AllForeground(FewShotSegmenter):
    """Every pixel is foreground: IoU is then the share of the image that the class covers."""

    reads_pixels = False

    def __init__(self, *, size: int = 400) -> None:
        super().__init__()
        self.preprocess = Preprocess(size=size)

    def predict(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        """Ones (B, H, W) uint8, whatever the input."""
        check_inputs(query, supports, masks)
        b, _, h, w = query.shape
        return torch.ones((b, h, w), dtype=torch.uint8, device=query.device)


class CopySupport(FewShotSegmenter):
    """The support's mask is the answer: what position and size alone give away.

    Of several supports, foreground where at least half of their masks are.
    """

    reads_pixels = False

    def __init__(self, *, size: int = 400) -> None:
        super().__init__()
        self.preprocess = Preprocess(size=size)

    def predict(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        """The masks (B, K, H, W) merged to (B, H, W) uint8."""
        check_inputs(query, supports, masks)
        return (2 * (masks > 0).sum(dim=1) >= masks.shape[1]).to(torch.uint8)

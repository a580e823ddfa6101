"""The base learner: a PSPNet (Zhao et al., CVPR 2017) trained on a fold's base classes, then frozen.

HDMNet takes its features from it, and its opinion on which pixels belong to classes that are not asked for.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["BASE_CLASSES", "WIDTH", "BaseLearner", "PyramidPooling", "base_classifier", "bottleneck", "published_name"]

# Of a fold, by the alias of the benchmark whose classes they are.
BASE_CLASSES = {"coco": 60, "pascal": 15}
BINS = (1, 2, 3, 6)
WIDTH = 512


class PyramidPooling(nn.Module):
    """The mean over a grid of 1, 2, 3 and 6 cells a side, each beside the map itself."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        share = channels // len(BINS)
        self.features = nn.ModuleList(
            nn.Sequential(
                nn.AdaptiveAvgPool2d(bins),
                nn.Conv2d(channels, share, 1, bias=False),
                nn.BatchNorm2d(share),
                nn.ReLU(inplace=True),
            )
            for bins in BINS
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) → (N, 2C, h, w)."""
        pooled = [F.interpolate(pool(x), x.shape[-2:], mode="bilinear", align_corners=True) for pool in self.features]
        return torch.cat([x, *pooled], dim=1)


def bottleneck(channels: int) -> nn.Sequential:
    """From pyramid pooling's map (N, 2C, h, w), C the backbone's channels, to the semantic map (N, 512, h, w)."""
    return nn.Sequential(nn.Conv2d(2 * channels, WIDTH, 3, padding=1, bias=False), nn.BatchNorm2d(WIDTH))


def base_classifier(base_classes: int) -> nn.Sequential:
    """From the semantic map to logits (N, 1 + base_classes, h, w), the background's first."""
    # The semantic map is used elsewhere too, so the ReLU must not overwrite it.
    return nn.Sequential(nn.ReLU(), nn.Dropout2d(0.1), nn.Conv2d(WIDTH, 1 + base_classes, 1))


def published_name(name: str) -> str:
    """A PSPNet's name of a tensor → HDMNet's.

    Published files hold the backbone twice, as ``layer0`` … ``layer4`` and as ``encoder.0`` … ``encoder.4``,
    and the classifier's last layer as ``cls.4``.
    """
    if name.startswith("encoder."):
        return f"layer{name.removeprefix('encoder.')}"
    if name.startswith("cls.4."):
        return f"base_learnear.2.{name.removeprefix('cls.4.')}"
    return name


class BaseLearner(nn.ModuleDict):
    """The parts of HDMNet that a trained PSPNet fills, by their names."""

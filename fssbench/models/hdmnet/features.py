"""The frozen half of HDMNet: a backbone and a base learner, in one PSPNet (Zhao et al., CVPR 2017)."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fssbench.base.errors import UsageError
from fssbench.base.files import sha256_file
from fssbench.models.backbones import BackboneInfo
from fssbench.models.checkpoints import load_checkpoint
from fssbench.models.hdmnet.backbone import build_stages
from fssbench.models.hdmnet.base_learner import BaseLearner, PyramidPooling, base_classifier, bottleneck, published_name
from fssbench.models.interface import FeatureSegmenter

__all__ = ["BaseLearnerFeatures"]

FROZEN = ("layer0", "layer1", "layer2", "layer3", "layer4", "ppm", "cls", "base_learnear")


class BaseLearnerFeatures(FeatureSegmenter):
    """A segmenter on the maps of a frozen PSPNet, whose parts are its own: so the published names have it.

    Args:
        backbone: of `build_stages`.
        base_classes: how many the PSPNet tells apart, beside the background.
    """

    def __init__(self, backbone: str, base_classes: int) -> None:
        super().__init__()
        self.base_classes = base_classes
        built = build_stages(backbone)
        self.layer0, self.layer1, self.layer2, self.layer3, self.layer4 = built.stages
        *fused, deepest = built.channels
        self.fused_channels = sum(fused)
        self.ppm = PyramidPooling(deepest)
        self.cls = bottleneck(deepest)
        self.base_learnear = base_classifier(base_classes)
        for name in FROZEN:
            self.get_submodule(name).requires_grad_(False)

    def load_base_learner(self, backbone: str, weights: str) -> BackboneInfo:
        """Fill what is frozen, and say with what.

        Args:
            backbone: its name.
            weights: ``none`` to leave it as it is, or the path of a trained PSPNet.

        Raises:
            UsageError: ImageNet's weights are asked for, which it does not have.
            CheckpointError: the file is missing or does not fit.
        """
        if weights == "none":
            return BackboneInfo(name=backbone, weights="none", sha256=None)
        if weights == "imagenet":
            raise UsageError(
                f"{type(self).__name__} has its backbone from a PSPNet trained on base classes, not from ImageNet",
                remedy="pass --backbone-weights PATH of that PSPNet (fssbench train --model pspnet makes one), "
                "or run untrained with --backbone-weights none",
            )
        frozen = BaseLearner({name: self.get_submodule(name) for name in FROZEN})
        load_checkpoint(frozen, weights, rename=published_name)
        return BackboneInfo(name=backbone, weights="file", sha256=sha256_file(Path(weights)))

    def train(self, mode: bool = True) -> Self:
        """As `nn.Module.train`, but what is frozen and every batch norm stay in eval mode, as published.

        The dropout before the base learner's last layer is the exception: it is published active.
        """
        super().train(mode)
        for name in FROZEN:
            self.get_submodule(name).eval()
        self.base_learnear.train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def maps(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images (N, 3, H, W) → three maps of one size, 60×60 for an input of 473.

        That of layer 2; layers 3 and 2 together (N, `fused_channels`, h, w); and layer 4.
        """
        middle = self.layer2(self.layer1(self.layer0(images)))
        upper = self.layer3(middle)
        if middle.shape[-2:] != upper.shape[-2:]:  # VGG-16's
            middle = F.interpolate(middle, upper.shape[-2:], mode="bilinear", align_corners=True)
        return middle, torch.cat([upper, middle], dim=1), self.layer4(upper)

    def semantic(self, deep: Tensor, masks: Tensor | None = None) -> Tensor:
        """Layer 4's map (N, C, h, w) → the semantic map (N, 512, h, w), which the base learner classifies.

        Only what is in ``masks`` (N, H, W) is asked for, if they are given; the rest may be anything.
        """
        found: Tensor = self.cls(self.ppm(deep))
        return found

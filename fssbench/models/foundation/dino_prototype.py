"""Prototypes of DINO's features: training-free, and the baseline that foundation models are to beat."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from fssbench.models.interface import Size
from fssbench.models.prototype import Prototype

__all__ = ["DinoPrototype"]


class DinoPrototype(Prototype):
    """`Prototype` on the last tokens of a DINOv2 (Oquab et al., TMLR 2024) or DINOv3, with their preprocessing.

    Images are squashed to 518×518, at which DINOv2 learned last, by Pillow's bicubic filter. Tokens stand for the
    centres of their patches, so logits are resized with centres on centres.

    Args:
        backbone: any that `open_backbone` knows, such as ``hf:facebook/dinov2-base``, ``hf:FOLDER`` of one, or
            ``timm:vit_base_patch14_dinov2``.
        backbone_weights: ``pretrained``, ``none``, or a path; see there.
        size: side of the input; 518, or what is nearest to it and the backbone takes.
        maps: as of `Prototype`.
    """

    side = 518

    def __init__(
        self,
        *,
        backbone: str = "hf:facebook/dinov2-base",
        backbone_weights: str = "none",
        size: int | None = None,
        maps: list[str] | None = None,
    ) -> None:
        super().__init__(backbone=backbone, backbone_weights=backbone_weights, size=size, maps=maps)
        self.preprocess = replace(self.preprocess, filter="bicubic")

    def decide(self, logits: Tensor, size: Size) -> Tensor:
        """Logits (B, 1, 2, h, w) → the mask (B, H, W) uint8 at ``size``."""
        resized = F.interpolate(logits[:, 0], size, mode="bilinear", align_corners=False)
        return resized.argmax(dim=1).to(torch.uint8)

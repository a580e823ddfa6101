"""The prototype baseline: masked average pooling and cosine similarity, with nothing trained.

The rule is PANet's (Wang et al., ICCV 2019, equations 1 to 3) on a frozen backbone: a class
is the mean feature under its mask, the background the mean outside, and a query position takes the
nearer of the two.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from fssbench.models.backbones import open_backbone
from fssbench.models.dtypes import at_least_float32
from fssbench.models.interface import FeatureSegmenter, Preprocess

__all__ = ["Prototype"]


class Prototype(FeatureSegmenter):
    """Nearest prototype, foreground or background, by cosine similarity; K shots give their mean prototype.

    A support without foreground (or without background) at the input's size has no such prototype and
    adds none; a query that is shown none at all is as unlike it as can be, cosine −1.

    Args:
        backbone: any that `open_backbone` knows.
        backbone_weights: ``imagenet``, ``pretrained``, ``none`` or a path; see there.
        size: side of the input; 400, or what is nearest to it and the backbone takes.
        maps: names of the backbone's maps that are compared, side by side if there are several; by default the one
            that knows what things are and is fine enough to outline them.

    Attributes:
        side: of the input, where none is asked for.
    """

    reads_images = False
    side = 400

    def __init__(
        self,
        *,
        backbone: str = "resnet50",
        backbone_weights: str = "none",
        size: int | None = None,
        maps: list[str] | None = None,
    ) -> None:
        super().__init__()
        extractor = open_backbone(backbone, backbone_weights)
        self.backbone_info = extractor.info
        side = extractor.fitting(size, default=self.side)
        self.preprocess = Preprocess(size=side, mean=extractor.mean, std=extractor.std)
        self.features = extractor.maps(maps or ())

    def encode(self, images: Tensor) -> list[Tensor]:
        """Images (N, 3, H, W) → one map (N, C, h, w)."""
        return [side_by_side(list(self.features(images).values()))]

    def condition(self, features: list[Tensor], images: Tensor, masks: Tensor) -> list[Tensor]:
        """The prototypes of background and foreground: (N, 2, C), zero where there is none."""
        (maps,) = features  # (N, C, h, w)
        # Averaging keeps every mask pixel: an object smaller than a cell still has weight.
        whole = masks[:, None].to(at_least_float32(maps.dtype))
        share = F.adaptive_avg_pool2d(whole, (maps.shape[-2], maps.shape[-1]))  # (N, 1, h, w)
        weight = torch.cat([1 - share, share], dim=1)  # (N, 2, h, w)
        total = weight.sum(dim=(2, 3))[..., None]  # (N, 2, 1)
        summed = torch.einsum("nchw,nkhw->nkc", maps, weight)  # (N, 2, C)
        return [summed / total.clamp(min=torch.finfo(maps.dtype).tiny)]

    def match(self, query: list[Tensor], supports: list[Tensor]) -> Tensor:
        """Cosine similarity with the mean prototypes, as logits (B, 1, 2, h, w)."""
        (maps,), (prototypes,) = query, supports  # (B, C, h, w), (B, K, 2, C)
        shown = (prototypes != 0).any(dim=-1)  # (B, K, 2)
        mean = prototypes.sum(dim=1) / shown.sum(dim=1).clamp(min=1)[..., None]  # (B, 2, C)
        cosine = torch.einsum("bchw,bkc->bkhw", F.normalize(maps, dim=1), F.normalize(mean, dim=-1))
        unseen = ~shown.any(dim=1)[..., None, None]  # (B, 2, 1, 1)
        return cosine.masked_fill(unseen, -1.0)[:, None]


def side_by_side(maps: list[Tensor]) -> Tensor:
    """One map as it is; several at the finest one's size, each of unit length at every position, one upon another."""
    if len(maps) == 1:
        return maps[0]
    finest = max((one.shape[-2], one.shape[-1]) for one in maps)
    units = [F.normalize(one, dim=1) for one in maps]
    return torch.cat([F.interpolate(one, finest, mode="bilinear", align_corners=False) for one in units], dim=1)

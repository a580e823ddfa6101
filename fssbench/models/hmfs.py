"""HMFS, hybrid masking for few-shot segmentation (Moon et al., ECCV 2022).

HSNet with another encoding of the support: where feature masking leaves nothing, the features of the
masked image take its place. Section and algorithm are those of the paper; where the published code reads
them more widely, that is the default, so that published checkpoints give their published numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from fssbench.base.errors import UsageError
from fssbench.models.hsnet import SIDE, HSNet, mask_features

__all__ = ["HMFS", "hybrid"]

REPLACED = ("nonpositive", "zero")


def hybrid(features: Sequence[Tensor], inner: Sequence[Tensor], *, replaced: str = "nonpositive") -> list[Tensor]:
    """Maps (N, C, h, w) with their gaps filled from others of the same shapes (algorithm 1).

    Args:
        features: the feature-masked maps.
        inner: the maps of the masked image.
        replaced: ``nonpositive``, as published: negative values inside the object are replaced as well; or
            ``zero``, as the algorithm says: values that are exactly 0.
    """
    kept = [f > 0 if replaced == "nonpositive" else f != 0 for f in features]
    return [torch.where(keep, f, i) for keep, f, i in zip(kept, features, inner, strict=True)]


class HMFS(HSNet):
    """HSNet with hybrid masking; everything after the support's features, the vote included, is HSNet's.

    Args:
        backbone: ``resnet50``, ``resnet101`` or ``vgg16``; frozen. With any other it is a variant, as of `HSNet`.
        backbone_weights: ``imagenet``, ``pretrained``, ``none`` or a path; see `open_backbone`.
        size: side of the input, as of `HSNet`.
        masking: ``hm``, hybrid; ``im`` masks the image, after normalisation, so that what is left out is 0;
            ``fm`` masks the features; ``none`` masks nothing (table 5 of the paper compares the first three).
        replaced: which feature-masked values ``hm`` replaces, ``nonpositive`` or ``zero``; see `hybrid`.

    Raises:
        UsageError: no such backbone, masking or rule.
    """

    maskings: ClassVar[tuple[str, ...]] = ("hm", "im", "fm", "none")

    def __init__(
        self,
        *,
        backbone: str = "resnet50",
        backbone_weights: str = "none",
        size: int = SIDE,
        masking: str = "hm",
        replaced: str = "nonpositive",
    ) -> None:
        if replaced not in REPLACED:
            raise UsageError(f"HMFS cannot replace '{replaced}' values", remedy=f"known are {', '.join(REPLACED)}")
        super().__init__(backbone=backbone, backbone_weights=backbone_weights, size=size, masking=masking)
        self.replaced = replaced

    def condition(self, features: list[Tensor], images: Tensor, masks: Tensor) -> list[Tensor]:
        """The maps (N, C, h, w) of the supports, masked; ``hm`` and ``im`` take a second pass of the backbone."""
        if self.masking not in ("hm", "im"):
            return super().condition(features, images, masks)
        inner = self.encode(images * masks[:, None])
        return inner if self.masking == "im" else hybrid(mask_features(features, masks), inner, replaced=self.replaced)

    def support_maps(self, supports: Tensor, masks: Tensor) -> dict[str, Sequence[Tensor]]:
        """The last map of each level (B, K, C, h, w): of IM, FM and HM, whichever of them is compared (figure 6)."""
        images, shown = supports.flatten(0, 1), masks.flatten(0, 1)
        inner = self.encode(images * shown[:, None])
        masked = mask_features(self.encode(images), shown)
        maps = {"IM": inner, "FM": masked, "HM": hybrid(masked, inner, replaced=self.replaced)}
        return {name: self._last_of_levels(one, supports.shape[:2]) for name, one in maps.items()}

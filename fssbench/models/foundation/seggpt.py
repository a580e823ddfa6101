"""SegGPT (Wang et al., ICCV 2023): the query is painted as the supports are, white on black.

Its weights have seen COCO's and PASCAL VOC's images and masks: it is a generalist, not a few-shot model of novel
classes.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from fssbench.models.foundation.weights import opened
from fssbench.models.interface import EpisodeSegmenter, Preprocess, RawEpisode, Regime

__all__ = ["SegGPT"]

PUBLISHED = "BAAI/seggpt-vit-large"


class SegGPT(EpisodeSegmenter):
    """SegGPT as transformers has it (``SegGptForImageSegmentation``).

    Images are squashed to 448×448 by Pillow's bicubic filter, masks by its nearest rule. The painting is resized to
    the query by the nearest rule; a pixel is foreground where it is nearer to white than to black. Several supports
    are prompts of one feature ensemble (section 3.3).

    Args:
        weights: a name on the hub, a folder, or ``none``; see `fssbench.models.foundation`.
        embedding: the type token, ``instance`` as the published code has it unless told otherwise, or ``semantic``.
    """

    regime: Regime | None = "generalist"

    def __init__(self, *, weights: str = PUBLISHED, embedding: Literal["instance", "semantic"] = "instance") -> None:
        super().__init__()
        found = opened(
            "SegGptForImageSegmentation",
            weights,
            published=PUBLISHED,
            preprocess=Preprocess(size=448, filter="bicubic"),
        )
        self.network, self.backbone_info, self.preprocess = found.network, found.info, found.preprocess
        self.embedding = embedding

    @torch.no_grad()
    def segment(self, episode: RawEpisode) -> Tensor:
        """The mask (448, 448) of bool."""
        query, supports, _ = self.inputs(episode)
        shown = torch.cat([self._painted(one.mask).to(query.device) for one in episode.supports])
        painted: Tensor = self.network(
            pixel_values=query.expand(len(shown), -1, -1, -1),
            prompt_pixel_values=torch.cat(supports),
            prompt_masks=shown,
            feature_ensemble=len(shown) > 1,
            embedding_type=self.embedding,
        ).pred_masks
        return self._is_white(painted[:1, :, painted.shape[2] // 2 :])[0]  # below the supports' masks

    def _painted(self, mask: npt.NDArray[np.bool_]) -> Tensor:
        """A mask (H, W) in white on black, as an image of the model's input (1, 3, h, w)."""
        height, width = self.preprocess.geometry((mask.shape[0], mask.shape[1])).input
        white = np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))
        return self.preprocess.normalise(torch.from_numpy(white.copy()).expand(1, 3, -1, -1).float() * 255)

    def _is_white(self, painted: Tensor) -> Tensor:
        """Where a normalised painting (N, 3, h, w) is nearer to white than to black: (N, h, w) bool."""
        mean, std = (painted.new_tensor(one).view(3, 1, 1) for one in (self.preprocess.mean, self.preprocess.std))
        colours = ((painted * std + mean) * 255).clip(0, 255)
        return ((colours - 255) ** 2).sum(dim=1) < (colours**2).sum(dim=1)

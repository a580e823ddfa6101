"""CLIPSeg (Lüddecke and Ecker, CVPR 2022): a decoder on CLIP, told what to look for by an image or by words."""

from __future__ import annotations

import math
from typing import Any, Literal

import cv2
import torch
import torch.nn.functional as F
from torch import Tensor

from fssbench.base.errors import UsageError
from fssbench.models.backbones.files import quiet
from fssbench.models.foundation.weights import opened
from fssbench.models.interface import EpisodeSegmenter, Preprocess, RawEpisode, Regime

__all__ = ["CLIPSeg", "visual_prompt"]

PUBLISHED = "CIDAS/clipseg-rd64-refined"
THRESHOLD = 0.24
"""Of the published one-shot configuration, for a decoder of width 64 trained with both kinds of prompts."""
PHRASE = "a photo of a {}."

DARKENED, BLUR, KERNEL, CONTEXT = 0.1, 3.0, 15, 0.1
"""What is left of the background; sigma and side of its blur; how much wider than the object its crop is."""


class CLIPSeg(EpisodeSegmenter):
    """CLIPSeg as transformers has it (``CLIPSegForImageSegmentation``).

    Images are squashed to 352×352 by Pillow's bilinear filter. Of several supports, and of words beside them, the mean
    embedding is the condition: the paper interpolates between the two, and has one support.

    Args:
        weights: a name on the hub, a folder, or ``none``; see `fssbench.models.foundation`.
        prompt: what conditions it: the supports (``image``), the name of the class (``text``), which results then
            record, or ``both``.
        visual: how supports are shown: ``crop-blur-darken``, the paper's best (table 6); or ``whole``, without their
            masks.
        threshold: of the probability from which on a pixel is foreground.
    """

    regime: Regime | None = "generalist"

    def __init__(
        self,
        *,
        weights: str = PUBLISHED,
        prompt: Literal["image", "text", "both"] = "image",
        visual: Literal["crop-blur-darken", "whole"] = "crop-blur-darken",
        threshold: float = THRESHOLD,
    ) -> None:
        super().__init__()
        if not 0 < threshold < 1:
            raise UsageError(f"a threshold of probabilities lies between 0 and 1, got {threshold}")
        if prompt != "image" and weights == "none":
            raise UsageError(
                "CLIPSeg reads words by a tokenizer, which lies beside its weights",
                remedy="pass --weights NAME or FOLDER, or --option prompt=image",
            )
        found = opened("CLIPSegForImageSegmentation", weights, published=PUBLISHED, preprocess=Preprocess(size=352))
        self.network, self.backbone_info, self.preprocess = found.network, found.info, found.preprocess
        self.prompt, self.visual, self.threshold = prompt, visual, threshold
        self.uses_class_names = prompt != "image"
        if self.uses_class_names:
            self.tokenizer = _tokenizer(found.folder)

    @torch.no_grad()
    def segment(self, episode: RawEpisode) -> Tensor:
        """Logits of foreground (1, 352, 352), 0 at the threshold."""
        query, supports, masks = self.inputs(episode)
        conditions = []
        if self.prompt != "text":
            shown = supports
            if self.visual != "whole":
                shown = [visual_prompt(one[0], mask[0])[None] for one, mask in zip(supports, masks, strict=True)]
            conditions.append(self._seen(torch.cat(shown)).mean(dim=0))
        if self.prompt != "image":
            conditions.append(self._read(PHRASE.format(episode.class_name))[0])
        condition = torch.stack(conditions).mean(dim=0)[None]
        logits: Tensor = self.network(pixel_values=query, conditional_embeddings=condition).logits
        odds = math.log(self.threshold / (1 - self.threshold))
        return logits.reshape(1, *logits.shape[-2:]) - odds

    def _seen(self, images: Tensor) -> Tensor:
        """Embeddings (N, C) of images (N, 3, h, w)."""
        found: Tensor = self.network.get_conditional_embeddings(batch_size=len(images), conditional_pixel_values=images)
        return found

    def _read(self, phrase: str) -> Tensor:
        """The embedding (1, C) of a phrase."""
        words = self.tokenizer([phrase], padding=True, return_tensors="pt").to(self.network.device)
        found: Tensor = self.network.get_conditional_embeddings(batch_size=1, **words)
        return found


def visual_prompt(image: Tensor, mask: Tensor) -> Tensor:
    """A normalised support (3, S, S) and its mask (S, S) as the paper shows it, (3, S, S).

    The background is blurred and darkened, and the object cut out with some context, padded to a square and enlarged.
    A support without foreground stays whole.
    """
    pixels = image.permute(1, 2, 0).cpu().numpy()
    blurred = torch.from_numpy(cv2.GaussianBlur(pixels, (KERNEL, KERNEL), BLUR)).permute(2, 0, 1).to(image)
    dark = image * mask + DARKENED * blurred * (1 - mask)
    if not bool(mask.any()):
        return dark
    (top, bottom), (left, right) = (_span(mask.amax(dim=dim)) for dim in (1, 0))
    cut = dark[:, top:bottom, left:right]
    h, w = cut.shape[1:]
    side = max(h, w)
    above, before = (side - h) // 2, (side - w) // 2
    square = F.pad(cut, (before, side - w - before, above, side - h - above))
    return F.interpolate(square[None], image.shape[1:], mode="nearest")[0]


def _span(line: Tensor) -> tuple[int, int]:
    """From where to where a line (S,) is not 0, widened by the context on either side."""
    found = line.nonzero()
    start, stop = int(found.min()), int(found.max()) + 1
    context = CONTEXT * (stop - start)
    return max(0, int(start - context)), min(len(line), int(stop + context))


def _tokenizer(folder: Any) -> Any:
    import transformers

    with quiet(transformers):
        return transformers.AutoTokenizer.from_pretrained(str(folder))

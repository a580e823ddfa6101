"""Models as users write them, one of each kind and way to make inputs; all compare colours with those of supports."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fssbench.models.interface import EpisodeSegmenter, FeatureSegmenter, FewShotSegmenter, Preprocess, RawEpisode

SIDE = 64


def like(query: Tensor, supports: list[Tensor], masks: list[Tensor]) -> Tensor:
    """Logits (1, 1, H, W): how near the colours of a query (1, 3, H, W) are to those that supports show."""
    shown = [(image * mask).sum(dim=(2, 3)) / mask.sum() for image, mask in zip(supports, masks, strict=True)]
    return 0.7 - (query - torch.stack(shown).mean(dim=0)[..., None, None]).abs().mean(dim=1, keepdim=True)


class Native(EpisodeSegmenter):
    def segment(self, episode: RawEpisode) -> Any:
        return like(*self.inputs(episode))


class Kept(Native):
    preprocess = Preprocess(resize="keep", size=SIDE, pad_value="mean")


class Centred(Native):
    preprocess = Preprocess(resize="keep", size=(SIDE, 80), pad_where="centre", filter="bicubic")


class Whole(FewShotSegmenter):
    """Of tensors; its supports must have one size, so it is asked at a fixed one."""

    preprocess = Preprocess(resize="keep", size=SIDE)
    batched = True

    def predict(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        each = zip(query, supports, masks, strict=True)
        return torch.cat([like(q[None], list(s[:, None]), list(m[:, None])) for q, s, m in each])


class Features(FeatureSegmenter):
    preprocess = Preprocess(resize="none", pad_multiple=16, pad_where="centre")

    def encode(self, images: Tensor) -> list[Tensor]:
        return [F.avg_pool2d(images, 4)]

    def condition(self, features: list[Tensor], images: Tensor, masks: Tensor) -> list[Tensor]:
        shown = F.avg_pool2d(masks[:, None], 4)
        return [(features[0] * shown).sum(dim=(2, 3)) / shown.sum(dim=(2, 3))]

    def match(self, query: list[Tensor], supports: list[Tensor]) -> Tensor:
        far = (query[0] - supports[0].mean(dim=1)[..., None, None]).abs().mean(dim=1)
        return torch.stack([far, torch.full_like(far, 0.7)], dim=1)[:, None]


class Learner(FewShotSegmenter):
    """Fits two weights to its support before it answers."""

    preprocess = Preprocess(size=SIDE)
    needs_gradients = True

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def predict(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        optimizer = torch.optim.SGD([self.weights], lr=0.5)
        for _ in range(3):
            optimizer.zero_grad()
            logits = (supports[0] * self.weights).sum(dim=1)
            torch.autograd.backward(F.binary_cross_entropy_with_logits(logits, masks[0]))
            optimizer.step()
        return (query * self.weights).sum(dim=1, keepdim=True)

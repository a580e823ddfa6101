"""Episodes drawn on the spot, as a model gets them, for commands that look at models without any data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fssbench.episodes.benchmarks import TOY_CLASSES
from fssbench.models.interface import Preprocess
from fssbench.pipelines.sources.toy import draw_example

__all__ = ["ModelInputs", "drawn"]


@dataclass(frozen=True, eq=False)
class ModelInputs:
    """A batch of episodes: query (B, 3, s, s), supports (B, K, 3, s, s) and masks (B, K, s, s), as models get them."""

    query: Tensor
    supports: Tensor
    masks: Tensor

    def only(self, *rows: int) -> ModelInputs:
        """Some of the episodes."""
        return ModelInputs(*(tensor[list(rows)] for tensor in self.tensors))

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """The three in the order of `predict`'s arguments."""
        return self.query, self.supports, self.masks

    @property
    def shape(self) -> str:
        """B and K in words."""
        return f"B={self.supports.shape[0]}, K={self.supports.shape[1]}"


def drawn(preprocess: Preprocess, *, classes: Sequence[int], shot: int, device: str) -> ModelInputs:
    """One episode of each class of the toy, by its index, with ``shot`` supports."""
    episodes = [[draw_example(class_id + len(TOY_CLASSES) * n) for n in range(1 + shot)] for class_id in classes]
    images = torch.stack([torch.stack([preprocess.image(image) for image, _ in one]) for one in episodes])
    masks = torch.stack([torch.stack([preprocess.mask(mask) for _, mask in one]) for one in episodes])
    normal = preprocess.normalise(images.to(device))
    return ModelInputs(normal[:, 0], normal[:, 1:], masks[:, 1:].to(device).float())

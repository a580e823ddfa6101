"""Episodes drawn on the spot, as a model gets them, for commands that look at models without any data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fssbench.episodes.benchmarks import TOY_CLASSES
from fssbench.models.interface import (
    EpisodeSegmenter,
    FewShotSegmenter,
    Preprocess,
    QueryImage,
    RawEpisode,
    Size,
    SupportImage,
)
from fssbench.pipelines.episode_sets.stream import Frame
from fssbench.pipelines.sources.toy import draw_example

__all__ = ["ImageInputs", "Inputs", "ModelInputs", "drawn", "drawn_for", "drawn_frame"]

LANDSCAPE = (96, 128)
"""Size of images where a model takes them at their own: there could be no batch of the toy's, which differ."""


@dataclass(frozen=True, eq=False)
class ModelInputs:
    """A batch of episodes: query (B, 3, s, s), supports (B, K, 3, s, s) and masks (B, K, s, s), as models get them."""

    query: Tensor
    supports: Tensor
    masks: Tensor

    names = ("query", "supports", "masks")

    def only(self, *rows: int) -> ModelInputs:
        """Some of the episodes."""
        return ModelInputs(*(tensor[list(rows)] for tensor in self.tensors))

    def with_last_support_of(self, other: ModelInputs) -> ModelInputs:
        """The same with the last support of ``other``, shown where the last of these is not."""
        supports, masks = self.supports.clone(), self.masks.clone()
        supports[:, -1], masks[:, -1] = other.supports[:, -1], 1 - self.masks[:, -1]
        return ModelInputs(self.query, supports, masks)

    def ask(self, model: FewShotSegmenter) -> object:
        """What the model gives."""
        return model.predict(*self.tensors)

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """The three in the order of `predict`'s arguments."""
        return self.query, self.supports, self.masks

    @property
    def step(self) -> str:
        """What is called."""
        return "predict"

    @property
    def size(self) -> Size:
        """Of the answer."""
        return self.query.shape[-2], self.query.shape[-1]

    @property
    def shape(self) -> str:
        """B and K in words."""
        return f"B={self.supports.shape[0]}, K={self.supports.shape[1]}"


@dataclass(frozen=True, eq=False)
class ImageInputs:
    """One episode as it is, for a model that is shown images."""

    episode: RawEpisode

    @property
    def names(self) -> tuple[str, ...]:
        """What messages call `tensors`."""
        shots = range(1, 1 + len(self.episode.supports))
        return ("query.image", *(f"supports[{k - 1}].{part}" for k in shots for part in ("image", "mask")))

    def with_last_support_of(self, other: ImageInputs) -> ImageInputs:
        """The same with the last support of ``other``, shown where that one's object is not."""
        *kept, _ = self.episode.supports
        last = other.episode.supports[-1]
        return ImageInputs(replace(self.episode, supports=(*kept, replace(last, mask=~last.mask))))

    def ask(self, model: FewShotSegmenter) -> object:
        """What the model gives."""
        assert isinstance(model, EpisodeSegmenter)
        return model.segment(self.episode)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """What the model is shown, in the same memory."""
        shown = [array for one in self.episode.supports for array in (one.image, one.mask)]
        return tuple(torch.from_numpy(array) for array in (self.episode.query.image, *shown))

    @property
    def step(self) -> str:
        """What is called."""
        return "segment"

    @property
    def size(self) -> Size:
        """Of the answer."""
        return self.episode.query.size

    @property
    def shape(self) -> str:
        """K in words."""
        return f"K={len(self.episode.supports)}"


Inputs = ModelInputs | ImageInputs


def drawn(preprocess: Preprocess, *, classes: Sequence[int], shot: int, device: str) -> ModelInputs:
    """One episode of each class of the toy, by its index, with ``shot`` supports."""
    size = LANDSCAPE if preprocess.shape is None else None
    episodes = [[drawn_frame(class_id, n, size=size) for n in range(1 + shot)] for class_id in classes]
    images = torch.stack([torch.stack([preprocess.image(frame.image) for frame in one]) for one in episodes])
    masks = torch.stack([torch.stack([preprocess.mask(frame.mask) for frame in one]) for one in episodes])
    normal = preprocess.normalise(images.to(device))
    return ModelInputs(normal[:, 0], normal[:, 1:], masks[:, 1:].to(device).float())


def drawn_for(model: FewShotSegmenter, *, class_id: int, shot: int, device: str) -> Inputs:
    """One episode of a class of the toy in the form that the model takes."""
    if not isinstance(model, EpisodeSegmenter):
        return drawn(model.preprocess, classes=[class_id], shot=shot, device=device)
    query, *supports = [drawn_frame(class_id, n) for n in range(1 + shot)]
    return ImageInputs(
        RawEpisode(
            query=QueryImage(query.image_id, query.image),
            supports=tuple(SupportImage(one.image_id, one.image, one.mask) for one in supports),
            benchmark="toy-20i",
            told=(class_id, TOY_CLASSES[class_id]) if model.uses_class_names else None,
        )
    )


def drawn_frame(class_id: int, n: int, *, size: Size | None = None) -> Frame:
    """The n-th image of a class of the toy with the class's mask, at the size it has or at ``size``."""
    image, mask = draw_example(class_id + len(TOY_CLASSES) * n)
    if size is not None:
        image = np.array(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))
        mask = np.array(Image.fromarray(mask).resize(size[::-1], Image.Resampling.NEAREST))
    name = f"{class_id}/{n}"
    return Frame(key=name, image_id=name, class_id=class_id, image=image, mask=mask, ignore=None, n_classes=None)

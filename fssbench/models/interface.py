"""What a model of few-shot segmentation is to this benchmark.

`FewShotSegmenter` is the least: `predict` answers whole episodes. `FeatureSegmenter` splits the same
answer into steps, so that the features of an image are computed once for all episodes that use it.

Shapes throughout: B episodes, K supports each, images (3, H, W) normalised by the model's `Preprocess`,
masks in {0, 1}.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from fssbench.base.errors import ModelError
from fssbench.models.backbones import BackboneInfo
from fssbench.models.checks import check_answer, check_features, check_logits, not_finite

__all__ = [
    "FeatureSegmenter",
    "FewShotSegmenter",
    "Preprocess",
    "Regime",
    "Size",
    "check_inputs",
    "resize_mask",
    "vote",
]

Size = tuple[int, int]

Regime = Literal["base classes", "training-free", "generalist"]
"""What a model's weights have learned from: the fold's base classes alone; nothing of this task, such as a backbone
of ImageNet; or data that may well hold the tested classes or images."""


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """How an image becomes a model's input.

    Attributes:
        size: the side of the square every image is squashed to.
        mean: subtracted from each RGB channel after scaling to [0, 1].
        std: each channel is divided by it.
        antialias: whether resizing averages what it shrinks, as Pillow does, or takes the value between the four
            nearest pixels, as OpenCV does.
    """

    size: int = 400
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    antialias: bool = True

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ModelError(f"a model's input size must be at least 1, got {self.size}")

    def image(self, pixels: npt.NDArray[np.uint8]) -> Tensor:
        """RGB pixels (H, W, 3) uint8 → (3, size, size): uint8 by Pillow's filter, float32 in [0, 255] without."""
        return self._averaged(pixels) if self.antialias else self._between(pixels)

    def _averaged(self, pixels: npt.NDArray[np.uint8]) -> Tensor:
        """By Pillow's antialiased bilinear filter.

        Across first, then down: Pillow rounds between the two, and which it does first depends on its version.
        """
        across = Image.fromarray(pixels).resize((self.size, pixels.shape[0]), Image.Resampling.BILINEAR)
        squashed = across.resize((self.size, self.size), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(squashed)).permute(2, 0, 1)

    def _between(self, pixels: npt.NDArray[np.uint8]) -> Tensor:
        """Bilinear, pixels as points at their centres, as OpenCV does with float images: without rounding."""
        image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
        return F.interpolate(image, (self.size, self.size), mode="bilinear", align_corners=False)[0]

    def mask(self, mask: npt.NDArray[np.bool_]) -> Tensor:
        """A mask (H, W) bool → (size, size) bool, by torch's nearest rule."""
        return resize_mask(torch.from_numpy(mask), (self.size, self.size))

    def normalise(self, images: Tensor) -> Tensor:
        """Images (…, 3, H, W) in [0, 255] → float32, scaled to [0, 1] and normalised."""
        shape = (3, 1, 1)
        mean = torch.tensor(self.mean, device=images.device).view(shape)
        std = torch.tensor(self.std, device=images.device).view(shape)
        return (images.float() / 255).sub_(mean).div_(std)


def resize_mask(mask: Tensor, size: Size) -> Tensor:
    """A mask (…, H, W) of any dtype → (…, h, w), nearest, same dtype."""
    if tuple(mask.shape[-2:]) == tuple(size):
        return mask
    lead = mask.shape[:-2]
    flat = mask.reshape(-1, 1, *mask.shape[-2:])
    # Nearest picks values, so masks may travel as bytes: a quarter of float32.
    numbers = flat.view(torch.uint8) if mask.dtype in (torch.bool, torch.uint8) else flat.float()
    return F.interpolate(numbers, size, mode="nearest").to(mask.dtype).reshape(*lead, *size)


def vote(masks: Tensor) -> Tensor:
    """K binary masks (B, K, H, W) → one (B, H, W), uint8, by HSNet's rule (section 4.4).

    The votes are divided by the most any pixel of that episode got, at least 1; foreground where the
    quotient is at least one half. So the threshold follows the most-voted pixel, not K.
    """
    votes = masks.sum(dim=1)  # (B, H, W)
    most = votes.flatten(1).amax(dim=1).clamp(min=1)  # (B,)
    return (2 * votes >= most.view(-1, 1, 1)).to(torch.uint8)


def check_inputs(query: Tensor, supports: Tensor, masks: Tensor) -> None:
    """Raise `ModelError` unless the three tensors are episodes of one batch, shot and size."""
    fits = (
        query.ndim == 4
        and query.shape[1] == 3
        and supports.ndim == 5
        and masks.ndim == 4
        and supports.shape[0] == query.shape[0]
        and supports.shape[2:] == query.shape[1:]
        and masks.shape == (*supports.shape[:2], *supports.shape[3:])
    )
    if not fits:
        raise ModelError(
            "expected query (B, 3, H, W), supports (B, K, 3, H, W) and masks (B, K, H, W), got "
            f"{tuple(query.shape)}, {tuple(supports.shape)} and {tuple(masks.shape)}"
        )


class FewShotSegmenter(nn.Module, ABC):
    """A model that answers episodes. Derive from it and implement `predict`; nothing else is needed.

    Attributes:
        preprocess: how images become its input; print it to see the expected format.
        reads_pixels: whether `predict` looks at the images; if not, it is given zeros in their place.
        needs_training: whether it means anything before weights were loaded into it.
        backbone_info: which feature extractor it uses and where its weights came from, if it has one.
        regime: what its weights have learned from; models are ranked among those of their regime alone.
        recorded_as: what results call it, if not by the name it was asked for: a variant of a paper's model.
    """

    preprocess: Preprocess = Preprocess()
    reads_pixels: bool = True
    needs_training: bool = False
    backbone_info: BackboneInfo | None = None
    regime: Regime | None = None
    recorded_as: str | None = None

    def weights_files(self) -> Sequence[str | Path]:
        """The files or folders of weights that the model loaded by itself; results record their SHA-256.

        What it has from anywhere else, and does not name here, makes its results unofficial.
        """
        return ()

    @abstractmethod
    def predict(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        """Segment the query.

        Args:
            query: (B, 3, H, W) float, normalised.
            supports: (B, K, 3, H, W) float, normalised.
            masks: (B, K, H, W), the supports' masks in {0, 1}.

        Returns:
            (B, H, W) uint8 in {0, 1}.
        """

    def predict_sizes(self, query: Tensor, supports: Tensor, masks: Tensor, sizes: Sequence[Size]) -> list[Tensor]:
        """`predict` at each of ``sizes``: a list of (B, h, w) uint8. Here by resizing the mask, nearest."""
        mask = self.predict(query, supports, masks)
        check_answer(self, mask, (query.shape[0], *query.shape[-2:]))
        return [resize_mask(mask, size) for size in sizes]

    def correlation_maps(self, query: Tensor, supports: Tensor, masks: Tensor) -> dict[str, Tensor]:
        """How much each position of the query is like the supports' objects, for people to look at.

        Arguments as in `predict`. Maps (B, h, w) of any size and range by their name, coarse to fine; none here.
        """
        return {}

    def support_maps(self, supports: Tensor, masks: Tensor) -> dict[str, Sequence[Tensor]]:
        """The supports' features that the query is compared with, for people to look at.

        Arguments as in `predict`. By name some maps (B, K, C, h, w), fine to coarse; none here.
        """
        return {}

    def cost_parts(self) -> Mapping[str, Sequence[nn.Module]]:
        """What people call its parts, by name the modules in each: no module in two, nor within another.

        The one without modules, ``other`` if there is none, is all that is computed in no part. Here its children.
        """
        return {name: (child,) for name, child in self.named_children()}

    def forward(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        """Logits (B, 2, H, W), where a model has them."""
        raise ModelError(f"{type(self).__name__} gives masks, not logits", remedy="call predict instead")


class FeatureSegmenter(FewShotSegmenter):
    """A model that compares features of the query with features of its supports.

    Encoding an image and conditioning a support depend on that image alone, so both are computed once
    and kept; `match` is what remains for each episode.

    Attributes:
        reads_features: whether `condition` uses the features of the whole image; if not, they are not computed for it.
        reads_images: whether `condition` uses the image itself; if not, it is given zeros in its place.
        keeps_supports: whether what `condition` gives is worth its memory; if not, it is computed for each episode.
        casts_whole: whether it can be cast to 16 bits as a whole; if not, torch casts its operations one by one.
    """

    reads_features: bool = True
    reads_images: bool = True
    keeps_supports: bool = True
    casts_whole: bool = False

    @abstractmethod
    def encode(self, images: Tensor) -> list[Tensor]:
        """Images (N, 3, H, W) → feature maps, each (N, C, h, w)."""

    @abstractmethod
    def condition(self, features: list[Tensor], images: Tensor, masks: Tensor) -> list[Tensor]:
        """Support features from a support's own ``features``, ``images`` (N, 3, H, W) and masks (N, H, W).

        Returns tensors whose first dimension is N.
        """

    @abstractmethod
    def match(self, query: list[Tensor], supports: list[Tensor]) -> Tensor:
        """Compare query features, each (B, …), with support features, each (B, K, …).

        Returns logits (B, V, 2, h, w): V = 1 where the shots are merged, V = K where each shot votes.
        """

    def match_episodes(self, queries: Sequence[list[Tensor]], supports: Sequence[Sequence[list[Tensor]]]) -> Tensor:
        """`match` of features that are not side by side in memory yet.

        Args:
            queries: of each episode what `encode` gave, (1, …).
            supports: of each episode, for each of its shots, what `condition` gave, (1, …).
        """
        if len(queries) == len(supports[0]) == 1:  # nothing to be put side by side
            return self.match(queries[0], [part[:, None] for part in supports[0][0]])
        asked = [torch.cat(layer) for layer in zip(*queries, strict=True)]
        by_episode = [[torch.stack(layer, dim=1) for layer in zip(*shots, strict=True)] for shots in supports]
        return self.match(asked, [torch.cat(layer) for layer in zip(*by_episode, strict=True)])

    def accelerated(self) -> FeatureSegmenter:
        """A model for inference alone that gives the same answers in less time; here the model itself.

        It has these weights, not those that are loaded or learned afterwards, and is on the same device. Its logits
        differ by no more than the rounding of float32, but its features may be of another form.
        """
        return self

    def decide(self, logits: Tensor, size: Size) -> Tensor:
        """Logits (B, V, 2, h, w) → the mask (B, H, W) uint8 at ``size``; several voters by `vote`."""
        b, v = logits.shape[:2]
        resized = F.interpolate(logits.flatten(0, 1), size, mode="bilinear", align_corners=True)
        masks = resized.argmax(dim=1).view(b, v, *size)  # (B, V, H, W)
        return masks[:, 0].to(torch.uint8) if v == 1 else vote(masks)

    def _logits(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        check_inputs(query, supports, masks)
        b, k = supports.shape[:2]
        images, shown = supports.flatten(0, 1), masks.flatten(0, 1)
        features = self.encode(images)
        check_features(self, "encode", features, len(images))
        conditioned = self.condition(features, images, shown)
        check_features(self, "condition", conditioned, len(images))
        return self.match(self.encode(query), [f.view(b, k, *f.shape[1:]) for f in conditioned])

    @torch.inference_mode()
    def predict_sizes(self, query: Tensor, supports: Tensor, masks: Tensor, sizes: Sequence[Size]) -> list[Tensor]:
        """The masks (B, h, w) uint8 at each of ``sizes``, each from the logits resized to it."""
        logits = self._logits(query, supports, masks)
        check_logits(self, logits, query.shape[0])
        if not bool(logits.isfinite().all()):
            raise not_finite(self)
        return [self.decide(logits, size) for size in sizes]

    def predict(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        """The mask (B, H, W) uint8 at the input's own size; see `FewShotSegmenter.predict`."""
        return self.predict_sizes(query, supports, masks, [(query.shape[-2], query.shape[-1])])[0]

    def forward(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        """Logits (B, 2, H, W) at the input's size; for models whose shots vote, of one shot only."""
        logits = self._logits(query, supports, masks)
        if logits.shape[1] != 1:
            raise ModelError(
                f"{type(self).__name__} lets {logits.shape[1]} shots vote on masks and has no joint logits",
                remedy="pass one support, or call predict",
            )
        return F.interpolate(logits[:, 0], query.shape[-2:], mode="bilinear", align_corners=True)

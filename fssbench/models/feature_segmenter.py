"""A model that compares features, in steps of which each is computed once for all episodes that use it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor

from fssbench.base.errors import ModelError
from fssbench.models.answers import content_of
from fssbench.models.checks import check_features, check_inputs, check_logits, not_finite
from fssbench.models.geometry import Geometry, Size
from fssbench.models.segmenter import FewShotSegmenter, Framed

__all__ = ["FeatureSegmenter", "vote"]


def vote(masks: Tensor) -> Tensor:
    """K binary masks (B, K, H, W) → one (B, H, W), uint8, by HSNet's rule (section 4.4).

    The votes are divided by the most any pixel of that episode got, at least 1; foreground where the
    quotient is at least one half. So the threshold follows the most-voted pixel, not K.
    """
    votes = masks.sum(dim=1)  # (B, H, W)
    most = votes.flatten(1).amax(dim=1).clamp(min=1)  # (B,)
    return (2 * votes >= most.view(-1, 1, 1)).to(torch.uint8)


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

    def condition_held(self, features: list[Tensor], images: Tensor, masks: Tensor, held: Tensor) -> list[Tensor]:
        """`condition` where the host holds the masks too: as ``held``, (N, H, W) bool on the CPU.

        What is computed may depend on where objects lie. The host then knows it without waiting for the device. Some of
        the tensors returned may stay on the CPU.
        """
        return self.condition(features, images, masks)

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
        by_episode = [[self._beside(layer) for layer in zip(*shots, strict=True)] for shots in supports]
        return self.match(asked, [torch.cat(layer) for layer in zip(*by_episode, strict=True)])

    def _beside(self, shots: Sequence[Tensor]) -> Tensor:
        """What K supports show, each (1, …), as one tensor (1, K, …)."""
        if len(shapes := {tuple(one.shape[1:]) for one in shots}) > 1:
            raise ModelError(
                f"what {type(self).__name__}.condition gave of supports of several sizes cannot be put side by side: "
                f"it is {' and '.join(map(str, sorted(shapes)))}",
                remedy="let condition give vectors, override match_episodes, or give Preprocess one size",
            )
        return torch.stack(list(shots), dim=1)

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
        check_inputs(query, supports, masks, alike=self.preprocess.shape is not None)
        b, k = supports.shape[:2]
        images, shown = supports.flatten(0, 1), masks.flatten(0, 1)
        features = self.encode(images)
        check_features(self, "encode", features, len(images))
        conditioned = self.condition(features, images, shown)
        check_features(self, "condition", conditioned, len(images))
        return self.match(self.encode(query), [f.view(b, k, *f.shape[1:]) for f in conditioned])

    def predict_sizes(self, query: Tensor, supports: Tensor, masks: Tensor, sizes: Sequence[Size]) -> list[Tensor]:
        """The masks (B, h, w) uint8 at each of ``sizes``, each from the logits resized to it."""
        with nullcontext() if self.needs_gradients else torch.inference_mode():
            logits = self._logits(query, supports, masks).detach()
            check_logits(self, logits, query.shape[0])
            if not bool(logits.isfinite().all()):
                raise not_finite(self)
            return [self.decide(logits, size) for size in sizes]

    def predict_framed(
        self, query: Tensor, supports: Sequence[Tensor], masks: Sequence[Tensor], framed: Sequence[Framed]
    ) -> list[list[Tensor]]:
        """For each episode its masks (h, w) uint8; see `FewShotSegmenter.predict_framed`."""
        shots = [self.condition(self.encode(one), one, shown) for one, shown in zip(supports, masks, strict=True)]
        logits = self.match_episodes([self.encode(query)], [shots]).detach()
        check_logits(self, logits, len(query))
        if not bool(logits.isfinite().all()):
            raise not_finite(self)
        return [[mask[0] for mask in self.decide_framed(logits[n : n + 1], *one)] for n, one in enumerate(framed)]

    def decide_framed(self, logits: Tensor, geometry: Geometry, sizes: Sequence[Size]) -> list[Tensor]:
        """`decide` of one episode's logits (1, V, 2, h, w), what is padding cut off: (1, H, W) uint8 at each size."""
        if geometry.padded:
            logits = content_of(logits[0], geometry, corners=True)[None]
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

"""The least that a model of few-shot segmentation is: what answers whole episodes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from fssbench.base.errors import ModelError
from fssbench.models.answers import as_answer, masks_at
from fssbench.models.backbones import BackboneInfo
from fssbench.models.checks import check_answer, is_logits
from fssbench.models.geometry import Geometry, Size
from fssbench.models.preprocess import Preprocess, resize_mask

__all__ = ["FewShotSegmenter", "Framed", "Regime"]

Regime = Literal["base classes", "training-free", "generalist"]
"""What a model's weights have learned from: the fold's base classes alone; nothing of this task, such as a backbone
of ImageNet; or data that may well hold the tested classes or images."""

Framed = tuple[Geometry, Sequence[Size]]
"""Where an image lies in the input, and the sizes at which its mask is wanted."""


class FewShotSegmenter(nn.Module, ABC):
    """A model that answers episodes. Derive from it and implement `predict`; nothing else is needed.

    Attributes:
        preprocess: how images become its input; print it to see the expected format.
        reads_pixels: whether `predict` looks at the images; if not, it is given zeros in their place, and masks of
            bools.
        batched: whether `predict` can be asked several episodes at a time, each as if it were alone.
        needs_gradients: whether it computes gradients while it answers. It is then asked one episode at a time with
            gradients enabled, and has the weights again afterwards that it had before.
        uses_class_names: whether it asks what the class is called; results record it.
        needs_training: whether it means anything before weights were loaded into it.
        backbone_info: which feature extractor it uses and where its weights came from, if it has one.
        regime: what its weights have learned from; models are ranked among those of their regime alone.
        recorded_as: what results call it, if not by the name it was asked for: a variant of a paper's model.
    """

    preprocess: Preprocess = Preprocess()
    reads_pixels: bool = True
    batched: bool = False
    needs_gradients: bool = False
    uses_class_names: bool = False
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

        Where `preprocess` lets inputs differ in size, the query's may be another one than the supports'.

        Args:
            query: (B, 3, H, W) float, normalised.
            supports: (B, K, 3, H, W) float, normalised.
            masks: (B, K, H, W), the supports' masks in {0, 1}.

        Returns:
            The mask (B, H, W) uint8 in {0, 1}; or float logits of any size: (B, 2, h, w) of background and
            foreground, or (B, 1, h, w) of foreground, of which 0 is the threshold. They are resized bilinearly.
        """

    def predict_sizes(self, query: Tensor, supports: Tensor, masks: Tensor, sizes: Sequence[Size]) -> list[Tensor]:
        """`predict` at each of ``sizes``, where nothing is padded: a list of (B, h, w) uint8.

        Here masks are resized by the nearest rule, logits bilinearly.
        """
        given = self._given(query, supports, masks)
        if given.ndim == 3:
            return [resize_mask(given, size) for size in sizes]
        each = [masks_at(as_answer(one, of=type(self).__name__), sizes) for one in given]
        return [torch.stack(at) for at in zip(*each, strict=True)]

    def predict_framed(
        self, query: Tensor, supports: Sequence[Tensor], masks: Sequence[Tensor], framed: Sequence[Framed]
    ) -> list[list[Tensor]]:
        """For each of B episodes its masks (h, w) uint8 at sizes of its own, what is padding cut off.

        Args:
            query: (B, 3, H, W).
            supports: K tensors (B, 3, h, w), which may differ in size.
            masks: K tensors (B, h, w).
            framed: of each episode where its query lies in the input, and the sizes.
        """
        given = self._given(query, self.together(supports), self.together(masks))
        return [
            masks_at(as_answer(one, of=type(self).__name__), sizes, geometry=geometry)
            for one, (geometry, sizes) in zip(given, framed, strict=True)
        ]

    def _given(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        """What `predict` gives, checked: a mask of the input's size, or logits."""
        given = self.predict(query, supports, masks)
        if not is_logits(given, len(query)):
            check_answer(self, given, (len(query), *query.shape[-2:]))
        return given

    def together(self, shots: Sequence[Tensor]) -> Tensor:
        """What K supports are, each (B, …, h, w), as one (B, K, …, h, w); `ModelError` if they differ in size."""
        if len(sizes := {tuple(one.shape[-2:]) for one in shots}) > 1:
            raise ModelError(
                f"the supports of an episode differ in size ({' and '.join(f'{h}×{w}' for h, w in sorted(sizes))}), "
                f"and {type(self).__name__}.predict takes them as one tensor",
                remedy="derive from EpisodeSegmenter, whose inputs come one by one, or give Preprocess one size",
            )
        return torch.stack(list(shots), dim=1)

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

"""HSNet for inference: see `fssbench.models.fast.center_pivot` for what makes the matching fast."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor

from fssbench.models.dtypes import at_least_float32
from fssbench.models.fast.center_pivot import SupportLevel
from fssbench.models.fast.folding import folded
from fssbench.models.fast.held import windows_of
from fssbench.models.fast.squeeze import FastSqueeze
from fssbench.models.fast.windows import Span, Window
from fssbench.models.hsnet import EPSILON, HSNet
from fssbench.models.interface import FeatureSegmenter, Size, vote

__all__ = ["FastHSNet", "last"]


class FastHSNet(FeatureSegmenter):
    """HSNet whose features are kept as they are compared: unit vectors, a row for each position.

    A support under feature masking is its image's features again, each position with a weight that follows from
    the mask: so it costs no memory of its own.

    Args:
        original: whose kernel is center-pivot; it is not changed.
    """

    keeps_supports = False
    reads_images = False
    casts_whole = True

    def __init__(self, original: HSNet) -> None:
        super().__init__()
        self.preprocess, self.backbone_info = original.preprocess, original.backbone_info
        self.masking, self.levels = original.masking, original.levels
        self.backbone = folded(original.backbone)
        self.take_maps = original.take_maps
        self.hpn_learner = FastSqueeze(folded(original.hpn_learner))

    def encode(self, images: Tensor) -> list[Tensor]:
        """Images (N, 3, H, W) → of each map the unit rows (N, h·w, C), then of each level the lengths (N, L, h, w)."""
        return self._unit(self._maps(images))

    def condition(self, features: list[Tensor], images: Tensor, masks: Tensor) -> list[Tensor]:
        """`condition_held`, of masks that the host has to wait for."""
        return self.condition_held(features, images, masks, masks.bool().cpu())

    def condition_held(self, features: list[Tensor], images: Tensor, masks: Tensor, held: Tensor) -> list[Tensor]:
        """The rows as they are; of each level the weights (N, L, h·w); on the CPU their windows (N, levels, 4)."""
        rows, lengths = features[: sum(self.levels)], features[sum(self.levels) :]
        if self.masking == "none":
            return rows
        weights = []
        for length in lengths:
            share = self._share(masks, length)
            # (m·f) / (|m·f| + ε), from f / (|f| + ε)
            weights.append((share * (length + EPSILON) / (share * length + EPSILON)).flatten(2))
        return [*rows, *weights, windows_of(held, [(length.shape[-2], length.shape[-1]) for length in lengths])]

    def match(self, query: list[Tensor], supports: list[Tensor]) -> Tensor:
        """Logits (B, K, 2, h, w), at a quarter of the input's size, of each support alone."""
        b, k = supports[0].shape[:2]
        shown = [[[part[i, j : j + 1] for part in supports] for j in range(k)] for i in range(b)]
        return self.match_episodes([[part[i : i + 1] for part in query] for i in range(b)], shown)

    def match_episodes(self, queries: Sequence[list[Tensor]], supports: Sequence[Sequence[list[Tensor]]]) -> Tensor:
        """`match`, of features that lie where they are; see `FeatureSegmenter.match_episodes`."""
        n = sum(self.levels)
        sizes = [(length.shape[-2], length.shape[-1]) for length in queries[0][n:]]
        asked = [[rows[0] for rows in query[:n]] for query, shots in zip(queries, supports, strict=True) for _ in shots]
        each = [support for shots in supports for support in shots]
        shown = [self._shown(support, sizes) for support in each]
        logits: Tensor = self.hpn_learner(asked, shown, sizes)
        return logits.view(len(queries), -1, *logits.shape[1:]).to(at_least_float32(logits.dtype))

    def decide(self, logits: Tensor, size: Size) -> Tensor:
        """The mask (B, H, W) uint8: foreground where its logit, interpolated, is the greater one; see `vote`."""
        over = logits[:, :, 1] - logits[:, :, 0]  # (B, V, h, w)
        masks = (F.interpolate(over, size, mode="bilinear", align_corners=True) > 0).to(torch.uint8)
        return masks[:, 0] if masks.shape[1] == 1 else vote(masks)

    def _maps(self, images: Tensor) -> list[Tensor]:
        """The backbone's maps (N, h, w, C), channels last in memory."""
        images = images.to(self._dtype).contiguous(memory_format=torch.channels_last)
        return last(self.take_maps(self.backbone, images))

    def _unit(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps (N, h, w, C), which are overwritten → what `encode` gives."""
        wide = at_least_float32(self._dtype)
        lengths = [torch.linalg.vector_norm(one, dim=-1, dtype=wide) for one in maps]  # (N, h, w)
        rows = [
            one.mul_((1 / (length + EPSILON)).to(one.dtype)[..., None]).flatten(1, 2)
            for one, length in zip(maps, lengths, strict=True)
        ]
        remaining = iter(lengths)
        return [*rows, *(torch.stack(list(islice(remaining, count)), dim=1) for count in self.levels)]

    def _share(self, masks: Tensor, lengths: Tensor) -> Tensor:
        """How much of each position of a level (N, L, h, w) is in the mask: (N, 1, h, w)."""
        size = (lengths.shape[-2], lengths.shape[-1])
        return F.interpolate(masks[:, None].to(lengths.dtype), size, mode="bilinear", align_corners=True)

    def _shown(self, parts: Sequence[Tensor], sizes: Sequence[Size]) -> list[SupportLevel]:
        """One support's levels."""
        masked = len(parts) > sum(self.levels)
        windows = parts[-1][0].tolist() if masked else [(0, h, 0, w) for h, w in sizes]
        remaining = iter([part[0] for part in parts])
        rows = [list(islice(remaining, count)) for count in self.levels]
        weights: list[Tensor | None] = [*islice(remaining, len(sizes))] or [None] * len(sizes)
        boxes = [Window(Span(r, end), Span(c, stop)) for r, end, c, stop in windows]
        return [SupportLevel(*level) for level in zip(rows, weights, sizes, boxes, strict=True)]

    @property
    def _dtype(self) -> torch.dtype:
        return self.hpn_learner.decoder1[0].weight.dtype  # type: ignore[return-value]


def last(maps: Sequence[Tensor]) -> list[Tensor]:
    """Maps (N, C, h, w) with their channels last, (N, h, w, C)."""
    return [one.permute(0, 2, 3, 1).contiguous() for one in maps]

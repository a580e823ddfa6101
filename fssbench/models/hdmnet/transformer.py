"""The hierarchically decoupled transformer (HDMNet, section 3.2): parse first, match afterwards, decode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from fssbench.models.hdmnet.blocks import CHANNELS, PatchEmbedding, SelfLayer, layer_norm, to_map
from fssbench.models.hdmnet.matching import ConvBlock, MatchLayer
from fssbench.models.interface import resize_mask

__all__ = ["STAGES", "MixTransformer", "Transformer"]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Heads of its attention, the reduction of keys and values, and how its input is embedded."""

    heads: int
    ratio: int
    kernel: int
    stride: int


STAGES = (
    Stage(heads=2, ratio=4, kernel=1, stride=1),
    Stage(heads=4, ratio=2, kernel=3, stride=2),
    Stage(heads=8, ratio=1, kernel=3, stride=2),
    Stage(heads=8, ratio=1, kernel=3, stride=2),  # of table 7 alone; the paper does not describe it
)
LAYERS = 2


class ParseStage(nn.ModuleList):
    """One stage of the pyramid: an embedding, two transformer layers, layer norm."""

    def __init__(self, stage: Stage) -> None:
        layers = (SelfLayer(stage.heads, ratio=stage.ratio) for _ in range(LAYERS))
        super().__init__([PatchEmbedding(kernel=stage.kernel, stride=stage.stride), *layers, layer_norm()])

    def forward(self, x: Tensor) -> Tensor:
        """(B, 64, h, w) → (B, 64, ⌈h/stride⌉, ⌈w/stride⌉)."""
        embed, *layers, norm = self
        tokens, size = embed(x)
        for layer in layers:
            tokens = layer(tokens, size)
        return to_map(norm(tokens), size)


class MatchStage(nn.ModuleList):
    """One stage's matching: correlation, then the prior maps beside it."""

    def __init__(self, matching: str) -> None:
        super().__init__([MatchLayer(matching), ConvBlock()])

    def forward(self, query: Tensor, supports: Tensor, masks: Tensor, prior: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, 64, h, w), supports (B, K, 64, h, w) → the matched map and the correlation map (B, h, w)."""
        match, merge = self
        shown = supports.flatten(3).transpose(2, 3).flatten(1, 2)  # (B, K·h·w, 64)
        inside = resize_mask(masks, (supports.shape[-2], supports.shape[-1])).flatten(1)  # (B, K·h·w)
        matched, correlation = match(query, shown, inside)
        return merge(matched, prior), correlation


class MixTransformer(nn.Module):
    """A feature pyramid of query and support, matched and decoded from coarse to fine.

    Args:
        stages: how many, 1 to 4 (table 7).
        matching: see `MatchLayer`.
    """

    def __init__(self, *, stages: int, matching: str) -> None:
        super().__init__()
        self.down_sample_layers = nn.ModuleList(ParseStage(stage) for stage in STAGES[:stages])
        self.match_layers = nn.ModuleList(MatchStage(matching) for _ in range(stages))
        self.parse_layers = nn.ModuleList(
            nn.Sequential(*_head(CHANNELS), nn.BatchNorm2d(CHANNELS), nn.ReLU(inplace=True)) for _ in range(stages)
        )
        self.cls = _head(2)

    def pyramid(self, x: Tensor) -> list[Tensor]:
        """A map (B, 64, h, w) → one for each stage, fine to coarse, each (B, 64, h', w')."""
        maps = [x]
        for stage in self.down_sample_layers:
            maps.append(stage(maps[-1]))
        return maps[1:]

    def forward(
        self, query: Sequence[Tensor], supports: Sequence[Tensor], masks: Tensor, prior: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Match and decode.

        Args:
            query: a pyramid, fine to coarse, each (B, 64, h, w).
            supports: likewise, each (B, K, 64, h, w); the shots stand side by side (section 3.5).
            masks: (B, K, H, W) in {0, 1}.
            prior: (B, 2, h, w).

        Returns:
            Logits (B, 2, h, w) at the finest stage, and the correlation maps (B, h, w), coarse to fine.
        """
        decoded: Tensor | None = None
        correlations = []
        stages = zip(self.match_layers, self.parse_layers, query, supports, strict=True)
        for match, parse, asked, shown in reversed(list(stages)):
            matched, correlation = match(asked, shown, masks, prior)
            correlations.append(correlation)
            if decoded is None:
                decoded = parse(matched)
            else:  # equation 1
                coarser = F.interpolate(decoded, matched.shape[-2:], mode="bilinear", align_corners=False)
                decoded = coarser + parse(matched + coarser)
        logits: Tensor = self.cls(decoded)
        return logits, correlations


class Transformer(nn.Module):
    """What stands around `MixTransformer` in the published names."""

    def __init__(self, *, stages: int, matching: str) -> None:
        super().__init__()
        self.mix_transformer = MixTransformer(stages=stages, matching=matching)


def _head(c_out: int) -> nn.Sequential:
    """Three convolutions from 64 by way of 256 to ``c_out`` channels; batch norm alone stands between them."""
    hidden = 4 * CHANNELS
    return nn.Sequential(
        nn.Conv2d(CHANNELS, hidden, 1),
        nn.BatchNorm2d(hidden),
        nn.Conv2d(hidden, hidden, 3, padding=1),
        nn.BatchNorm2d(hidden),
        nn.Conv2d(hidden, c_out, 1),
    )

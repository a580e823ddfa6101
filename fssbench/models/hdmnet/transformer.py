"""The hierarchically decoupled transformer (HDMNet, section 3.2): parse first, match afterwards, decode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from fssbench.models.hdmnet.blocks import CHANNELS, PatchEmbedding, SelfLayer, layer_norm, to_map, to_tokens
from fssbench.models.hdmnet.matching import ConvBlock, MatchLayer
from fssbench.models.interface import resize_mask

__all__ = ["STAGES", "STRUCTURES", "MixTransformer", "Transformer"]


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
STRUCTURES = ("decoupled", "interleaved")


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
        matched, correlation = match(query, *side_by_side(supports, masks))
        return merge(matched, prior), correlation


def side_by_side(supports: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """All shots as one (section 3.5): (B, K, 64, h, w) and masks (B, K, H, W) → (B, K·h·w, 64) and (B, K·h·w)."""
    inside = resize_mask(masks, (supports.shape[-2], supports.shape[-1])).flatten(1)
    return supports.flatten(3).transpose(2, 3).flatten(1, 2), inside


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
            supports: likewise, each (B, K, 64, h, w).
            masks: (B, K, H, W) in {0, 1}.
            prior: (B, 2, h, w).

        Returns:
            Logits (B, 2, h, w) at the finest stage, and the correlation maps (B, h, w), coarse to fine.
        """
        stages = zip(self.match_layers, query, supports, strict=True)
        found = [match(asked, shown, masks, prior) for match, asked, shown in stages]
        return self.decode([matched for matched, _ in found]), [correlation for _, correlation in reversed(found)]

    def decode(self, matched: Sequence[Tensor]) -> Tensor:
        """What matching found, fine to coarse, each (B, 64, h, w) → logits (B, 2, h, w) of the finest (equation 1)."""
        *finer, (parse, coarsest) = zip(self.parse_layers, matched, strict=True)
        decoded = parse(coarsest)
        for parse, x in reversed(finer):
            coarser = F.interpolate(decoded, x.shape[-2:], mode="bilinear", align_corners=False)
            decoded = coarser + parse(x + coarser)
        logits: Tensor = self.cls(decoded)
        return logits


class InterleavedTransformer(MixTransformer):
    """The baseline that HDMNet decouples (figure 4; table 4, rows 1 and 2), with the same layers in another order.

    Query and support exchange messages after every stage, so the next one parses what is mixed already.
    """

    def pyramid(self, x: Tensor) -> list[Tensor]:
        """The map as it is: a pyramid depends on both images here."""
        return [x]

    def forward(
        self, query: Sequence[Tensor], supports: Sequence[Tensor], masks: Tensor, prior: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """As `MixTransformer.forward`, of what this `pyramid` gave."""
        (asked,), (shown,) = query, supports
        matched: list[Tensor] = []
        correlations: list[Tensor] = []
        for parse, stage in zip(self.down_sample_layers, self.match_layers, strict=True):
            match, merge = stage.children()
            b, k = shown.shape[:2]
            asked, shown = parse(asked), parse(shown.flatten(0, 1))  # (B, 64, h, w), (B·K, 64, h, w)
            enriched, correlation = match(asked, *side_by_side(shown.unflatten(0, (b, k)), masks))
            tokens = to_tokens(asked).repeat_interleave(k, dim=0)  # (B·K, h·w, 64)
            shown = match(shown, tokens, None)[0].unflatten(0, (b, k))
            asked = enriched
            matched.append(merge(enriched, prior))
            correlations.insert(0, correlation)
        return self.decode(matched), correlations


class Transformer(nn.Module):
    """What stands around `MixTransformer` in the published names."""

    def __init__(self, *, structure: str, stages: int, matching: str) -> None:
        super().__init__()
        mixer = MixTransformer if structure == "decoupled" else InterleavedTransformer
        self.mix_transformer = mixer(stages=stages, matching=matching)


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

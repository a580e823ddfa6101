"""Matching query with support positions by correlation (HDMNet, section 3.3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fssbench.models.hdmnet.blocks import CHANNELS, Attention, MixFFN, layer_norm, to_map, to_tokens

__all__ = ["MATCHINGS", "ConvBlock", "MatchLayer"]

MATCHINGS = ("cosine+inverse-softmax", "cosine+softmax", "cosine", "cross-attention")
HEADS = 2
TEMPERATURE = 0.1  # t of equation 4


class MatchLayer(nn.Module):
    """One stage's matching: what the support shows is brought to the query positions that are like it.

    Args:
        matching: one of `MATCHINGS` (table 5). How a query position weighs the support positions in the mask:
            by cosine / 0.1 with a softmax over the query positions (equation 5) or over the support positions,
            by the bare cosine, averaged over the mask, or by the dot product with a softmax over the support.
    """

    def __init__(self, matching: str) -> None:
        super().__init__()
        self.matching = matching
        self.norm1 = layer_norm()
        self.attn = Attention(HEADS)
        self.norm2 = layer_norm()
        self.ffn = MixFFN()

    def forward(self, query: Tensor, support: Tensor, inside: Tensor | None) -> tuple[Tensor, Tensor]:
        """Match one stage.

        Args:
            query: map (B, C, h, w).
            support: tokens (B, Ns, C), those of all shots.
            inside: (B, Ns) in {0, 1}, which of them are in the mask; ``None`` for all.

        Returns:
            The enriched query (B, C, h, w), and its correlation map (B, h, w): the mean score over the
            support positions in the mask and over the heads (equation 7).
        """
        size = (query.shape[-2], query.shape[-1])
        x = to_tokens(query)
        q, k, v = self.attn.attn(self.norm1(x), self.norm1(support))  # (B, heads, Nq, d), (B, heads, Ns, d) twice
        attended, correlation = self.attended(q, k, v, inside)
        x = x + self.attn.join(attended)
        x = x + self.ffn(self.norm2(x), size)
        return to_map(x, size), correlation.view(-1, *size)

    def attended(self, q: Tensor, k: Tensor, v: Tensor, inside: Tensor | None) -> tuple[Tensor, Tensor]:
        """What the heads read of the support, and the mean score.

        Args:
            q: (B, heads, Nq, d).
            k: (B, heads, Ns, d).
            v: likewise.
            inside: (B, Ns) in {0, 1}, or ``None``.

        Returns:
            (B, heads, Nq, d) and (B, Nq).
        """
        inside = v.new_ones(len(v), v.shape[2]) if inside is None else inside
        inside = inside[:, None, :, None].to(v.dtype)  # (B, 1, Ns, 1)
        shown = inside.sum(dim=2, keepdim=True)  # (B, 1, 1, 1)
        scores = self._scores(q, k)  # (B, heads, Nq, Ns)
        correlation = (scores @ inside / (shown + 1e-9)).mean(dim=1)[..., 0]  # (B, Nq)
        # What is outside the mask is weighed too, but shows nothing.
        return self._weights(scores, shown) @ (inside * v), correlation

    def _scores(self, q: Tensor, k: Tensor) -> Tensor:
        """How alike positions are (equation 4): (B, heads, Nq, Ns)."""
        if self.matching == "cross-attention":
            dots: Tensor = q @ k.transpose(2, 3) / q.shape[-1] ** 0.5
            return dots
        return F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(2, 3) / TEMPERATURE

    def _weights(self, scores: Tensor, shown: Tensor) -> Tensor:
        """What the values are multiplied with: (B, heads, Nq, Ns)."""
        if self.matching == "cosine+inverse-softmax":
            return scores.softmax(dim=2)
        if self.matching == "cosine":
            return scores * TEMPERATURE / shown.clamp(min=1)
        return scores.softmax(dim=3)


class ConvBlock(nn.Module):
    """Matching's output beside the two prior maps → one map (equation 6)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(CHANNELS + 2, CHANNELS, 3, padding=1, bias=False)
        # The batch norm behind it never normalises, so the scale the weights begin with stays.
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")
        self.bn = nn.BatchNorm2d(CHANNELS)

    def forward(self, matched: Tensor, prior: Tensor) -> Tensor:
        """(B, 64, h, w) and priors (B, 2, H, W), which are resized → (B, 64, h, w)."""
        prior = F.interpolate(prior, matched.shape[-2:], mode="bilinear", align_corners=True)
        return F.relu(self.bn(self.conv(torch.cat([matched, prior], dim=1))))

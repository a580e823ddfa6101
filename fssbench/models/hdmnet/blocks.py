"""The transformer's blocks: attention with spatial reduction, Mix-FFN and patch embedding.

They are SegFormer's (Xie et al., NeurIPS 2021), with 64 channels throughout. A map is (B, C, h, w); its
tokens are (B, h·w, C).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = [
    "CHANNELS",
    "DROPOUT",
    "LAYER_NORM_EPS",
    "Attention",
    "MixFFN",
    "PatchEmbedding",
    "SelfLayer",
    "to_map",
    "to_tokens",
]

CHANNELS = 64
LAYER_NORM_EPS = 1e-6
DROPOUT = 0.1  # after every attention and twice in every Mix-FFN

Size = tuple[int, int]


def to_tokens(x: Tensor) -> Tensor:
    """(B, C, h, w) → (B, h·w, C)."""
    return x.flatten(2).transpose(1, 2)


def to_map(x: Tensor, size: Size) -> Tensor:
    """(B, h·w, C) → (B, C, h, w)."""
    return x.transpose(1, 2).reshape(x.shape[0], x.shape[2], *size)


def layer_norm() -> nn.LayerNorm:
    """Over the channels of tokens."""
    return nn.LayerNorm(CHANNELS, eps=LAYER_NORM_EPS)


class Projections(nn.Module):
    """The four linear maps of multi-head attention."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.linear_q = nn.Linear(CHANNELS, CHANNELS, bias=False)
        self.linear_k = nn.Linear(CHANNELS, CHANNELS, bias=False)
        self.linear_v = nn.Linear(CHANNELS, CHANNELS, bias=False)
        self.linear_o = nn.Linear(CHANNELS, CHANNELS, bias=False)

    def forward(self, asked: Tensor, shown: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens (B, Nq, C) and (B, Ns, C) → q (B, heads, Nq, d), k and v (B, heads, Ns, d)."""
        return self._split(self.linear_q(asked)), self._split(self.linear_k(shown)), self._split(self.linear_v(shown))

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def join(self, x: Tensor) -> Tensor:
        """(B, heads, Nq, d) → (B, Nq, C)."""
        joined: Tensor = self.linear_o(x.transpose(1, 2).flatten(2))
        return joined


class Attention(nn.Module):
    """Self-attention; keys and values of a map reduced to 1/ratio of its side.

    Matching takes its projections and its dropout, and weighs the values by its own rule.
    """

    def __init__(self, heads: int, *, ratio: int = 1) -> None:
        super().__init__()
        self.attn = Projections(heads)
        self.dropout = nn.Dropout(DROPOUT)
        self.ratio = ratio
        if ratio > 1:
            self.sr = nn.Conv2d(CHANNELS, CHANNELS, ratio, stride=ratio)
            self.norm = layer_norm()

    def forward(self, x: Tensor, size: Size) -> Tensor:
        """Tokens (B, h·w, C) of a map of ``size`` → (B, h·w, C)."""
        shown = self.norm(to_tokens(self.sr(to_map(x, size)))) if self.ratio > 1 else x
        q, k, v = self.attn(x, shown)
        scale = 1 / (q.shape[-1] ** 0.5 + 1e-9)
        return self.join(F.scaled_dot_product_attention(q, k, v, scale=scale))

    def join(self, x: Tensor) -> Tensor:
        """What the heads read, (B, heads, Nq, d) → (B, Nq, C), with dropout."""
        joined: Tensor = self.dropout(self.attn.join(x))
        return joined


class MixFFN(nn.Module):
    """Two linear layers with a 3×3 convolution between them, which stands in for positions."""

    def __init__(self) -> None:
        super().__init__()
        hidden = 4 * CHANNELS
        self.layers = nn.Sequential(
            nn.Conv2d(CHANNELS, hidden, 1),
            nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden),
            nn.GELU(),
            nn.Dropout(DROPOUT),
            nn.Conv2d(hidden, CHANNELS, 1),
            nn.Dropout(DROPOUT),
        )

    def forward(self, x: Tensor, size: Size) -> Tensor:
        """Tokens (B, h·w, C) of a map of ``size`` → (B, h·w, C)."""
        return to_tokens(self.layers(to_map(x, size)))


class SelfLayer(nn.Module):
    """A transformer layer: attention and Mix-FFN, each after a layer norm and beside a shortcut."""

    def __init__(self, heads: int, *, ratio: int) -> None:
        super().__init__()
        self.norm1 = layer_norm()
        self.attn = Attention(heads, ratio=ratio)
        self.norm2 = layer_norm()
        self.ffn = MixFFN()

    def forward(self, x: Tensor, size: Size) -> Tensor:
        """Tokens (B, h·w, C) of a map of ``size`` → (B, h·w, C)."""
        x = x + self.attn(self.norm1(x), size)
        out: Tensor = x + self.ffn(self.norm2(x), size)
        return out


class PatchEmbedding(nn.Module):
    """A convolution that may halve the map, then layer norm."""

    def __init__(self, *, kernel: int, stride: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(CHANNELS, CHANNELS, kernel, stride=stride, padding=stride // 2)
        self.norm = layer_norm()

    def forward(self, x: Tensor) -> tuple[Tensor, Size]:
        """(B, C, h, w) → tokens (B, h'·w', C) and their size (h', w')."""
        x = self.projection(x)
        return self.norm(to_tokens(x)), (x.shape[-2], x.shape[-1])

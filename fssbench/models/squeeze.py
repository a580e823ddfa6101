"""What HSNet learns: an encoder that squeezes hypercorrelations along the support, and a decoder (figure 2).

Every size it is built of is one of the paper's; the arguments are those that its ablations change.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch.nn.functional as F
from torch import Tensor, nn

from fssbench.base.errors import ModelError
from fssbench.models.center_pivot import CenterPivotConv4d
from fssbench.models.kernels import OriginalConv4d, SeparableConv4d

__all__ = [
    "KERNELS",
    "MIXING",
    "MOST_LAYERS",
    "SQUEEZING",
    "HypercorrelationSqueeze",
    "require_one_grid",
    "squeeze_block",
]

KERNELS = {"center-pivot": CenterPivotConv4d, "separable": SeparableConv4d, "original": OriginalConv4d}
"""The 4D convolutions of Table 4."""

SQUEEZING = ("encoder_layer4", "encoder_layer3", "encoder_layer2")
MIXING = ("encoder_layer4to3", "encoder_layer3to2")
"""The published names of the blocks that squeeze a level, and of those that mix two, coarse to fine."""

GROUPS = 4
PUBLISHED_LAYERS, MOST_LAYERS = 3, 6
"""4D convolutions in a block of the paper's model, and the most that are tried."""

SQUEEZED, MIXED = (16, 64, 128), 128
# Kernel sides and strides over the support of each level's block, coarse to fine.
COARSE = ((3, 3, 3), (2, 2, 2))
MIDDLE = ((5, 3, 3), (4, 2, 2))
FINE = ((5, 5, 3), (4, 4, 2))


class HypercorrelationSqueeze(nn.Module):
    """What is learned: the 4D pyramid encoder (section 4.2) and the 2D context decoder (section 4.3).

    Args:
        levels: channels of the hypercorrelations, fine to coarse; three, or without the finest ones two or
            one (Table A4): then their blocks, and those that would mix them in, are not there either.
        kernel: one of `KERNELS` (Table 4).
        block_layers: 4D convolutions in each block, squeezing and mixing alike (figure 9). The paper does not say how
            fewer of them squeeze as much, or what more of them do: here a block keeps the channels of its last ones,
            and its first one takes over the strides of those that are left out; further ones keep channels and size.
    """

    def __init__(
        self, levels: Sequence[int], *, kernel: str = "center-pivot", block_layers: int = PUBLISHED_LAYERS
    ) -> None:
        super().__init__()
        left_out, added = max(0, PUBLISHED_LAYERS - block_layers), max(0, block_layers - PUBLISHED_LAYERS)

        def squeezing(channels: int, kernels: Sequence[int], strides: Sequence[int]) -> nn.Sequential:
            return squeeze_block(
                (channels, *SQUEEZED[left_out:], *(MIXED,) * added),
                kernels=(kernels[0], *kernels[left_out + 1 :], *(3,) * added),
                support_strides=(prod(strides[: left_out + 1]), *strides[left_out + 1 :], *(1,) * added),
                kernel=kernel,
            )

        def mixing() -> nn.Sequential:
            ones = (1,) * block_layers
            return squeeze_block(
                (MIXED,) * (block_layers + 1), kernels=(3,) * block_layers, support_strides=ones, kernel=kernel
            )

        self.levels = len(levels)
        self.encoder_layer4 = squeezing(levels[-1], *COARSE)
        if self.levels > 1:
            self.encoder_layer3 = squeezing(levels[-2], *MIDDLE)
        if self.levels > 2:
            self.encoder_layer2 = squeezing(levels[-3], *FINE)
        if self.levels > 1:
            self.encoder_layer4to3 = mixing()
        if self.levels > 2:
            self.encoder_layer3to2 = mixing()
        self.decoder1 = _two_convolutions(128, 128, 64, nn.ReLU())
        self.decoder2 = _two_convolutions(64, 64, 2)

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """Hypercorrelations (B, L, h, w, h, w), fine to coarse → logits (B, 2, 2h, 2w), h the finest.

        The sizes below are those of three levels and an input of 400×400.
        """
        x = self.encoder_layer4(pyramid[-1])  # (B, 128, 13, 13, 2, 2)
        if self.levels > 1:
            x = self.encoder_layer4to3(_merge(x, self.encoder_layer3(pyramid[-2])))  # (B, 128, 25, 25, 2, 2)
        if self.levels > 2:
            x = self.encoder_layer3to2(_merge(x, self.encoder_layer2(pyramid[-3])))  # (B, 128, 50, 50, 2, 2)
        x = self.decoder1(x.mean(dim=(4, 5)))  # (B, 64, 50, 50)
        size = (2 * x.shape[-2], 2 * x.shape[-1])
        x = F.interpolate(x, size, mode="bilinear", align_corners=True)  # (B, 64, 100, 100)
        logits: Tensor = self.decoder2(x)  # (B, 2, 100, 100)
        return logits


def squeeze_block(
    channels: Sequence[int],
    *,
    kernels: Sequence[int],
    support_strides: Sequence[int],
    kernel: str = "center-pivot",
) -> nn.Sequential:
    """Convolution, group normalisation and ReLU, once for each kernel (figure 3).

    Args:
        channels: of the input, then of each convolution's output: one more than there are kernels.
        kernels: side of each convolution's kernel.
        support_strides: stride of each over the support's dimensions.
        kernel: one of `KERNELS`.
    """
    layers: list[nn.Module] = []
    for c_in, c_out, side, stride in zip(channels[:-1], channels[1:], kernels, support_strides, strict=True):
        layers += [
            KERNELS[kernel](c_in, c_out, kernel=side, support_stride=stride),
            nn.GroupNorm(GROUPS, c_out),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def _two_convolutions(c_in: int, c_mid: int, c_out: int, *last: nn.Module) -> nn.Sequential:
    first, second = nn.Conv2d(c_in, c_mid, 3, padding=1), nn.Conv2d(c_mid, c_out, 3, padding=1)
    return nn.Sequential(first, nn.ReLU(), second, *last)


def _merge(coarse: Tensor, fine: Tensor) -> Tensor:
    """The sum of two (B, C, Hq, Wq, Hs, Ws), the query side of the coarse one resized to the fine one's."""
    require_one_grid(coarse.shape[4:], fine.shape[4:])
    b, c, hq, wq, hs, ws = coarse.shape
    x = coarse.permute(0, 4, 5, 1, 2, 3).reshape(b * hs * ws, c, hq, wq)
    x = F.interpolate(x, fine.shape[2:4], mode="bilinear", align_corners=True)  # (B·Hs·Ws, C, Hq', Wq')
    return fine + x.view(b, hs, ws, *x.shape[1:]).permute(0, 3, 4, 5, 1, 2)


def require_one_grid(coarse: Sequence[int], fine: Sequence[int]) -> None:
    """Raise `ModelError` unless two levels have squeezed the support to one size."""
    if tuple(coarse) != tuple(fine):
        raise ModelError(
            f"the levels of the pyramid must squeeze the support to one size, got {tuple(coarse)} and {tuple(fine)}",
            remedy="choose another input size, such as 400",
        )

"""EfficientNet-Lite0 (Tan and Le, ICML 2019), as released for mobile devices.

EfficientNet-B0 without squeeze-and-excitation, with ReLU6, and with TensorFlow's "same" padding. Weights have the names
of the PyTorch conversions. The head that tells ImageNet's classes apart is left out.
"""

from __future__ import annotations

import torch.fx
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["EfficientNetLite0"]

STEM = 32
# Of each stage: expansion of the first width, channels, blocks, the first block's stride, side of the kernel.
STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
EPSILON = 1e-3
"""Of TensorFlow's batch norm."""


class EfficientNetLite0(nn.Module):
    """Images (N, 3, H, W) → the last block's map (N, 320, h, w) at 1/32 of their size, rounded up.

    The input is (RGB - 127) / 128. Blocks 0 to 15 end without an activation.
    """

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SameConv2d(3, STEM, side=3, stride=2)
        self._bn0 = nn.BatchNorm2d(STEM, eps=EPSILON)
        self._blocks = nn.Sequential()
        c_in = STEM
        for expansion, c_out, count, stride, side in STAGES:
            for number in range(count):
                first = number == 0
                self._blocks.append(Block(c_in, c_out, expansion=expansion, side=side, stride=stride if first else 1))
                c_in = c_out

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        last: Tensor = self._blocks(self.stem(images))
        return last

    def maps(self, images: Tensor) -> list[Tensor]:
        """What each of the 16 blocks puts out."""
        found = [self.stem(images)]
        for block in self._blocks:
            found.append(block(found[-1]))
        return found[1:]

    def stem(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) → (N, 32, H/2, W/2)."""
        return F.relu6(self._bn0(self._conv_stem(images)))


class Block(nn.Module):
    """An inverted residual: widened, convolved channel by channel, and projected without an activation."""

    def __init__(self, c_in: int, c_out: int, *, expansion: int, side: int, stride: int) -> None:
        super().__init__()
        width = expansion * c_in
        self.widens = expansion > 1
        if self.widens:
            self._expand_conv = SameConv2d(c_in, width)
            self._bn0 = nn.BatchNorm2d(width, eps=EPSILON)
        self._depthwise_conv = SameConv2d(width, width, side=side, stride=stride, groups=width)
        self._bn1 = nn.BatchNorm2d(width, eps=EPSILON)
        self._project_conv = SameConv2d(width, c_out)
        self._bn2 = nn.BatchNorm2d(c_out, eps=EPSILON)
        self.adds = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) → (N, C', h', w')."""
        wide = F.relu6(self._bn0(self._expand_conv(x))) if self.widens else x
        wide = F.relu6(self._bn1(self._depthwise_conv(wide)))
        projected: Tensor = self._bn2(self._project_conv(wide))
        return x + projected if self.adds else projected


class SameConv2d(nn.Conv2d):
    """A convolution whose output is its input's size over the stride, rounded up."""

    def __init__(self, c_in: int, c_out: int, *, side: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__(c_in, c_out, side, stride=stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) → (N, C', ⌈h/stride⌉, ⌈w/stride⌉)."""
        return super().forward(padded_as_same(x, self.kernel_size[0], self.stride[0]))


@torch.fx.wrap
def padded_as_same(x: Tensor, side: int, stride: int) -> Tensor:
    """Zeros around (…, h, w) as TensorFlow's "same" has them: of an odd number, one more after than before."""
    if side == 1:
        return x
    h, w = ((-(-length // stride) - 1) * stride + side - length for length in x.shape[-2:])
    h, w = max(h, 0), max(w, 0)
    return F.pad(x, (w // 2, w - w // 2, h // 2, h - h // 2))

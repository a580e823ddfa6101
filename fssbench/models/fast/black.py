"""A ResNet of an image that is black but for a box: what does not see the box is as of a black image."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models import ResNet
from torchvision.models.resnet import Bottleneck

from fssbench.models.fast.windows import Span, Window

__all__ = ["OnBlack"]

Size = tuple[int, int]


class OnBlack:
    """`fssbench.models.pyramids.resnet_maps`, computed where they see the box, and elsewhere written down.

    Args:
        network: of `Bottleneck`, in eval mode, its batch norms folded or not.
    """

    def __init__(self, network: ResNet) -> None:
        self.network = network
        # What is remembered is of one size and type, as all images usually have.
        self._black: tuple[object, Tensor, list[Tensor]] | None = None

    def maps(self, image: Tensor, box: Window) -> list[Tensor]:
        """The sums (1, C, h, w) of the bottlenecks of stages 2 to 4, channels last.

        Args:
            image: (1, 3, H, W), 0 outside of the box, channels last.
        """
        size = (image.shape[-2], image.shape[-1])
        before, sums = self._of_black(image)
        window, x = box, self._stem(image)
        for kernel in (7, 3):
            window, size = _reached(window, size, kernel=kernel, stride=2)
        x, maps = _crop(x, window), []
        for (block, asked), after in zip(self._blocks(), sums, strict=True):
            window, total = _bottleneck(block, before, x, window)
            if asked:
                maps.append(_paste(after.clone(), total, window))
            before, x = after, F.relu(total)
        return maps

    def black(self, image: Tensor) -> list[Tensor]:
        """The maps (1, C, h, w) of a black image of the size of ``image``."""
        sums = self._of_black(image)[1]
        return [one for one, (_, asked) in zip(sums, self._blocks(), strict=True) if asked]

    def windows(self, box: Window, size: Size) -> list[Window]:
        """What of each map sees a box in an image of a size."""
        found, window = [], box
        steps = [(7, 2, False), (3, 2, False), *((3, block.stride, asked) for block, asked in self._blocks())]
        for kernel, stride, asked in steps:
            window, size = _reached(window, size, kernel=kernel, stride=stride)
            if asked:
                found.append(window)
        return found

    def _blocks(self) -> Iterator[tuple[Bottleneck, bool]]:
        """All of them, and whether their sums are asked for."""
        yield from ((block, False) for block in self.network.layer1)
        for stage in (self.network.layer2, self.network.layer3, self.network.layer4):
            yield from ((block, True) for block in stage)

    def _stem(self, image: Tensor) -> Tensor:
        network = self.network
        found: Tensor = network.maxpool(network.relu(network.bn1(network.conv1(image))))
        return found

    def _of_black(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Of one black image what the first block is given, and the sum of each."""
        kind = (tuple(image.shape[1:]), image.dtype)
        if self._black is None or self._black[0] != kind:
            first = x = self._stem(torch.zeros_like(image[:1]))
            sums = []
            for block, _ in self._blocks():
                whole = Window(Span(0, x.shape[-2]), Span(0, x.shape[-1]))
                sums.append(_bottleneck(block, x, x, whole)[1])
                x = F.relu(sums[-1])
            self._black = (kind, first, sums)
        return self._black[1:]


def _bottleneck(block: Bottleneck, black: Tensor, x: Tensor, window: Window) -> tuple[Window, Tensor]:
    """The sum of a block, before its ReLU, in the window that sees what is in the given one, and that window.

    Args:
        black: what it is given of a black image, with ReLU or without.
        x: (1, C, rows, columns), what it is given in the window.
    """
    stride, size = block.stride, (black.shape[-2], black.shape[-1])
    reached = window.reached(kernel=3, stride=stride, size=size)
    seen = reached.seen(kernel=3, stride=stride)
    there = seen.within(Window(Span(0, size[0]), Span(0, size[1])))
    if there != window:
        x = _paste(F.relu(_crop(black, there)), x, window.inside(there))
    residual = block.relu(block.bn1(block.conv1(x)))
    kernel = block.conv2
    padded = F.pad(residual, there.padding_to(seen))
    residual = F.conv2d(padded, kernel.weight, kernel.bias, stride=stride, groups=kernel.groups)
    residual = block.bn3(block.conv3(block.relu(block.bn2(residual))))
    if block.downsample is None:
        return reached, residual.add_(_crop(x, reached.inside(there)))
    # Of its input a stride leaves out what is not a multiple.
    first = Window(*(Span(s.start * stride, (s.stop - 1) * stride + 1) for s in (reached.rows, reached.columns)))
    shortcut: Tensor = block.downsample(_crop(x, first.inside(there)))
    return reached, residual.add_(shortcut)


def _crop(x: Tensor, window: Window) -> Tensor:
    return x[..., window.rows.slice, window.columns.slice]


def _paste(x: Tensor, part: Tensor, window: Window) -> Tensor:
    x[..., window.rows.slice, window.columns.slice] = part
    return x


def _reached(window: Window, size: Size, *, kernel: int, stride: int) -> tuple[Window, Size]:
    """What of a convolution's outputs sees a window of its input of a size, and how many outputs there are."""
    return window.reached(kernel=kernel, stride=stride, size=size), (-(-size[0] // stride), -(-size[1] // stride))

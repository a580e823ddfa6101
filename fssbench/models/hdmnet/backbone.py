"""The two backbones of HDMNet, as five stages whose last three have an eighth of the input's resolution or less.

Neither is torchvision's: the ResNet has a stem of three convolutions and dilates instead of striding, and
the VGG rounds up where it pools.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from torchvision.models.resnet import Bottleneck

__all__ = ["BACKBONES", "Stages", "build_stages"]

BACKBONES = ("resnet50", "vgg16")

# Channels of the convolutions of VGG-16 between its pools.
VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


@dataclass(frozen=True, kw_only=True, eq=False)
class Stages:
    """A backbone.

    Attributes:
        stages: what makes an image into the maps 0 to 4, one after the other.
        channels: of the maps 2, 3 and 4.
    """

    stages: tuple[nn.Sequential, ...]
    channels: tuple[int, int, int]


def build_stages(backbone: str) -> Stages:
    """ResNet-50 or VGG-16 with batch norm, with random weights; maps 2 to 4 of an input of 473 are 60×60.

    The maps 3 and 4 of VGG-16 are half of map 2: 48, 24 and 24 for an input of 377.
    """
    if backbone == "resnet50":
        return Stages(stages=_resnet50(), channels=(512, 1024, 2048))
    return Stages(stages=_vgg16(), channels=(256, 512, 512))


def _resnet50() -> tuple[nn.Sequential, ...]:
    stem = nn.Sequential(
        *_convolution(3, 64, stride=2, bias=False),
        *_convolution(64, 64, bias=False),
        *_convolution(64, 128, bias=False),
        nn.MaxPool2d(3, stride=2, padding=1),
    )
    return (
        stem,
        _bottlenecks(3, 128, 64),
        _bottlenecks(4, 256, 128, stride=2),
        _bottlenecks(6, 512, 256, dilation=2),
        _bottlenecks(3, 1024, 512, dilation=4),
    )


def _bottlenecks(count: int, c_in: int, width: int, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Blocks of 4·width output channels; the first changes channels and resolution, all dilate alike."""
    c_out = Bottleneck.expansion * width
    shortcut = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride=stride, bias=False), nn.BatchNorm2d(c_out))
    first = Bottleneck(c_in, width, stride, shortcut, dilation=dilation)
    return nn.Sequential(first, *(Bottleneck(c_out, width, dilation=dilation) for _ in range(count - 1)))


def _vgg16() -> tuple[nn.Sequential, ...]:
    """The blocks of VGG-16, each with the pool that ends it, but for the last."""
    stages: list[nn.Sequential] = []
    c_in = 3
    for widths in VGG16:
        layers: list[nn.Module] = []
        for c_out in widths:
            layers += _convolution(c_in, c_out, bias=True)
            c_in = c_out
        if len(stages) < len(VGG16) - 1:
            layers.append(nn.MaxPool2d(2, stride=2, ceil_mode=True))
        stages.append(nn.Sequential(*layers))
    return tuple(stages)


def _convolution(c_in: int, c_out: int, *, stride: int = 1, bias: bool) -> list[nn.Module]:
    convolution = nn.Conv2d(c_in, c_out, 3, stride=stride, padding=1, bias=bias)
    return [convolution, nn.BatchNorm2d(c_out), nn.ReLU(inplace=True)]

"""The intermediate maps of backbones that HSNet correlates, fine to coarse."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import VGG, ResNet
from torchvision.models.resnet import Bottleneck

from fssbench.models.efficientnet_lite import EfficientNetLite0

__all__ = ["efficientnet_lite_maps", "resnet_maps", "vgg16_maps"]

# The last two blocks of VGG-16: what its convolutions put out, and its last max pool.
VGG16_MODULES = (17, 19, 21, 24, 26, 28, 30)
# Of EfficientNet-Lite the blocks at 1/8, 1/16 and 1/32 of the image.
LITE_BLOCKS = slice(3, None)


def resnet_maps(network: ResNet, images: Tensor) -> list[Tensor]:
    """What every bottleneck of the stages 2 to 4 adds up, before its ReLU."""
    x = network.maxpool(network.relu(network.bn1(network.conv1(images))))
    x = network.layer1(x)
    maps = []
    for bottleneck in (*network.layer2, *network.layer3, *network.layer4):
        maps.append(_bottleneck_sum(bottleneck, x))
        x = F.relu(maps[-1])  # not in place: the map is kept as it is
    return maps


def _bottleneck_sum(block: Bottleneck, x: Tensor) -> Tensor:
    residual = block.relu(block.bn2(block.conv2(block.relu(block.bn1(block.conv1(x))))))
    residual = block.bn3(block.conv3(residual))
    total: Tensor = residual.add_(x if block.downsample is None else block.downsample(x))
    return total


def vgg16_maps(network: VGG, images: Tensor) -> list[Tensor]:
    """What the convolutions of the last two blocks put out, before their ReLUs, and the last max pool."""
    x, maps = images, []
    for index, module in enumerate(network.features):
        x = F.relu(x) if isinstance(module, nn.ReLU) else module(x)  # torchvision's would overwrite the map
        if index in VGG16_MODULES:
            maps.append(x)
    return maps


def efficientnet_lite_maps(network: EfficientNetLite0, images: Tensor) -> list[Tensor]:
    """What every block from 1/8 of the image on puts out; none of them ends in an activation."""
    return network.maps(images)[LITE_BLOCKS]

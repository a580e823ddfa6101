"""HSNet, the Hypercorrelation Squeeze Network (Min, Kang and Cho, ICCV 2021).

Every intermediate map of a frozen backbone is correlated, query position with support position; the 4D
correlations of one resolution are squeezed along the support, merged from coarse to fine, and decoded
into a mask. Equations and sections are those of the paper; what it leaves open follows the published
code, so that published checkpoints load and give their published numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import VGG, ResNet
from torchvision.models.resnet import Bottleneck

from fssbench.errors import ModelError, UsageError
from fssbench.models.backbones import load_backbone
from fssbench.models.center_pivot import squeeze_block
from fssbench.models.interface import FeatureSegmenter, Preprocess

__all__ = ["HSNet", "HypercorrelationSqueeze", "hypercorrelation", "mask_features"]

# The last two blocks of VGG-16: what its convolutions put out, and its last max pool.
VGG16_MODULES = (17, 19, 21, 24, 26, 28, 30)
EPSILON = 1e-5


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
    residual = block.relu(block.bn1(block.conv1(x)))
    residual = block.relu(block.bn2(block.conv2(residual)))
    residual = block.bn3(block.conv3(residual))
    total: Tensor = residual + (x if block.downsample is None else block.downsample(x))
    return total


def vgg16_maps(network: VGG, images: Tensor) -> list[Tensor]:
    """What the convolutions of the last two blocks put out, before their ReLUs, and the last max pool."""
    x, maps = images, []
    for index, module in enumerate(network.features):
        x = F.relu(x) if isinstance(module, nn.ReLU) else module(x)  # torchvision's would overwrite the map
        if index in VGG16_MODULES:
            maps.append(x)
    return maps


# How a backbone's maps are taken, and how many there are at each resolution, fine to coarse.
BACKBONES: dict[str, tuple[Callable[[nn.Module, Tensor], list[Tensor]], tuple[int, int, int]]] = {
    "resnet50": (resnet_maps, (4, 6, 3)),
    "resnet101": (resnet_maps, (4, 23, 3)),
    "vgg16": (vgg16_maps, (3, 3, 1)),
}


def mask_features(features: Sequence[Tensor], masks: Tensor) -> list[Tensor]:
    """Maps (N, C, h, w) times masks (N, H, W), resized bilinearly to each map's size (equation 1)."""
    whole = masks[:, None].float()  # (N, 1, H, W)
    sizes = {f.shape[-2:] for f in features}
    shares = {size: F.interpolate(whole, size, mode="bilinear", align_corners=True) for size in sizes}
    return [f * shares[f.shape[-2:]].to(f.dtype) for f in features]


def unit_stack(maps: Sequence[Tensor]) -> Tensor:
    """L maps (B, C, h, w) of one resolution → (B, L, C, h, w), of unit length over C; zeros stay zeros."""
    stack = torch.stack(list(maps), dim=1)
    length: Tensor = torch.linalg.vector_norm(stack, dim=2, keepdim=True)
    return stack / (length + EPSILON)


def hypercorrelation(query: Tensor, support: Tensor) -> Tensor:
    """Cosine similarities of all pairs of positions, negative ones as 0 (equation 2).

    Args:
        query: (B, L, C, Hq, Wq), of unit length over C.
        support: (B, L, C, Hs, Ws), likewise.

    Returns:
        (B, L, Hq, Wq, Hs, Ws).
    """
    cosine: Tensor = torch.einsum("blcxy,blcuv->blxyuv", query, support)
    return cosine.relu_()


class HypercorrelationSqueeze(nn.Module):
    """What is learned: the 4D pyramid encoder (section 4.2) and the 2D context decoder (section 4.3).

    Args:
        levels: channels of the three hypercorrelations, fine to coarse.
    """

    def __init__(self, levels: tuple[int, int, int]) -> None:
        super().__init__()
        fine, middle, coarse = levels
        squeezed, mixed = (16, 64, 128), (128, 128, 128, 128)
        self.encoder_layer4 = squeeze_block((coarse, *squeezed), kernels=(3, 3, 3), support_strides=(2, 2, 2))
        self.encoder_layer3 = squeeze_block((middle, *squeezed), kernels=(5, 3, 3), support_strides=(4, 2, 2))
        self.encoder_layer2 = squeeze_block((fine, *squeezed), kernels=(5, 5, 3), support_strides=(4, 4, 2))
        self.encoder_layer4to3 = squeeze_block(mixed, kernels=(3, 3, 3), support_strides=(1, 1, 1))
        self.encoder_layer3to2 = squeeze_block(mixed, kernels=(3, 3, 3), support_strides=(1, 1, 1))
        self.decoder1 = _two_convolutions(128, 128, 64, nn.ReLU())
        self.decoder2 = _two_convolutions(64, 64, 2)

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """Three hypercorrelations (B, L, h, w, h, w), fine to coarse → logits (B, 2, 2h, 2w), h the finest.

        The sizes below are those of an input of 400×400.
        """
        fine, middle, coarse = pyramid
        x = self.encoder_layer4(coarse)  # (B, 128, 13, 13, 2, 2)
        x = self.encoder_layer4to3(_merge(x, self.encoder_layer3(middle)))  # (B, 128, 25, 25, 2, 2)
        x = self.encoder_layer3to2(_merge(x, self.encoder_layer2(fine)))  # (B, 128, 50, 50, 2, 2)
        x = self.decoder1(x.mean(dim=(4, 5)))  # (B, 64, 50, 50)
        size = (2 * x.shape[-2], 2 * x.shape[-1])
        x = F.interpolate(x, size, mode="bilinear", align_corners=True)  # (B, 64, 100, 100)
        logits: Tensor = self.decoder2(x)  # (B, 2, 100, 100)
        return logits


def _two_convolutions(c_in: int, c_mid: int, c_out: int, *last: nn.Module) -> nn.Sequential:
    first, second = nn.Conv2d(c_in, c_mid, 3, padding=1), nn.Conv2d(c_mid, c_out, 3, padding=1)
    return nn.Sequential(first, nn.ReLU(), second, *last)


def _merge(coarse: Tensor, fine: Tensor) -> Tensor:
    """The sum of two (B, C, Hq, Wq, Hs, Ws), the query side of the coarse one resized to the fine one's."""
    if coarse.shape[4:] != fine.shape[4:]:
        raise ModelError(
            "the levels of the pyramid must squeeze the support to one size, got "
            f"{tuple(coarse.shape[4:])} and {tuple(fine.shape[4:])}",
            remedy="choose another input size, such as 400",
        )
    b, c, hq, wq, hs, ws = coarse.shape
    x = coarse.permute(0, 4, 5, 1, 2, 3).reshape(b * hs * ws, c, hq, wq)
    x = F.interpolate(x, fine.shape[2:4], mode="bilinear", align_corners=True)  # (B·Hs·Ws, C, Hq', Wq')
    return fine + x.view(b, hs, ws, *x.shape[1:]).permute(0, 3, 4, 5, 1, 2)


class HSNet(FeatureSegmenter):
    """HSNet: each shot is matched alone and votes on the mask (section 4.5).

    Args:
        backbone: ``resnet50``, ``resnet101`` or ``vgg16``; frozen, and in eval mode also while training.
        backbone_weights: ``imagenet``, ``none`` or a path; see `load_backbone`.
        size: side of the input.
        masking: ``fm`` masks the support's features (equation 1), ``none`` leaves them whole.

    Raises:
        UsageError: no such backbone or masking.
    """

    needs_training = True
    maskings: ClassVar[tuple[str, ...]] = ("fm", "none")

    def __init__(
        self,
        *,
        backbone: str = "resnet50",
        backbone_weights: str = "none",
        size: int = 400,
        masking: str = "fm",
    ) -> None:
        super().__init__()
        for option, value, known in (("backbone", backbone, BACKBONES), ("masking", masking, self.maskings)):
            if value not in known:
                problem = f"{type(self).__name__} has no {option} '{value}'"
                raise UsageError(problem, remedy=f"known are {', '.join(known)}")
        self.preprocess = Preprocess(size=size)
        self.masking = masking
        self.backbone, self.backbone_info = load_backbone(backbone, backbone_weights)
        self._maps, self.levels = BACKBONES[backbone]
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)  # torch.manual_seed would seed the GPUs too
            self.hpn_learner = HypercorrelationSqueeze(self.levels)

    def train(self, mode: bool = True) -> Self:
        """As `nn.Module.train`, but for the backbone: its batch norm must not learn."""
        super().train(mode)
        self.backbone.eval()
        return self

    def encode(self, images: Tensor) -> list[Tensor]:
        """Images (N, 3, H, W) → the backbone's intermediate maps, each (N, C, h, w), fine to coarse."""
        return self._maps(self.backbone, images)

    def condition(self, features: list[Tensor], images: Tensor, masks: Tensor) -> list[Tensor]:
        """The maps (N, C, h, w) of the supports, masked or, with ``masking="none"``, as they are."""
        return features if self.masking == "none" else mask_features(features, masks)

    def match(self, query: list[Tensor], supports: list[Tensor]) -> Tensor:
        """Logits (B, K, 2, h, w), at a quarter of the input's size, of each support alone."""
        asked, shots = self.pyramid(query), supports[0].shape[1]
        # One by one: the correlations of a shot fill 110 MB an episode, and are gone before the next one's.
        votes = [self._match_one(asked, [maps[:, k] for maps in supports]) for k in range(shots)]
        return torch.stack(votes, dim=1)

    def _match_one(self, asked: list[Tensor], support: list[Tensor]) -> Tensor:
        """The query's pyramid and one support's maps → logits (B, 2, h, w)."""
        shown = self.pyramid(support)
        logits: Tensor = self.hpn_learner([hypercorrelation(*level) for level in zip(asked, shown, strict=True)])
        return logits

    def pyramid(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps (B, C, h, w), fine to coarse → by resolution (B, L, C, h, w), of unit length over C."""
        remaining = iter(maps)
        return [unit_stack(list(islice(remaining, count))) for count in self.levels]

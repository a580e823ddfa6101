"""Where training the base learner begins: a backbone that was trained on ImageNet.

A ResNet with three convolutions in its stem is none of torchvision's, so its file must be given. The VGG is
torchvision's.
"""

from __future__ import annotations

from pathlib import Path

from torch import nn

from fssbench.base.errors import UsageError
from fssbench.base.files import sha256_file
from fssbench.models.backbones import BackboneInfo, imagenet_file
from fssbench.models.checkpoints import load_checkpoint, read_state_dict

__all__ = ["load_imagenet"]

# Of the classifiers that ImageNet's files hold as well.
HEAD = ("fc.", "classifier.")


class Backbone(nn.ModuleDict):
    """The parts of a backbone by the names that ImageNet's files have."""


def load_imagenet(stages: tuple[nn.Sequential, ...], backbone: str, weights: str) -> BackboneInfo:
    """Fill a backbone, and say with what.

    Args:
        stages: those of `build_stages`.
        backbone: their name.
        weights: ``none`` to leave them as they are; ``imagenet`` for torchvision's VGG-16 with batch norm; or the
            path of a state dict: torchvision's names, and ``conv1``, ``bn1`` … ``conv3``, ``bn3`` for the stem of the
            ResNet, as ``resnet50_v2.pth`` has them, which published PSPNets began with.

    Raises:
        UsageError: torchvision's ImageNet weights are asked for, and there are none.
        CheckpointError: the file is missing or does not fit.
    """
    if weights == "none":
        return BackboneInfo(name=backbone, weights="none", sha256=None)
    if weights == "imagenet" and backbone != "vgg16":
        raise UsageError(
            f"torchvision has no ImageNet weights for the {backbone} of PSPNet, whose stem has three convolutions",
            remedy="pass --backbone-weights PATH of such a network (published PSPNets began with resnet50_v2.pth), "
            "or start from random weights with --backbone-weights none",
        )
    path = imagenet_file("vgg16_bn") if weights == "imagenet" else Path(weights)
    state = {name: value for name, value in read_state_dict(path).items() if not name.startswith(HEAD)}
    named = _named(stages, backbone)
    # Old files do not count batches, and nothing here uses the count.
    counts = {name: value for name, value in named.state_dict().items() if name.endswith("num_batches_tracked")}
    load_checkpoint(named, counts | state, where=str(path))
    return BackboneInfo(
        name=backbone, weights="imagenet" if weights == "imagenet" else "file", sha256=sha256_file(path)
    )


def _named(stages: tuple[nn.Sequential, ...], backbone: str) -> Backbone:
    if backbone == "vgg16":
        return Backbone({"features": nn.Sequential(*(layer for stage in stages for layer in stage))})
    stem, *layers = stages
    parts: dict[str, nn.Module] = {
        f"{kind}{i + 1}": stem[3 * i + j] for i in range(3) for j, kind in enumerate(("conv", "bn"))
    }
    return Backbone(parts | {f"layer{i}": layer for i, layer in enumerate(layers, start=1)})

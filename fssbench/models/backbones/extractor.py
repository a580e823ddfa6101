"""A backbone with its weights, and what a model must know to use it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fssbench.base.errors import UsageError

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "BackboneInfo",
    "Extractor",
    "Pyramid",
    "at_random",
    "known_origin",
    "listed_pyramid",
    "of_unknown_origin",
]

FILLED = "filled_by_fssbench"
"""Marks parameters whose values `known_origin` vouches for, whichever model they end up in."""

RGB = tuple[float, float, float]
IMAGENET_MEAN: RGB = (0.485, 0.456, 0.406)
IMAGENET_STD: RGB = (0.229, 0.224, 0.225)
REDUCTIONS = (8, 16, 32)
"""What part of the image's side the maps of the three levels have that HSNet correlates."""


@dataclass(frozen=True, kw_only=True)
class BackboneInfo:
    """Which network extracts features, and where its weights came from.

    Attributes:
        name: as asked for; of a folder its name alone.
        weights: ``none`` (random, from a fixed seed), ``imagenet``, ``file``, or ``pretrained``, which are those that
            another library keeps.
        sha256: of the weights file, or of a line a file where there are several; ``None`` without one.
        pretrained_on: the data sets its weights were learned from, by the keys of `fssbench.models.pretraining`;
            ``None`` if that is not known.
    """

    name: str
    weights: str
    sha256: str | None
    pretrained_on: tuple[str, ...] | None = None


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
class Extractor:
    """A network that extracts features, frozen and in eval mode, and what a model must know to use it.

    Attributes:
        network: with its weights.
        info: what it is and where they came from.
        taking: a module over ``network`` that takes images (N, 3, H, W) and gives the maps of some names as a
            dict, each (N, C, h, w); ``ValueError`` if there is no such map.
        listed: names of its maps, fine to coarse, and what part of the image's side each has.
        semantic: of these the map that knows what things are and is fine enough to outline them.
        pyramid: of the network itself, if it has one; `None` where one is made of ``listed``.
        multiple: the sides of an image are to be multiples of this.
        head: how the names of weights begin that tell ImageNet's classes apart, and that no map depends on.
        mean: subtracted from each RGB channel in [0, 1].
        std: each channel is divided by it.
    """

    network: nn.Module
    info: BackboneInfo
    taking: Callable[[Sequence[str]], nn.Module]
    listed: dict[str, int]
    semantic: str
    pyramid: Pyramid | None = None
    multiple: int = 1
    head: tuple[str, ...] = ()
    mean: RGB = IMAGENET_MEAN
    std: RGB = IMAGENET_STD

    def maps(self, names: Sequence[str] = ()) -> nn.Module:
        """What gives the maps of ``names``, or the semantic one; `UsageError` if there is no such map."""
        wanted = tuple(names) or (self.semantic,)
        try:
            return self.taking(wanted)
        except ValueError:
            known = f"maps are listed as {', '.join(self.listed)}"
            raise UsageError(f"{self.info.name} has no map '{', '.join(wanted)}'", remedy=known) from None

    def fitting(self, size: int | None, *, default: int) -> int:
        """The side of the input: ``size``, or about ``default``; `UsageError` if it is not a `multiple`."""
        if size is None:
            return max(1, round(default / self.multiple)) * self.multiple
        if size % self.multiple:
            below = size // self.multiple * self.multiple
            near = [str(one) for one in (below, below + self.multiple) if one]
            raise UsageError(
                f"{self.info.name} takes sides that are multiples of {self.multiple}, got size {size}",
                remedy=f"pass --option size={' or '.join(near)}",
            )
        return size


def listed_pyramid(extractor: Extractor) -> tuple[nn.Module, Pyramid]:
    """What gives the listed maps at 1/8, 1/16 and 1/32 of the image, and how many there are of each.

    Raises `UsageError` unless there is one of each.
    """
    by_level = [[name for name, part in extractor.listed.items() if part == level] for level in REDUCTIONS]
    if not all(by_level):
        found = ", ".join(f"1/{part}" for part in dict.fromkeys(extractor.listed.values()))
        raise UsageError(
            f"maps at 1/8, 1/16 and 1/32 of the image are correlated, {extractor.info.name} lists maps at {found}",
            remedy="choose a convolutional --backbone, or --model prototype, which takes any",
        )
    fine, middle, coarse = map(len, by_level)
    names = [name for level in by_level for name in level]
    return extractor.maps(names), Pyramid(maps=_values, levels=(fine, middle, coarse), published=False)


def _values(network: nn.Module, images: Tensor) -> list[Tensor]:
    return list(network(images).values())


def at_random(build: Callable[[], nn.Module]) -> nn.Module:
    """What ``build`` makes, with random weights that are the same in every process."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # torch.manual_seed would seed the GPUs too
        return build()


def known_origin(network: nn.Module) -> nn.Module:
    """The network, frozen and in eval mode, its parameters marked as being of known origin."""
    for parameter in network.parameters():
        setattr(parameter, FILLED, True)
    return network.requires_grad_(False).eval()


def of_unknown_origin(model: nn.Module) -> int:
    """How many of a model's numbers are in parameters that no backbone of ours brought with it."""
    return sum(parameter.numel() for parameter in model.parameters() if not hasattr(parameter, FILLED))

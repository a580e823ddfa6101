"""Frozen convolutions as they are fastest: batch norm in their weights, channels last in memory."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fssbench.models.fast.products import NEEDLESS_DILATION, by_onednn

__all__ = ["folded"]

M = TypeVar("M", bound=nn.Module)


def folded(module: M) -> M:
    """A copy in eval mode whose batch norms are part of the convolutions before them, in channels-last memory.

    Which batch norm follows which convolution is known by their names, ``conv1`` and ``bn1`` or ``conv`` and ``bn``,
    and by their order in an `nn.Sequential`.
    """
    twin = copy.deepcopy(module).eval().requires_grad_(False)
    for parent in list(twin.modules()):
        for convolution, norm in _pairs(parent):
            conv, bn = parent.get_submodule(convolution), parent.get_submodule(norm)
            if isinstance(conv, nn.Conv2d) and type(bn) is nn.BatchNorm2d:  # timm's subclass activates as well
                setattr(parent, convolution, fuse_conv_bn_eval(conv, bn))
                setattr(parent, norm, nn.Identity())
    for part in twin.modules():
        if isinstance(part, nn.Conv2d) and part.kernel_size == (1, 1) and by_onednn(part.weight):
            part.dilation = NEEDLESS_DILATION
    return twin.requires_grad_(False).to(memory_format=torch.channels_last)


def _pairs(parent: nn.Module) -> Iterator[tuple[str, str]]:
    """Names of children of which the second is applied to what the first puts out."""
    names = [name for name, _ in parent.named_children()]
    if isinstance(parent, nn.Sequential):
        yield from pairwise(names)
        return
    for name in names:
        if (number := re.fullmatch(r"conv(\d*)", name)) and f"bn{number[1]}" in names:
            yield name, f"bn{number[1]}"

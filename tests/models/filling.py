"""Weights and inputs that can be rebuilt anywhere, so that of a golden run only the outputs are stored.

The rule is public. A tensor is standard normal, from numpy's legacy `RandomState` seeded with the CRC-32
of the tensor's published name, then scaled so that a deep network neither dies out nor explodes.
"""

from __future__ import annotations

import copy
import zlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)
Episode = tuple[Tensor, Tensor, Tensor]
Floats = npt.NDArray[np.float32]


def weights(name: str, shape: Sequence[int]) -> Tensor:
    """The tensor called ``name`` in a state dict."""
    if name.endswith("num_batches_tracked"):
        return torch.zeros(tuple(shape), dtype=torch.int64)
    generator = np.random.RandomState(zlib.crc32(name.encode()))
    normal = torch.from_numpy(np.asarray(generator.standard_normal(tuple(shape)), dtype=np.float32))
    if name.endswith("running_var"):
        return 1 + 0.1 * normal.abs()
    if len(shape) > 1:  # He et al.: the variance is 2 over the number of inputs
        return normal * float(np.float32(np.sqrt(2 / np.prod(shape[1:]))))
    is_scale = name.endswith("weight")
    return 1 + 0.1 * normal if is_scale else 0.1 * normal


def fill(module: Module, *, skip: str | tuple[str, ...] = ()) -> Module:
    """Fill every tensor of ``module``, but those whose names start with ``skip``; in eval mode after it."""
    for name, tensor in module.state_dict().items():
        if not name.startswith(skip):
            tensor.copy_(weights(name, tensor.shape))
    return module.eval()


def doubled(module: Module) -> Module:
    """A copy that computes in float64."""
    return copy.deepcopy(module).double()


def image(seed: int, size: int) -> Tensor:
    """A normalised image (1, 3, size, size): a smooth random field with some noise."""
    generator = np.random.RandomState(seed)
    coarse = generator.standard_normal((1, 3, 16, 16)).astype(np.float32)
    noise = torch.from_numpy(generator.standard_normal((1, 3, size, size)).astype(np.float32))
    return torch.from_numpy(resized(coarse, (size, size))) + 0.1 * noise


def resized(x: Floats, size: Sequence[int]) -> Floats:
    """(…, H, W) → (…, h, w), bilinear with corners aligned, in float32 and the same on every processor.

    The stored outputs are of images that torch interpolated. Its last bits depend on the processor and on the number
    of threads, and move a model's output by 3e-8, so its arithmetic is written out: the second product is rounded,
    the first is not.
    """
    across = _interpolated(x, size[1])
    return _interpolated(across.swapaxes(-1, -2), size[0]).swapaxes(-1, -2)


def _interpolated(x: Floats, size: int) -> Floats:
    """The last dimension alone."""
    last = x.shape[-1] - 1
    position = np.arange(size, dtype=np.float32) * (np.float32(last) / np.float32(size - 1))
    left = np.minimum(position.astype(np.int64), last)
    share = np.clip(position - left.astype(np.float32), 0, 1)
    second = x[..., np.minimum(left + 1, last)] * share
    whole = x[..., left].astype(np.float64) * (1 - share) + second
    rounded: Floats = whole.astype(np.float32)
    return rounded


def mask(seed: int, size: int) -> Tensor:
    """A mask (1, size, size) of zeros and one ellipse of ones."""
    generator = np.random.RandomState(seed)
    y, x, height, width = generator.uniform([0.3, 0.3, 0.15, 0.15], [0.7, 0.7, 0.35, 0.35])
    axis = np.arange(size, dtype=np.float32) / size
    inside = ((axis[:, None] - y) / height) ** 2 + ((axis[None, :] - x) / width) ** 2 <= 1
    return torch.from_numpy(inside[None].astype(np.float32))


def episode(query: int, supports: Sequence[int], masks: Sequence[int], size: int) -> Episode:
    """One episode by its seeds: query (1, 3, size, size), supports (1, K, 3, …) and masks (1, K, …)."""
    shown = torch.stack([image(seed, size) for seed in supports], dim=1)
    return image(query, size), shown, torch.stack([mask(seed, size) for seed in masks], dim=1)


def episode64(query: int, supports: Sequence[int], masks: Sequence[int], size: int) -> Episode:
    """`episode`, drawn in float32 and then cast to float64, for models that are `doubled`."""
    asked, shown, inside = episode(query, supports, masks, size)
    return asked.double(), shown.double(), inside.double()

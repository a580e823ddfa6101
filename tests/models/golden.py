"""Stored outputs of the published models, and how far from them is still equal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

Golden = dict[str, npt.NDArray[Any]]

FOLDER = Path(__file__).parents[1] / "golden"

EXACT = 1e-9
"""Of the standard deviation, between two runs in float64. Kernels and threads move the last digits alone, 1e-13."""

ROUNDED = 1e-4
"""Of the standard deviation, between a run and one in float32, whose rounding depends on the processor.

The stored runs in float32 are up to 5e-5 away from the same models in float64.
"""


def read(name: str) -> Golden:
    """All arrays of a golden file."""
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return dict(arrays)


def difference(found: Tensor, expected: npt.NDArray[Any]) -> float:
    """The largest absolute difference, as a share of the expected values' standard deviation."""
    assert found.shape == expected.shape
    return float(np.abs(found.detach().numpy() - expected).max() / expected.std())


def certain(logits: Tensor, size: tuple[int, int], *, slack: float) -> Tensor:
    """The pixels (B, H, W) whose class no rounding turns, from logits (B, V, 2, h, w).

    Those where for every one of the V voters the two logits are further apart than ``slack``, a share of the
    logits' standard deviation.
    """
    resized = F.interpolate(logits.flatten(0, 1), size, mode="bilinear", align_corners=True)
    apart = (resized[:, 1] - resized[:, 0]).abs() > slack * logits.std()
    return apart.view(*logits.shape[:2], *size).all(dim=1)


def differing(found: Tensor, expected: Tensor, sure: Tensor) -> int:
    """How many pixels of two masks differ where ``sure``, which is nearly everywhere."""
    assert sure.double().mean() > 0.99
    return int(torch.count_nonzero((found != expected) & sure))

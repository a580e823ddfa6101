"""Stored outputs of the published models, and how far from them is still equal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Golden = dict[str, npt.NDArray[Any]]

FOLDER = Path(__file__).parents[1] / "golden"
# Of the expected values' standard deviation. With AVX-512, two threads and the torch of constraints.txt nothing
# differs. Other kernels round otherwise, AVX2's by up to 2e-5, and the same model in float64 is 4e-5 away.
SAME_KERNELS = torch.backends.cpu.get_cpu_capability() == "AVX512" and torch.__version__.startswith("2.15.")
TOLERANCE = 1e-5 if SAME_KERNELS else 1e-4


def read(name: str) -> Golden:
    """All arrays of a golden file."""
    with np.load(FOLDER / f"{name}.npz") as arrays:
        return dict(arrays)


def difference(found: Tensor, expected: npt.NDArray[Any]) -> float:
    """The largest absolute difference, as a share of the expected values' standard deviation."""
    assert found.shape == expected.shape
    return float(np.abs(found.detach().numpy() - expected).max() / expected.std())

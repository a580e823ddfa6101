"""Which type numbers are kept in where a model's own may be too narrow."""

from __future__ import annotations

import torch

__all__ = ["at_least_float32"]


def at_least_float32(dtype: torch.dtype) -> torch.dtype:
    """``dtype``, or float32 in place of 16 bits, in which lengths, moments and shares of a mask lose too much."""
    return torch.promote_types(dtype, torch.float32)

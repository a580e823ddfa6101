"""Numbers that are none, where a model decides: its masks do not show what they were made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["Deciding", "same"]

DECISIONS = frozenset(
    {"argmax", "argmin", "topk", *(f"{a}{b}{a}" for a in ("", "__") for b in ("gt", "ge", "lt", "le"))}
)


class Deciding(TorchFunctionMode):
    """While it is entered, looks at what is compared.

    Attributes:
        on_nan: the first operation that was given a NaN, or nothing.
    """

    on_nan = ""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = getattr(func, "__name__", "")
        if not self.on_nan and name in DECISIONS and any(_has_nan(one) for one in args):
            self.on_nan = name.strip("_")
        return func(*args, **(kwargs or {}))


def same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal, and NaN where the other one is."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return bool(torch.where(one.isnan(), other.isnan(), one == other).all())


def _has_nan(value: object) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point() and bool(value.isnan().any())

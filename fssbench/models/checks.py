"""What a model gave, held to what it must give."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fssbench.base.errors import ModelError

__all__ = ["check_answer", "check_features", "check_inputs", "check_logits", "has_values", "is_logits", "not_finite"]


def check_inputs(query: Tensor, supports: Tensor, masks: Tensor, *, alike: bool = True) -> None:
    """Raise `ModelError` unless the three tensors are episodes of one batch, shot and size.

    Args:
        alike: whether the query must have the size of the supports.
    """
    fits = (
        query.ndim == 4
        and query.shape[1] == 3
        and supports.ndim == 5
        and masks.ndim == 4
        and supports.shape[0] == query.shape[0]
        and supports.shape[2] == query.shape[1]
        and (not alike or supports.shape[3:] == query.shape[2:])
        and masks.shape == (*supports.shape[:2], *supports.shape[3:])
    )
    if not fits:
        raise ModelError(
            "expected query (B, 3, H, W), supports (B, K, 3, H, W) and masks (B, K, H, W), got "
            f"{tuple(query.shape)}, {tuple(supports.shape)} and {tuple(masks.shape)}"
        )


def check_answer(model: nn.Module, mask: object, expected: tuple[int, ...]) -> None:
    """Raise `ModelError` unless what was predicted is a mask of the shape that was asked for."""
    name = type(model).__name__
    remedy = "predict must return (B, H, W), or float logits (B, 2, h, w) of any size, for queries of (B, 3, H, W)"
    if not isinstance(mask, Tensor):
        found = f"{type(mask).__name__}, expected a torch.Tensor of uint8 and shape {expected}"
        raise ModelError(f"{name} gave {found}", remedy=remedy)
    if tuple(mask.shape) != expected:
        raise ModelError(f"{name} gave a mask of shape {tuple(mask.shape)}, expected {expected}", remedy=remedy)
    if not has_values(mask):
        found = f"a mask of {mask.dtype}, {mask.layout} on {mask.device}, expected torch.uint8"
        raise ModelError(f"{name} gave {found}", remedy="end with .to(torch.uint8)")


def is_logits(given: object, n: int) -> bool:
    """Whether it is logits (n, 1, h, w) or (n, 2, h, w)."""
    return (
        isinstance(given, Tensor)
        and given.is_floating_point()
        and given.ndim == 4
        and (len(given) == n and given.shape[1] in (1, 2))
    )


def has_values(tensor: Tensor) -> bool:
    """Whether it holds numbers that can be compared: not complex, sparse or without memory."""
    return not (tensor.is_complex() or tensor.is_meta or tensor.layout != torch.strided)


def check_features(model: nn.Module, step: str, found: object, n: int) -> None:
    """Raise `ModelError` unless a step of a `FeatureSegmenter` gave a list of tensors (n, …)."""
    if isinstance(found, (list, tuple)) and all(isinstance(one, Tensor) and one.shape[:1] == (n,) for one in found):
        return
    given = f"a list of {', '.join(map(_shaped, found))}" if isinstance(found, (list, tuple)) else _shaped(found)
    raise ModelError(
        f"{type(model).__name__}.{step} gave {given}, expected a list of tensors ({n}, …)",
        remedy="return [features], with the batch as first dimension",
    )


def check_logits(model: nn.Module, found: object, n: int) -> None:
    """Raise `ModelError` unless `FeatureSegmenter.match` gave what it must for ``n`` episodes."""
    if (
        isinstance(found, Tensor)
        and found.ndim == 5
        and (found.shape[0], found.shape[2]) == (n, 2)
        and has_values(found)
    ):
        return
    raise ModelError(
        f"{type(model).__name__}.match gave {_shaped(found)}, expected logits ({n}, V, 2, h, w)",
        remedy="give logits of background and foreground; V is 1 where shots are merged, K where each votes",
    )


def _shaped(value: object) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__


def not_finite(model: nn.Module) -> ModelError:
    """What to raise where a model's logits are not finite: a mask made of them says nothing."""
    return ModelError(
        f"{type(model).__name__} gave logits that are NaN or infinite",
        remedy="look for a division by zero, a logarithm of zero or an overflow, as 16 bits have sooner than float32",
    )

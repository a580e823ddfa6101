"""`fssbench.metrics.count` on the device that holds the masks: only five integers leave it."""

from __future__ import annotations

import torch
from torch import Tensor

from fssbench.errors import MetricError

__all__ = ["count_on_device"]


def count_on_device(prediction: Tensor, truth: Tensor, ignore: Tensor | None) -> Tensor:
    """Count one mask against the truth; the same numbers as `fssbench.metrics.count`.

    Args:
        prediction: (H, W) uint8 or bool in {0, 1}.
        truth: (H, W) bool.
        ignore: (H, W) bool, pixels not to score, or ``None``.

    Returns:
        (5,) int64 in the order of `fssbench.metrics.COUNT_FIELDS`, on the same device.
    """
    for name, mask in (("prediction", prediction), ("ignore", ignore)):
        if mask is not None and mask.shape != truth.shape:
            raise MetricError(f"{name} {tuple(mask.shape)} and truth {tuple(truth.shape)} differ in shape")
    if prediction.dtype not in (torch.uint8, torch.bool):
        raise MetricError(f"a predicted mask must be uint8 or bool, got {prediction.dtype}")
    if prediction.dtype == torch.uint8 and bool((prediction > 1).any()):
        raise MetricError(f"a predicted mask must hold only 0 and 1, found {int(prediction.max())}")
    predicted = prediction.bool()
    scored = torch.ones_like(truth) if ignore is None else ~ignore
    inter_f = (predicted & truth & scored).sum()
    union_f = ((predicted | truth) & scored).sum()
    valid = scored.sum()
    return torch.stack([inter_f, union_f, valid - union_f, valid - inter_f, valid])

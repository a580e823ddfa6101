"""How well every pixel's class is told: pixels counted by truth and prediction, and the mIoU they make."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["confusion", "mean_iou"]


def confusion(predicted: Tensor, truth: Tensor, *, classes: int) -> Tensor:
    """Pixels by their class: (classes, classes) int64, a row for each true one; such tables add up.

    Args:
        predicted: integers of any shape, from 0 to ``classes`` - 1.
        truth: as many; what is not below ``classes`` is left out.
    """
    counted = truth < classes
    pairs = truth[counted].long() * classes + predicted[counted].long()
    return torch.bincount(pairs, minlength=classes**2).view(classes, classes)


def mean_iou(table: Tensor) -> float | None:
    """The mean IoU in [0, 1] of a table of `confusion`, over the classes but the background, which is class 0.

    Classes that are neither there nor predicted do not count; ``None`` if that is all of them.
    """
    inter = table.diagonal()[1:]
    union = table.sum(dim=0)[1:] + table.sum(dim=1)[1:] - inter
    there = union > 0
    return float((inter[there].double() / union[there]).mean()) if there.any() else None

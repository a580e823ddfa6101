"""What HDMNet is trained by: cross-entropies, and the distillation of correlation maps (section 3.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from fssbench.models.batch import IGNORED
from fssbench.models.dtypes import at_least_float32

__all__ = ["DISTILLATIONS", "Losses", "distillation_loss", "segmentation_loss"]

DISTILLATIONS = ("kl+kd", "ce+kd", "ce", "none")
NEVER = -1e9  # as a logit


@dataclass(frozen=True, kw_only=True, eq=False)
class Losses:
    """The four losses, each a scalar. The base learner's is a figure to watch: it is frozen."""

    final: Tensor
    meta: Tensor
    distillation: Tensor
    base: Tensor

    @property
    def total(self) -> Tensor:
        """What is minimised."""
        return self.final + self.meta + self.distillation + self.base


def segmentation_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Mean cross-entropy of (B, classes, H, W) with the target (B, H, W) int64, pixels of 255 left out; 0 of none."""
    total = F.cross_entropy(logits, target, ignore_index=IGNORED, reduction="sum")
    return total / target.ne(IGNORED).sum().clamp(min=1)


def distillation_loss(
    correlations: Sequence[Tensor], target: Tensor, *, method: str = "kl+kd", temperature: float = 1.0
) -> Tensor:
    """How far the correlation maps are from their teachers, averaged over the maps.

    Args:
        correlations: maps (B, h, w), coarse to fine.
        target: (B, H, W) int64, 1 where foreground, 255 where ignored.
        method: of `DISTILLATIONS` (table 6). ``kl+kd``: the ground truth teaches the coarsest map and each map
            the next finer one, by the Kullback-Leibler divergence of their distributions over positions
            (equations 8 and 9). ``ce``: the ground truth teaches every map, by the binary cross-entropy at each
            position; ``ce+kd``: only the coarsest so, the others as in ``kl+kd``. The paper names these two and
            does not define them. ``none``: 0.
        temperature: T of equation 8 (table 9).
    """
    total = correlations[0].new_zeros(())
    if method == "none":
        return total
    # The released teacher: 1 where foreground, never elsewhere, so that it is even over the foreground.
    teacher = torch.where(target == 1, 1.0, NEVER).to(at_least_float32(correlations[0].dtype))
    for level, student in enumerate(correlations):
        by_truth = method == "ce" or (method == "ce+kd" and level == 0)
        total = total + (_cross_entropy(student, target) if by_truth else _divergence(student, teacher, temperature))
        teacher = student.detach()
    return total / len(correlations)


def _divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """KL(teacher ‖ student) of maps (B, h, w) and (B, H, W) as distributions over positions, batch mean."""
    teacher = F.interpolate(teacher[:, None], student.shape[-2:], mode="bilinear", align_corners=False)
    taught = F.log_softmax(teacher.flatten(1) / temperature, dim=1)
    learned = F.log_softmax(student.flatten(1) / temperature, dim=1)
    return F.kl_div(learned, taught, reduction="batchmean", log_target=True)


def _cross_entropy(student: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy of a map (B, h, w), resized to the target's size, with it; ignored pixels left out."""
    logits = F.interpolate(student[:, None], target.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
    loss = F.binary_cross_entropy_with_logits(logits, target.eq(1).to(logits.dtype), reduction="none")
    counted = target != IGNORED
    return (loss * counted).sum() / counted.sum().clamp(min=1)

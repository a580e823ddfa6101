"""What HDMNet says of a batch."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

__all__ = ["Outputs"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Outputs:
    """What HDMNet says of a batch, at the resolution of its features.

    Attributes:
        final: (B, 2, h, w), background and foreground; merged probabilities, which the losses and the mask
            take as logits.
        meta: logits (B, 2, h, w) of the transformer alone.
        base: logits (B, 1 + base classes, h, w) of the base learner.
        correlations: maps (B, h, w) of the stages, coarse to fine.
    """

    final: Tensor
    meta: Tensor
    base: Tensor
    correlations: list[Tensor]

"""`fssbench.scoring.metrics.tally` on the device that holds the masks: only six integers a size leave it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fssbench.base.errors import MaskShapeError, MaskTypeError, MaskValueError
from fssbench.episodes.protocols import ScoringPolicy
from fssbench.models.interface import resize_mask
from fssbench.schemas.samples import MaskSize
from fssbench.scoring.metrics import counts_of

__all__ = ["policy_counts", "tally_on_device"]


def tally_on_device(prediction: Tensor, truth: Tensor, ignore: Tensor | None) -> Tensor:
    """Count the pixels of one mask by what the truth says; the same numbers as `fssbench.scoring.metrics.tally`.

    Args:
        prediction: (H, W) uint8 or bool in {0, 1}.
        truth: (H, W) bool.
        ignore: (H, W) bool, pixels not to score, disjoint from ``truth``; or ``None``.

    Returns:
        (3, 2) int64 on the same device.
    """
    for name, mask in (("prediction", prediction), ("ignore", ignore)):
        if mask is not None and mask.shape != truth.shape:
            raise MaskShapeError(f"{name} {tuple(mask.shape)} and truth {tuple(truth.shape)} differ in shape")
    if prediction.dtype not in (torch.uint8, torch.bool):
        raise MaskTypeError(f"a predicted mask must be uint8 or bool, got {prediction.dtype}")
    if prediction.dtype == torch.uint8 and bool((prediction > 1).any()):
        raise MaskValueError(f"a predicted mask must hold only 0 and 1, found {int(prediction.max())}")
    joint = prediction.to(torch.uint8) + 2 * truth.to(torch.uint8)
    if ignore is not None:
        joint += 4 * ignore.to(torch.uint8)
    return torch.bincount(joint.flatten(), minlength=6).reshape(3, 2)


def policy_counts(
    masks: Mapping[MaskSize, Tensor], truth: Tensor, ignore: Tensor | None, policies: Sequence[ScoringPolicy]
) -> npt.NDArray[np.int64]:
    """Counts (P, 5) int64 of one episode, the policies of one size from one pass over one mask.

    Args:
        masks: the predicted mask (h, w) uint8 in {0, 1} by size.
        truth: (H, W) bool at the query's own size.
        ignore: (H, W) bool, likewise, or ``None``.
    """
    tallies = {}
    for size, mask in masks.items():
        shape = (mask.shape[-2], mask.shape[-1])
        ignored = None if ignore is None else resize_mask(ignore, shape)
        tallies[size] = tally_on_device(mask, resize_mask(truth, shape), ignored).cpu().numpy()
    return np.stack([counts_of(tallies[p.size], exclude_ignored=p.exclude_ignored) for p in policies])

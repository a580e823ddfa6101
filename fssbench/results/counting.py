"""`fssbench.scoring.metrics.tally` on the device that holds the masks: a few sums a mask leave it, together.

The sums say everything of a mask that its scores need, so no device is waited for while masks are counted.
"""

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
from fssbench.scoring.counts import QueryFacts
from fssbench.scoring.metrics import counts_of

__all__ = ["N_SUMS", "facts_of", "pixel_sums", "policy_counts", "scored", "tallies"]

N_SUMS = 7

TALLY_OF_SUMS = np.array(
    [  # pixels, predicted, foreground, both, ignored, ignored and predicted
        [1, -1, -1, 1, -1, 1],  # background
        [0, 1, 0, -1, 0, -1],  # background, predicted
        [0, 0, 1, -1, 0, 0],  # foreground
        [0, 0, 0, 1, 0, 0],  # foreground, predicted
        [0, 0, 0, 0, 1, -1],  # ignored
        [0, 0, 0, 0, 0, 1],  # ignored, predicted
    ]
)


def pixel_sums(prediction: Tensor, truth: Tensor, ignore: Tensor | None) -> Tensor:
    """What `tallies` needs of one mask, added up on the device that holds it.

    Args:
        prediction: (H, W) uint8 or bool in {0, 1}.
        truth: (H, W) bool.
        ignore: (H, W) bool, pixels not to score, disjoint from ``truth``; or ``None``.

    Returns:
        (7,) int64: all pixels, those predicted, foreground, both, ignored, ignored and predicted; the largest value.
    """
    for name, mask in (("prediction", prediction), ("ignore", ignore)):
        if mask is not None and mask.shape != truth.shape:
            raise MaskShapeError(f"{name} {tuple(mask.shape)} and truth {tuple(truth.shape)} differ in shape")
    if prediction.dtype not in (torch.uint8, torch.bool):
        raise MaskTypeError(f"a predicted mask must be uint8 or bool, got {prediction.dtype}")
    predicted = prediction.view(torch.bool)
    masks = [predicted, truth, predicted & truth]
    if ignore is not None:
        masks += [ignore, predicted & ignore]
    return (_sums_of_numpy if truth.device.type == "cpu" else _sums_on_device)(masks, prediction)


def _sums_of_numpy(masks: Sequence[Tensor], prediction: Tensor) -> Tensor:
    """By numpy, which on a CPU adds bools up seven times as fast."""
    ones = [np.count_nonzero(mask.numpy()) for mask in masks]
    most = int(prediction.max()) if prediction.numel() else 0
    return torch.tensor([prediction.numel(), *ones, *[0] * (N_SUMS - 2 - len(ones)), most])


def _sums_on_device(masks: Sequence[Tensor], prediction: Tensor) -> Tensor:
    """By kernels alone: nothing is waited for."""
    none = prediction.new_zeros((), dtype=torch.int64)
    ones = [mask.sum() for mask in masks]
    most = prediction.max().long() if prediction.numel() else none
    return torch.stack([none + prediction.numel(), *ones, *[none] * (N_SUMS - 2 - len(ones)), most])


def tallies(sums: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Tallies (…, 3, 2) as `fssbench.scoring.metrics.tally` gives them, of masks whose `pixel_sums` (…, 7) are here.

    Raises:
        MaskValueError: a mask had other values than 0 and 1.
    """
    if (most := int(sums[..., -1].max(initial=0))) > 1:
        raise MaskValueError(f"a predicted mask must hold only 0 and 1, found {most}")
    told: npt.NDArray[np.int64] = sums[..., :-1] @ TALLY_OF_SUMS.T
    return told.reshape(*sums.shape[:-1], 3, 2)


def scored(
    sums: npt.NDArray[np.int64], sizes: Sequence[MaskSize], policies: Sequence[ScoringPolicy]
) -> npt.NDArray[np.int64]:
    """Counts (P, 5) int64 of one episode from its `pixel_sums` (S, 7) at each of ``sizes``; errors as `tallies`."""
    tallied = tallies(sums)
    return np.stack([counts_of(tallied[sizes.index(p.size)], exclude_ignored=p.exclude_ignored) for p in policies])


def facts_of(sums: npt.NDArray[np.int64], n_classes: int | None) -> QueryFacts:
    """What a query is, from the `pixel_sums` (7,) of any mask of it at its own size."""
    return QueryFacts(object_pixels=int(sums[2]), image_pixels=int(sums[0]), n_classes=n_classes)


def policy_counts(
    masks: Mapping[MaskSize, Tensor], truth: Tensor, ignore: Tensor | None, policies: Sequence[ScoringPolicy]
) -> npt.NDArray[np.int64]:
    """Counts (P, 5) int64 of one episode, the policies of one size from one pass over one mask.

    Args:
        masks: the predicted mask (h, w) uint8 in {0, 1} by size.
        truth: (H, W) bool at the query's own size.
        ignore: (H, W) bool, likewise, or ``None``.
    """
    sums = []
    for mask in masks.values():
        shape = (mask.shape[-2], mask.shape[-1])
        ignored = None if ignore is None else resize_mask(ignore, shape)
        sums.append(pixel_sums(mask, resize_mask(truth, shape), ignored))
    return scored(torch.stack(sums).cpu().numpy(), list(masks), policies)

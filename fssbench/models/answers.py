"""From what a model gave to masks of the sizes asked for, by the way the image went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fssbench.base.errors import ModelError
from fssbench.models.checks import has_values
from fssbench.models.geometry import Geometry, Size
from fssbench.models.preprocess import resize_mask

__all__ = ["ANSWERS", "as_answer", "content_of", "masks_at"]

ANSWERS = (
    "return a mask (H, W) of bool or {0, 1}, or logits, (2, H, W) of background and foreground or (1, H, W) of "
    "foreground, of any size"
)


def as_answer(given: Any, *, of: str) -> Tensor:
    """One answer as a mask (h, w) uint8 in {0, 1} or logits (2, h, w) float32.

    Args:
        given: a mask (h, w) of bool or {0, 1}; logits (2, h, w) or (1, h, w), of which 0 is the threshold; either
            with a batch of 1 before it; a tensor, an array or an image of Pillow.
        of: whose answer it is, for messages.

    Raises:
        ModelError: it is neither, or logits are not finite.
    """
    answer = (given if isinstance(given, Tensor) else torch.from_numpy(_contiguous(given, of))).detach()
    if answer.layout != torch.strided or not has_values(answer):
        raise ModelError(f"{of} gave {answer.dtype}, {answer.layout} on {answer.device}", remedy=ANSWERS)
    logits = answer.is_floating_point()
    if answer.ndim == 3 + logits and answer.shape[0] == 1:
        answer = answer[0]
    if not logits and answer.ndim == 2:
        if answer.dtype != torch.bool and bool(((answer != 0) & (answer != 1)).any()):
            raise ModelError(f"{of} gave a mask with other values than 0 and 1", remedy=ANSWERS)
        return answer.to(torch.uint8)
    if logits and answer.ndim == 3 and answer.shape[0] in (1, 2):
        if not bool(answer.isfinite().all()):
            raise ModelError(
                f"{of} gave logits that are NaN or infinite", remedy="look for a division by zero or an overflow"
            )
        answer = answer.float()
        return answer if len(answer) == 2 else torch.cat([torch.zeros_like(answer), answer])
    raise ModelError(f"{of} gave {answer.dtype} of shape {tuple(answer.shape)}", remedy=ANSWERS)


def masks_at(answer: Tensor, sizes: Sequence[Size], *, geometry: Geometry | None = None) -> list[Tensor]:
    """An answer as masks (h, w) uint8 of the image at each of ``sizes``.

    A mask is resized by torch's nearest rule. Logits are resized bilinearly (pixels as points at their centres), and
    foreground is where its logit is the greater one.

    Args:
        answer: from `as_answer`.
        geometry: where the image lies in the input that the answer is about; ``None`` if it fills it.
    """
    if answer.ndim == 2:
        if geometry is not None and geometry.padded:
            answer = resize_mask(answer, geometry.input)[geometry.window]
        return [resize_mask(answer, size) for size in sizes]
    logits = answer if geometry is None else content_of(answer[None], geometry)[0]
    resized = [F.interpolate(logits[None], size, mode="bilinear", align_corners=False)[0] for size in sizes]
    return [(one[1] > one[0]).to(torch.uint8) for one in resized]


def content_of(logits: Tensor, geometry: Geometry, *, corners: bool = False) -> Tensor:
    """Of logits (N, C, h, w) of a whole input those of the image in it, at the input's scale; all if it fills it.

    Args:
        corners: whether resizing lays corners on corners, or else centres on centres.
    """
    if not geometry.padded:
        return logits
    whole = F.interpolate(logits, geometry.input, mode="bilinear", align_corners=corners)
    return whole[..., *geometry.window]


def _contiguous(given: Any, of: str) -> Any:
    array = np.ascontiguousarray(given)
    if array.dtype.kind not in "buif":
        raise ModelError(f"{of} gave {type(given).__name__} ({array.dtype})", remedy=ANSWERS)
    return array.astype(np.int64) if array.dtype.kind == "u" else array

"""What askers of every kind share: inputs put together, arithmetic, and answers held to the sizes asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fssbench.base.errors import ModelError
from fssbench.engine.inference import InferenceSettings
from fssbench.engine.prepared import PreparedFrame
from fssbench.models.checks import check_answer
from fssbench.models.interface import FeatureSegmenter, FewShotSegmenter, Preprocess, Size

__all__ = [
    "Asked",
    "batch_of",
    "cast",
    "give_back",
    "held_of_frames",
    "images_of",
    "masks_of_frames",
    "only",
    "short_of_memory",
]

# The last two are libraries', such as CUBLAS_STATUS_ALLOC_FAILED.
NO_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "bad allocation",
    "alloc_failed",
    "allocation_failed",
)


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What was asked, still on the device and perhaps not computed yet.

    Attributes:
        masks: of each episode (h, w) uint8, one for each size.
        finite: (N,) bool, whether they are made of finite numbers.
    """

    masks: list[list[Tensor]]
    finite: Tensor


def batch_of(model: FewShotSegmenter, device: str, inference: InferenceSettings) -> int:
    """How many episodes the model is asked at a time, before memory runs out."""
    together = isinstance(model, FeatureSegmenter) or model.batched
    fits = together and model.preprocess.shape is not None and not model.needs_gradients
    return inference.batch_on(device) if fits else 1


def short_of_memory(error: RuntimeError) -> bool:
    """Whether an error says that memory ran out, on whatever device."""
    return isinstance(error, torch.OutOfMemoryError) or any(sign in str(error).lower() for sign in NO_MEMORY)


def give_back(device: str) -> None:
    """Free what torch holds of a GPU's memory but nothing lies in: in pieces it may be too small for anything."""
    if device.startswith("cuda"):
        torch.cuda.empty_cache()


def images_of(frames: Sequence[PreparedFrame], preprocess: Preprocess, device: str, *, read: bool = True) -> Tensor:
    """Frames' images (N, 3, s, s) float32, normalised; zeros that take no memory where they are not read."""
    if not read:
        return torch.zeros((), device=device).expand(len(frames), 3, *frames[0].mask.shape)
    return preprocess.normalise(_together([one.pixels for one in frames], device))


def masks_of_frames(frames: Sequence[PreparedFrame], device: str, *, as_bools: bool = False) -> Tensor:
    """Frames' masks (N, s, s), float32 as models expect them."""
    masks = _together([one.mask for one in frames], device)
    return masks if as_bools else masks.float()


def held_of_frames(frames: Sequence[PreparedFrame]) -> Tensor:
    """The same masks on the CPU (N, s, s) bool."""
    return _together([one.held for one in frames], "cpu")


def _together(tensors: Sequence[Tensor], device: str) -> Tensor:
    """Tensors of one shape as one (N, …) on a device; a single one where it lies."""
    there = [one.to(device, non_blocking=True) for one in tensors]
    return there[0][None] if len(there) == 1 else torch.stack(there)


def cast(device: str, dtype: torch.dtype) -> torch.autocast:
    """Lets torch compute in ``dtype`` what it can; nothing for float32."""
    return torch.autocast(device.partition(":")[0], dtype=dtype, enabled=dtype != torch.float32)


def only(model: FewShotSegmenter, masks: Sequence[Tensor], sizes: Sequence[Size]) -> list[Tensor]:
    """The masks (h, w) of the one episode asked, out of (1, h, w); `ModelError` if one has not the size asked for."""
    if not isinstance(masks, (list, tuple)) or len(masks) != len(sizes):
        given = f"{len(masks)} masks" if isinstance(masks, (list, tuple)) else type(masks).__name__
        raise ModelError(
            f"{type(model).__name__}.predict_sizes gave {given}, expected a list of {len(sizes)}",
            remedy="return one mask for each size asked for, in that order",
        )
    for mask, size in zip(masks, sizes, strict=True):
        check_answer(model, mask, (1, *size))
    return [mask[0] for mask in masks]

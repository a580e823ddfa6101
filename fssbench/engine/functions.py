"""A plain function, or a module that knows nothing of fssbench, as a model."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fssbench.base.errors import ModelError
from fssbench.models.blame import called
from fssbench.models.interface import FewShotSegmenter, Preprocess, Size, resize_mask
from fssbench.pipelines.episode_sets.loaded_episode import LoadedEpisode

__all__ = ["FunctionSegmenter", "ModuleSegmenter", "as_segmenter", "masks_at", "source_sha256", "state_sha256"]

ANSWERS = "return a mask (H, W) of bool or {0, 1}, or logits (2, H, W) of background and foreground, of any size"


class FunctionSegmenter(FewShotSegmenter):
    """A function that is shown the images as they are: ``f(episode)``, or ``f(query, supports, masks)``.

    With one parameter it is given a `LoadedEpisode`, which knows the class's name and ignored pixels too. With three
    it is given the query's image (H, W, 3) uint8 and, for each shot, a support's image and its mask (H, W) bool.
    """

    reads_pixels = False

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function
        self.takes_episode = _parameters(function) == 1

    def answer(self, episode: LoadedEpisode, sizes: Sequence[Size]) -> list[Tensor]:
        """The function's mask (h, w) uint8 at each of ``sizes``.

        Raises:
            ModelError: what it gave is not an answer.
        """
        # As if nobody had called it but its author: it may use gradients of its own.
        with torch.inference_mode(False):
            if self.takes_episode:
                given = self.function(episode)
            else:
                shown = [support.image for support in episode.supports]
                given = self.function(episode.query.image, shown, [support.mask for support in episode.supports])
        return masks_at(given, sizes, of=called(self.function))

    def predict(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        """Not to be asked for: the function is shown images as they are, not tensors."""
        raise ModelError(f"{called(self.function)} answers episodes with their images, not tensors")


class ModuleSegmenter(FewShotSegmenter):
    """A module called as ``module(query, supports, masks)`` with tensors as in `FewShotSegmenter.predict`.

    It gives masks (B, H, W) of bool or {0, 1}, or logits (B, 2, H, W), of any size. If it has a ``preprocess``, that
    makes its inputs.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        if isinstance(given := getattr(module, "preprocess", None), Preprocess):
            self.preprocess = given

    def predict(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        """The mask (B, H, W) uint8 at the input's own size."""
        return self.predict_sizes(query, supports, masks, [(query.shape[-2], query.shape[-1])])[0]

    def predict_sizes(self, query: Tensor, supports: Tensor, masks: Tensor, sizes: Sequence[Size]) -> list[Tensor]:
        """`predict` at each of ``sizes``: a list of (B, h, w) uint8."""
        with torch.no_grad():
            given = self.module(query, supports, masks)
        each = [masks_at(one, sizes, of=type(self.module).__name__) for one in given]
        return [torch.stack(at) for at in zip(*each, strict=True)]


def as_segmenter(model: FewShotSegmenter | nn.Module | Callable[..., Any]) -> FewShotSegmenter:
    """A model, a module or a function as something the engine can ask."""
    if isinstance(model, FewShotSegmenter):
        return model
    return ModuleSegmenter(model) if isinstance(model, nn.Module) else FunctionSegmenter(model)


def masks_at(given: Any, sizes: Sequence[Size], *, of: str) -> list[Tensor]:
    """One answer as masks (h, w) uint8 at each of ``sizes``.

    A mask is resized by torch's nearest rule. Logits are resized bilinearly (pixels as points at their centres), and
    foreground is where its logit is the greater one.

    Args:
        given: a mask (h, w) of bool or {0, 1}, or logits (2, h, w); an array or a tensor.
        of: whose answer it is, for messages.

    Raises:
        ModelError: it is neither.
    """
    answer = given if isinstance(given, Tensor) else torch.from_numpy(_contiguous(given, of))
    answer = answer.detach()
    if answer.ndim == 2 and not answer.is_floating_point():
        if answer.dtype != torch.bool and bool(((answer != 0) & (answer != 1)).any()):
            raise ModelError(f"{of} gave a mask with other values than 0 and 1", remedy=ANSWERS)
        mask = answer.to(torch.uint8)
        return [resize_mask(mask, size) for size in sizes]
    if answer.ndim == 3 and answer.shape[0] == 2 and answer.is_floating_point():
        if not bool(answer.isfinite().all()):
            raise ModelError(
                f"{of} gave logits that are NaN or infinite", remedy="look for a division by zero or an overflow"
            )
        logits = answer.float()[None]
        resized = [F.interpolate(logits, size, mode="bilinear", align_corners=False)[0] for size in sizes]
        return [(one[1] > one[0]).to(torch.uint8) for one in resized]
    raise ModelError(f"{of} gave {answer.dtype} of shape {tuple(answer.shape)}", remedy=ANSWERS)


def _contiguous(given: Any, of: str) -> Any:
    array = np.ascontiguousarray(given)
    if array.dtype.kind not in "buif":
        raise ModelError(f"{of} gave {type(given).__name__} ({array.dtype})", remedy=ANSWERS)
    return array.astype(np.int64) if array.dtype.kind == "u" else array


def _parameters(function: Callable[..., Any]) -> int:
    """How many arguments a function must be given: 1 or 3."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some built-in callables do not say
        return 3
    needed = [p for p in parameters if p.kind in kinds and p.default is inspect.Parameter.empty]
    if len(needed) not in (1, 3):
        raise ModelError(
            f"{called(function)} takes {len(needed)} arguments",
            remedy="take one, the episode, or three: the query's image, the supports' images, and their masks",
        )
    return len(needed)


def source_sha256(model: object) -> str | None:
    """SHA-256 of the source text of a function or class; ``None`` where Python does not know it."""
    try:
        text = inspect.getsource(model if inspect.isroutine(model) else type(model))
    except (OSError, TypeError):
        return None
    return hashlib.sha256(text.encode()).hexdigest()


def state_sha256(module: nn.Module) -> str | None:
    """SHA-256 of a module's tensors with their names, types and shapes; ``None`` if it has none."""
    state = module.state_dict()
    if not state:
        return None
    found = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()

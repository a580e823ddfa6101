"""A plain function, or a module that knows nothing of fssbench, as a model."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from fssbench.base.errors import ModelError
from fssbench.models.answers import as_answer
from fssbench.models.blame import called
from fssbench.models.episode import EpisodeSegmenter
from fssbench.models.preprocess import Preprocess
from fssbench.models.segmenter import FewShotSegmenter

__all__ = ["FunctionSegmenter", "ModuleSegmenter", "answers_episodes"]

FORMS = (["episode"], ["query", "supports", "masks"])
"""Parameters by which a function in a file is known to answer episodes, and not to build a model."""


class FunctionSegmenter(EpisodeSegmenter):
    """A function that is shown the images as they are: ``f(episode)``, or ``f(query, supports, masks)``.

    With one parameter it is given the episode. With three it is given the query's image (H, W, 3) uint8 and, for each
    shot, a support's image and its mask (H, W) bool.

    Attributes:
        whole: whether it is given episodes as ``load`` gives them, truth and all; what Python hands over may be a
            bound of what is possible, and is never official.
    """

    needs_gradients = True  # as if nobody had called it but its author

    def __init__(self, function: Callable[..., Any], *, whole: bool = False) -> None:
        super().__init__()
        self.function, self.whole = function, whole
        if whole:
            # Its answers are of any size; this is the size at which they are scored beside their own.
            self.preprocess = Preprocess()
        self.takes_episode = _parameters(function) == 1
        self.uses_class_names = bool(getattr(function, "uses_class_names", False))

    def segment(self, episode: Any) -> Any:
        """What the function gives."""
        if self.takes_episode:
            return self.function(episode)
        shown = [support.image for support in episode.supports]
        return self.function(episode.query.image, shown, [support.mask for support in episode.supports])


class ModuleSegmenter(FewShotSegmenter):
    """A module called as ``module(query, supports, masks)`` with tensors as in `FewShotSegmenter.predict`.

    If it has a ``preprocess``, that makes its inputs.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        for name, kind in (("preprocess", Preprocess), ("batched", bool), ("needs_gradients", bool)):
            if isinstance(given := getattr(module, name, None), kind):
                setattr(self, name, given)

    def predict(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        """What the module gives: masks (B, h, w), or logits (B, 2, h, w) or (B, 1, h, w), of any size."""
        with nullcontext() if self.needs_gradients else torch.no_grad():
            given: Tensor = self.module(query, supports, masks)
        return given

    def _given(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        return torch.stack([as_answer(one, of=called(self.module)) for one in self.predict(query, supports, masks)])


def answers_episodes(function: object) -> bool:
    """Whether it is a function of an episode: ``f(episode)`` or ``f(query, supports, masks)``, by these names."""
    return inspect.isfunction(function) and [p.name for p in _needed(function)] in FORMS


def _needed(function: Callable[..., Any]) -> list[inspect.Parameter]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    return [p for p in parameters if p.kind in kinds and p.default is inspect.Parameter.empty]


def _parameters(function: Callable[..., Any]) -> int:
    """How many arguments a function must be given: 1 or 3."""
    try:
        needed = _needed(function)
    except (TypeError, ValueError):  # some built-in callables do not say
        return 3
    if len(needed) not in (1, 3):
        raise ModelError(
            f"{called(function)} takes {len(needed)} arguments",
            remedy="take one, the episode, or three: the query's image, the supports' images, and their masks",
        )
    return len(needed)

"""Errors of a model's answers name the episodes that it was asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor

from fssbench.base.errors import MetricError, ModelError
from fssbench.models.blame import blamed, called
from fssbench.models.checks import not_finite
from fssbench.models.functions import FunctionSegmenter, ModuleSegmenter
from fssbench.models.interface import FewShotSegmenter

__all__ = ["author", "naming", "require_finite"]


def author(model: FewShotSegmenter) -> object:
    """Whose code answers: the model, or the function or module that it stands for."""
    if isinstance(model, FunctionSegmenter):
        return model.function
    return model.module if isinstance(model, ModuleSegmenter) else model


@contextmanager
def naming(model: FewShotSegmenter, episodes: Sequence[str]) -> Iterator[None]:
    """Let what a model's code raises in the block, and what is wrong with its answer, name ``episodes``."""
    try:
        with blamed(author(model)):
            yield
    except (ModelError, MetricError) as error:
        where = episodes[0] if len(episodes) == 1 else f"one of {', '.join(episodes)}, which were asked together"
        whose = "" if error.problem.startswith(called(author(model))) else f"{called(author(model))}: "
        raise type(error)(f"{whose}{error.problem}, in {where}", remedy=error.remedy) from error


def require_finite(model: FewShotSegmenter, finite: Tensor, episodes: Sequence[str]) -> None:
    """Raise `ModelError` for the first episode whose logits are not finite numbers.

    Args:
        model: that gave them.
        finite: (B,) bool, of at least as many as there are episodes. That they are looked at together makes a GPU
            wait once for all.
        episodes: how messages call them.
    """
    for name, fine in zip(episodes, finite.tolist(), strict=False):
        if not fine:
            with naming(model, [name]):
                raise not_finite(model)

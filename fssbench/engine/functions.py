"""What Python hands over as a model, and what tells its code and weights from others'."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from fssbench.models.functions import FunctionSegmenter, ModuleSegmenter
from fssbench.models.interface import FewShotSegmenter

__all__ = ["as_segmenter", "source_sha256", "state_sha256"]


def as_segmenter(model: FewShotSegmenter | nn.Module | Callable[..., Any]) -> FewShotSegmenter:
    """A model, a module or a function as something the engine can ask."""
    if isinstance(model, FewShotSegmenter):
        return model
    return ModuleSegmenter(model) if isinstance(model, nn.Module) else FunctionSegmenter(model, whole=True)


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

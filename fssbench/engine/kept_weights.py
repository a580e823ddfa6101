"""A model that learns while it answers has the same weights at the beginning of every episode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch

from fssbench.models.interface import FewShotSegmenter

__all__ = ["KeptWeights"]


class KeptWeights:
    """A copy of the weights of a model that computes gradients; of any other, nothing."""

    def __init__(self, model: FewShotSegmenter) -> None:
        self.model = model
        state = model.state_dict() if model.needs_gradients else {}
        self.state = {name: tensor.detach().clone() for name, tensor in state.items()}

    @contextmanager
    def asking(self) -> Iterator[None]:
        """As `restored`, without any gradients if the model needs none."""
        with self.restored(), nullcontext() if self.model.needs_gradients else torch.inference_mode():
            yield

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Enable gradients in the block if the model needs them, and put the weights back after it."""
        if not self.model.needs_gradients:
            yield
            return
        with torch.enable_grad():
            yield
        if self.state:
            self.model.load_state_dict(self.state)
            self.model.zero_grad()
            self.model.eval()

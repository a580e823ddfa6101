"""What training data must know of the model it is made for. Models come later in the line, so it is only described."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

__all__ = ["Preprocessing"]


class Preprocessing(Protocol):
    """How an image becomes a model's input: `fssbench.models.interface.Preprocess`."""

    @property
    def size(self) -> int:
        """The side of the square that the model works at."""
        ...

    @property
    def mean(self) -> tuple[float, float, float]:
        """Of each RGB channel, in [0, 1]: the colour that says nothing to the model."""
        ...

    @property
    def antialias(self) -> bool:
        """Whether resizing averages what it shrinks."""
        ...

    def image(self, pixels: npt.NDArray[np.uint8]) -> Tensor:
        """RGB pixels (H, W, 3) uint8 → (3, size, size) in [0, 255], squashed to the square."""
        ...

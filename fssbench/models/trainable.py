"""What a model offers to be trained: which parameters learn how fast, and the loss of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, runtime_checkable

from torch import Tensor, nn

__all__ = ["Group", "Step", "Trainable"]

B = TypeVar("B", contravariant=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class Group:
    """Parameters that learn alike.

    Attributes:
        name: for the log and for the recipe's overrides.
        rate: the factor on the recipe's learning rate.
    """

    name: str
    parameters: tuple[nn.Parameter, ...]
    rate: float = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """What a batch gave.

    Attributes:
        loss: () float32, to be minimised; a mean over the batch, so that equal parts of it average.
        parts: its named terms, detached, for the log.
        predictions: (B, s, s) integer, the predicted classes, detached, for the running mIoU.
        answer: the term of the loss that is about the answer alone, which validation tells; ``None`` for all of it.
    """

    loss: Tensor
    parts: Mapping[str, Tensor]
    predictions: Tensor
    answer: Tensor | None = None


@runtime_checkable
class Trainable(Protocol, Generic[B]):
    """A module that can be trained on batches ``B`` (episodes, or images with labels)."""

    def groups(self) -> list[Group]:
        """The parameters that learn; all others stay as they are."""
        ...

    def learn(self) -> None:
        """Enter training mode: what is frozen, and batch norms that must not learn, stay in eval mode."""
        ...

    def step(self, batch: B) -> Step:
        """The loss of a batch whose tensors are on the model's device; normalises the images itself.

        In eval mode, on episodes of base classes that are held out, it says how good the weights are.
        """
        ...

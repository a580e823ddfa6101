"""What a training step is given: images and masks at the model's size, augmented, not yet normalised."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TypeVar

from torch import Tensor

from fssbench.episodes.episodes import Episode

__all__ = ["IGNORED", "EpisodeBatch", "SemanticBatch", "on_device"]

B = TypeVar("B")

IGNORED = 255
"""The value in a target of pixels that have no truth: ignored ones, and those an augmentation brought in."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EpisodeBatch:
    """Episodes of B queries with K supports each, at side s, on the CPU.

    Attributes:
        epoch: that the episodes belong to.
        indices: of the B episodes in their epoch.
        episodes: they themselves, to be named where something goes wrong.
        query: (B, 3, s, s) uint8 RGB.
        query_target: (B, s, s) uint8, 1 where the class is, 0 elsewhere, `IGNORED` where there is no truth.
        support: (B, K, 3, s, s) uint8 RGB.
        support_target: (B, K, s, s) uint8, likewise.
        class_ids: (B,) int64, the episodes' classes as the benchmark counts them.
        class_positions: (B,) int64, the positions of those classes among the fold's base classes; -1 for none of them.
        query_labels: (B, s, s) uint8, the query's base classes: 0 for none of them, 1 + the position of the class
            among the fold's base classes, `IGNORED` where there is no truth; all `IGNORED` if there are more base
            classes than a byte has values for, as in FSS-1000.
    """

    epoch: int
    indices: tuple[int, ...]
    episodes: tuple[Episode, ...]
    query: Tensor
    query_target: Tensor
    support: Tensor
    support_target: Tensor
    class_ids: Tensor
    class_positions: Tensor
    query_labels: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class SemanticBatch:
    """Images with all their base classes, for a model that is not a few-shot model yet (HDMNet's base learner).

    Attributes:
        epoch: that the images belong to.
        indices: of the B images in their epoch.
        image_ids: theirs.
        images: (B, 3, s, s) uint8 RGB.
        labels: (B, s, s) uint8, as `EpisodeBatch.query_labels`.
    """

    epoch: int
    indices: tuple[int, ...]
    image_ids: tuple[str, ...]
    images: Tensor
    labels: Tensor


def on_device(batch: B, device: str) -> B:
    """A batch with its tensors on ``device``."""
    tensors = {f.name: getattr(batch, f.name) for f in fields(batch)}  # type: ignore[arg-type]
    moved = {name: t.to(device, non_blocking=True) for name, t in tensors.items() if isinstance(t, Tensor)}
    return replace(batch, **moved)  # type: ignore[type-var]

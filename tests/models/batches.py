"""Small batches to learn from, drawn as coloured noise with one object."""

from __future__ import annotations

import torch

from fssbench.episodes.episodes import Episode
from fssbench.models.batch import IGNORED, EpisodeBatch, SemanticBatch

SIDE = 65  # maps of 9, 5 and 3 positions a side
OWN = 3  # position of the class asked for among the base classes
OTHER = 7  # of another, in the query too


def episode_batch(size: int = 2, *, shot: int = 1, side: int = SIDE) -> EpisodeBatch:
    """Episodes whose object is brighter than what is around it."""
    generator = torch.Generator().manual_seed(0)
    target = torch.zeros(size, 1 + shot, side, side, dtype=torch.uint8)
    target[..., 10:40, 20:50] = 1
    target[..., :3, :] = IGNORED
    noise = torch.randint(0, 120, (size, 1 + shot, 3, side, side), generator=generator, dtype=torch.uint8)
    images = noise + 120 * target.eq(1)[:, :, None].to(torch.uint8)
    labels = torch.where(target[:, 0] == 1, 1 + OWN, target[:, 0])
    labels[:, 50:60, 5:30] = 1 + OTHER
    return EpisodeBatch(
        epoch=0,
        indices=tuple(range(size)),
        episodes=tuple(Episode(class_id=4, query="q", supports=("s",) * shot) for _ in range(size)),
        query=images[:, 0],
        query_target=target[:, 0],
        support=images[:, 1:],
        support_target=target[:, 1:],
        class_ids=torch.full((size,), 4),
        class_positions=torch.full((size,), OWN),
        query_labels=labels.to(torch.uint8),
    )


def semantic_batch(size: int = 2, *, side: int = SIDE) -> SemanticBatch:
    """The queries of `episode_batch`."""
    batch = episode_batch(size, side=side)
    return SemanticBatch(
        epoch=0,
        indices=batch.indices,
        image_ids=tuple(f"image{i}" for i in batch.indices),
        images=batch.query,
        labels=batch.query_labels,
    )

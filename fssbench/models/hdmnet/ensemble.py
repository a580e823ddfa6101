"""The ensemble with the base learner (BAM, Lang et al., CVPR 2022, section 4.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["base_foreground", "gram_matrix", "merge", "merging", "scene_difference", "shot_weights"]

EPSILON = 1e-7


def gram_matrix(x: Tensor) -> Tensor:
    """A map (N, C, h, w) → the cosine similarity of its channels with each other, (N, C, C)."""
    flat = x.flatten(2)  # (N, C, h·w)
    length: Tensor = torch.linalg.vector_norm(flat, dim=2, keepdim=True)  # (N, C, 1)
    gram: Tensor = flat @ flat.transpose(1, 2) / (length @ length.transpose(1, 2) + EPSILON)
    return gram


def shot_weights(shot: int) -> nn.Sequential:
    """From the sorted differences (B, K, 1, 1) to the shots' weights before the softmax, (B, K, 1, 1)."""
    return nn.Sequential(nn.Conv2d(shot, 2, 1), nn.ReLU(inplace=True), nn.Conv2d(2, shot, 1))


def scene_difference(query: Tensor, supports: Tensor, *, weigh: nn.Module | None) -> Tensor:
    """How much the supports' Gram matrices differ from the query's, per entry.

    Args:
        query: (B, C, C).
        supports: (B, K, C, C).
        weigh: `shot_weights`, by which several shots are averaged; ``None`` for one.

    Returns:
        (B,).
    """
    apart: Tensor = torch.linalg.matrix_norm(query[:, None] - supports) / query.shape[-1]  # (B, K)
    if weigh is None:
        return apart[:, 0]
    # As published: the weights of the sorted differences multiply the unsorted ones.
    weights: Tensor = weigh(apart.sort(dim=1).values[..., None, None])[..., 0, 0].softmax(dim=1)  # (B, K)
    return (weights * apart).sum(dim=1)


def merging() -> nn.Conv2d:
    """A weighted sum of two maps that begins as the first of them: (B, 2, h, w) → (B, 1, h, w)."""
    convolution = nn.Conv2d(2, 1, 1, bias=False)
    with torch.no_grad():
        convolution.weight.copy_(torch.tensor([1.0, 0.0]).view(1, 2, 1, 1))
    return convolution


def merge(
    meta: Tensor,
    base: Tensor,
    difference: Tensor,
    *,
    gram_merge: nn.Module,
    cls_merge: nn.Module,
    leave_out: Tensor | None,
) -> Tensor:
    """The ensemble's background and foreground, (B, 2, h, w).

    Args:
        meta: logits (B, 2, h, w) of the transformer.
        base: logits (B, 1 + classes, h, w) of the base learner.
        difference: (B,) of `scene_difference`.
        gram_merge: adjusts both probabilities by the difference.
        cls_merge: adds to the background what is of a base class.
        leave_out: see `base_foreground`.
    """
    probabilities = meta.softmax(dim=1)
    apart = difference.view(-1, 1, 1, 1).expand_as(meta[:, :1])  # (B, 1, h, w)
    background = gram_merge(torch.cat([probabilities[:, :1], apart], dim=1))
    foreground = gram_merge(torch.cat([probabilities[:, 1:], apart], dim=1))
    others = base_foreground(base, leave_out)  # (B, 1, h, w)
    return torch.cat([cls_merge(torch.cat([background, others], dim=1)), foreground], dim=1)


def base_foreground(logits: Tensor, leave_out: Tensor | None) -> Tensor:
    """The probability that a pixel is of some base class: (B, 1 + classes, h, w) → (B, 1, h, w).

    Args:
        logits: of the base learner.
        leave_out: (B,) int64, for each episode the index among the base classes of the class it asks for, which
            is not a distractor then; -1, or ``None`` for all, where a novel class is asked for.
    """
    classes = logits.softmax(dim=1)[:, 1:]  # (B, classes, h, w)
    if leave_out is not None:
        own = leave_out[:, None] == torch.arange(classes.shape[1], device=leave_out.device)  # (B, classes)
        classes = classes.masked_fill(own[..., None, None], 0)
    return classes.sum(dim=1, keepdim=True)

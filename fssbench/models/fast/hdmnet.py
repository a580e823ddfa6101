"""HDMNet for inference: frozen batch norms folded, and priors from what is in the mask alone."""

from __future__ import annotations

import torch
from torch import Tensor

from fssbench.models.fast.folding import folded
from fssbench.models.hdmnet import HDMNet
from fssbench.models.interface import resize_mask

__all__ = ["fast_hdmnet", "prior_of_inside"]


def fast_hdmnet(original: HDMNet) -> HDMNet:
    """The same function as ``original``, which is not changed.

    Most of an episode is the prior maps: every query position is compared with every support position, of which
    those outside of the mask say nothing.
    """
    twin = folded(original)
    twin.prior_map = prior_of_inside
    return twin


def prior_of_inside(query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
    """`fssbench.models.hdmnet.prior.prior_map`, of only those support positions that are in the mask.

    Args:
        query: (B, C, h, w).
        supports: (B, K, C, h, w).
        masks: (B, K, H, W) in {0, 1}.
    """
    b, k = supports.shape[:2]
    size = (supports.shape[-2], supports.shape[-1])
    inside = resize_mask(masks, size).flatten(2).bool()  # (B, K, Ns)
    asked = query.flatten(2).transpose(1, 2)  # (B, Nq, C)
    length = torch.linalg.vector_norm(asked, dim=2, keepdim=True)  # (B, Nq, 1)
    highest = [
        torch.stack([_highest(asked[i], length[i], supports[i, j].flatten(1), inside[i, j]) for j in range(k)])
        for i in range(b)
    ]
    return torch.stack(highest).mean(dim=1).view(b, 1, *query.shape[-2:])


def _highest(asked: Tensor, length: Tensor, shown: Tensor, inside: Tensor) -> Tensor:
    """The greatest cosines (Nq,) of rows (Nq, C), of lengths (Nq, 1), with those columns of (C, Ns) that are inside."""
    chosen = shown[:, inside]  # (C, n)
    if chosen.shape[1] == 0:
        return asked.new_zeros(asked.shape[0])
    lengths = length * torch.linalg.vector_norm(chosen, dim=0)  # (Nq, n)
    greatest: Tensor = (asked @ chosen / (lengths + 1e-7)).amax(dim=1)
    # What is outside counts as 0, if there is any.
    return greatest if chosen.shape[1] == shown.shape[1] else greatest.clamp_min(0)

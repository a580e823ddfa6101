"""What the supports say of the query without learning: prototypes and prior maps (PFENet, Tian et al., TPAMI 2020)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from fssbench.models.interface import resize_mask

__all__ = ["prior_map", "prototype"]


def prototype(x: Tensor, masks: Tensor) -> Tensor:
    """The mean of maps (N, C, h, w) over masks (N, H, W), resized bilinearly: (N, C, 1, 1); 0 where there is none."""
    share = F.interpolate(masks[:, None].to(x.dtype), x.shape[-2:], mode="bilinear", align_corners=True)
    total = share.sum(dim=(2, 3), keepdim=True)  # (N, 1, 1, 1)
    return (x * share).sum(dim=(2, 3), keepdim=True) / (total + 0.0005)


def prior_map(query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
    """How like the most similar support position in the mask each query position is, at least 0.

    Args:
        query: (B, C, h, w).
        supports: (B, K, C, h, w).
        masks: (B, K, H, W) in {0, 1}.

    Returns:
        (B, 1, h, w), the mean over the shots; not stretched to [0, 1], as PFENet's is.
    """
    size = (supports.shape[-2], supports.shape[-1])
    inside = resize_mask(masks, size)[:, :, None].to(supports.dtype)  # (B, K, 1, h, w)
    asked = query.flatten(2).transpose(1, 2)  # (B, Nq, C)
    length = torch.linalg.vector_norm(asked, dim=2, keepdim=True)  # (B, Nq, 1)
    highest = []
    for k in range(supports.shape[1]):  # one by one: the similarities of a shot fill 52 MB an episode
        shown = (supports[:, k] * inside[:, k]).flatten(2)  # (B, C, Ns)
        lengths = length @ torch.linalg.vector_norm(shown, dim=1, keepdim=True)  # (B, Nq, Ns)
        highest.append((asked @ shown / (lengths + 1e-7)).amax(dim=2))
    return torch.stack(highest).mean(dim=0).view(-1, 1, *query.shape[-2:])

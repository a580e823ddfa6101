"""HDMNet for inference: its supports are looked at in their masks alone, where nothing else is asked for."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fssbench.models.fast.folding import folded
from fssbench.models.fast.held import sent
from fssbench.models.fast.products import pieces, product
from fssbench.models.fast.semantic import PooledConvolution
from fssbench.models.fast.windows import Span, Window, bounding_box
from fssbench.models.fast.winograd import Winograd
from fssbench.models.hdmnet import HDMNet
from fssbench.models.hdmnet.base_learner import WIDTH
from fssbench.models.hdmnet.matching import TEMPERATURE, MatchLayer
from fssbench.models.interface import resize_mask

__all__ = ["FastHDMNet", "InsideMatchLayer", "prior_of_inside"]


class FastHDMNet(HDMNet):
    """The same function as ``original``, which is not changed."""

    def __init__(self, original: HDMNet) -> None:
        nn.Module.__init__(self)
        vars(self).update(vars(folded(original)))  # of a copy, so it may be taken over as it is
        convolution = self.cls[0]
        assert isinstance(convolution, nn.Conv2d)
        self.cls = PooledConvolution(self.ppm, convolution)  # type: ignore[assignment]
        self.ppm = nn.Identity()  # type: ignore[assignment]
        for stage in self.transformer.mix_transformer.match_layers:
            stage[0] = InsideMatchLayer(stage[0])  # type: ignore[index, operator]
        for parent in list(self.modules()):
            for name, child in list(parent.named_children()):
                if Winograd.pays(child):
                    setattr(parent, name, Winograd(child))  # type: ignore[arg-type]

    def condition(self, features: list[Tensor], images: Tensor, masks: Tensor) -> list[Tensor]:
        """`condition_held`, of masks that the host has to wait for."""
        return self.condition_held(features, images, masks, masks.bool().cpu())

    def condition_held(self, features: list[Tensor], images: Tensor, masks: Tensor, held: Tensor) -> list[Tensor]:
        """What `HDMNet.condition` gives; the masks among it stay on the CPU."""
        if not self.support_mask:
            masks, held = torch.ones_like(masks), torch.ones_like(held)
        return self.shown(images, masks.to(images.dtype), held)

    def semantic(self, deep: Tensor, masks: Tensor | None = None) -> Tensor:
        """See `BaseLearnerFeatures.semantic`; 0 outside of the boxes of the masks, which are on the CPU."""
        size = (deep.shape[-2], deep.shape[-1])
        y = deep.new_zeros(len(deep), *size, WIDTH)
        windows = [[0, size[0], 0, size[1]]] * len(deep)
        if masks is not None:
            windows = torch.stack(bounding_box(resize_mask(masks, size) > 0), dim=1).tolist()
        for number, (top, bottom, left, right) in enumerate(windows):
            window = Window(Span(top, bottom), Span(left, right))
            y[number, window.rows.slice, window.columns.slice] = self.cls(deep[number : number + 1], window)
        return y.permute(0, 3, 1, 2)

    def prior(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        """See `prior_of_inside`."""
        return prior_of_inside(query, supports, masks)


class InsideMatchLayer(MatchLayer):
    """The same function as a `MatchLayer`, which is used up, without the scores of all pairs of positions."""

    def __init__(self, original: MatchLayer) -> None:
        nn.Module.__init__(self)
        vars(self).update(vars(original))

    def attended(self, q: Tensor, k: Tensor, v: Tensor, inside: Tensor | None) -> tuple[Tensor, Tensor]:
        """See `MatchLayer.attended`; what is inside is on the CPU."""
        if self.matching == "cross-attention":
            scale = q.shape[-1] ** -0.5
        else:
            q, k, scale = F.normalize(q, dim=-1), F.normalize(k, dim=-1), 1 / TEMPERATURE
        held = torch.ones(len(v), v.shape[2], dtype=torch.bool) if inside is None else inside
        inside = sent(held.to(v.dtype), v.device)[:, None, :, None]  # (B, 1, Ns, 1)
        shown = inside.sum(dim=2, keepdim=True)  # (B, 1, 1, 1)
        # The mean of products is the product with the mean.
        correlation = (scale * q @ (k * inside).sum(dim=2, keepdim=True).mT / (shown + 1e-9)).mean(dim=1)[..., 0]
        if self.matching == "cosine":
            return q @ (k.mT @ (inside * v)) / shown.clamp(min=1), correlation
        if self.matching == "cosine+inverse-softmax":
            return self._by_column(scale * q, k, v, held), correlation
        return F.scaled_dot_product_attention(q, k, inside * v, scale=scale), correlation

    @staticmethod
    def _by_column(q: Tensor, k: Tensor, v: Tensor, inside: Tensor) -> Tensor:
        """Values weighed by a softmax over the query: of each support position on its own, so of those inside alone."""
        attended = torch.zeros_like(q)
        for number, positions in enumerate(inside):
            chosen = sent(positions.nonzero()[:, 0], q.device)
            asked, keys, values = q[number], k[number, :, chosen], v[number, :, chosen]  # (heads, n, d) both
            for part in pieces(keys.shape[1], asked[..., 0].numel() * asked.element_size(), q.device):
                # No score exceeds 1 / TEMPERATURE, so nothing need be taken off before.
                weights = (asked @ keys[:, part].mT).exp_()  # (heads, Nq, n)
                attended[number] += weights @ (values[:, part] / weights.sum(dim=1)[..., None])
        return attended


def prior_of_inside(query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
    """`fssbench.models.hdmnet.prior.prior_map`, of only those support positions that are in the mask.

    Args:
        query: (B, C, h, w).
        supports: (B, K, C, h, w).
        masks: (B, K, H, W) in {0, 1}, on the CPU.
    """
    b, k = supports.shape[:2]
    size = (supports.shape[-2], supports.shape[-1])
    inside = resize_mask(masks, size).flatten(2)  # (B, K, Ns)
    asked = query.permute(0, 2, 3, 1)  # (B, h, w, C)
    length = torch.linalg.vector_norm(asked, dim=3).flatten(1)[..., None]  # (B, Nq, 1)
    shown = supports.permute(0, 1, 3, 4, 2).flatten(2, 3)  # (B, K, Ns, C)
    chosen = [[sent(inside[i, j].nonzero()[:, 0], query.device) for j in range(k)] for i in range(b)]
    highest = [
        torch.stack([_highest(asked[i], length[i], shown[i, j, chosen[i][j]], shown.shape[2]) for j in range(k)])
        for i in range(b)
    ]
    return torch.stack(highest).mean(dim=1).view(b, 1, *query.shape[-2:])


def _highest(asked: Tensor, length: Tensor, shown: Tensor, positions: int) -> Tensor:
    """The greatest cosines (Nq,) of rows (h, w, C), of lengths (Nq, 1), with rows (n, C): of positions those inside."""
    if len(shown) == 0:
        return asked.new_zeros(len(length))
    lengths = length * torch.linalg.vector_norm(shown, dim=1)  # (Nq, n)
    greatest: Tensor = product(asked, shown).div_(lengths.add_(1e-7)).amax(dim=1)
    # What is outside counts as 0, if there is any.
    return greatest if len(shown) == positions else greatest.clamp_min(0)

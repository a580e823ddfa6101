"""Winograd's F(2×2, 3×3) (Lavin and Gray, CVPR 2016, section 4.1): convolutions of 3×3 with 4/9 of the multiplications.

Of many channels the sums before and after cost little. All factors are 1 and 1/2, so the result is no rougher than that
of summing up all products.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fssbench.models.fast.products import by_onednn, product

__all__ = ["Winograd", "parts_of", "winograd"]

LEAST_CHANNELS, LEAST_POSITIONS = 512, 1000
"""Of maps that it pays for."""

KERNEL = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))
"""From three taps to what four sums of the input are multiplied with."""


class Winograd(nn.Conv2d):
    """The same function as a convolution of 3×3 that `pays`; it does not learn."""

    def __init__(self, original: nn.Conv2d) -> None:
        d = original.dilation[0]
        super().__init__(original.in_channels, original.out_channels, 3, padding=d, dilation=d, device="meta")
        self.weight, self.bias = original.weight, original.bias
        self.register_buffer("parts", parts_of(self.weight.detach()), persistent=False)

    @staticmethod
    def pays(module: nn.Module) -> bool:
        """Whether a module is a convolution of enough channels, and of the kind that is understood."""
        return (
            isinstance(module, nn.Conv2d)
            and (module.kernel_size, module.stride, module.groups) == ((3, 3), (1, 1), 1)
            and module.padding == module.dilation == (module.dilation[0],) * 2
            and module.padding_mode == "zeros"
            and min(module.in_channels, module.out_channels) >= LEAST_CHANNELS
            and by_onednn(module.weight)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) → (N, C', h, w)."""
        if not by_onednn(x) or x.shape[-2] * x.shape[-1] < LEAST_POSITIONS:
            return super().forward(x)
        assert isinstance(self.parts, Tensor)
        d = self.dilation[0]
        maps = [winograd(one, self.parts, padding=(d, d, d, d), dilation=d) for one in x.permute(0, 2, 3, 1)]
        y = torch.stack(maps).permute(0, 3, 1, 2)
        return y if self.bias is None else y.add_(self.bias.view(-1, 1, 1))


def parts_of(weight: Tensor) -> Tensor:
    """Weights (C', C, 3, 3) → the 16 matrices (4, 4, C', C)."""
    kernel = torch.tensor(KERNEL, dtype=torch.float64).to(weight.device, non_blocking=True)
    parts = torch.einsum("ki,lj,ocij->kloc", kernel, kernel, weight.double())
    return parts.to(weight.dtype).contiguous()


def winograd(x: Tensor, parts: Tensor, *, padding: tuple[int, int, int, int], dilation: int = 1) -> Tensor:
    """A convolution without bias.

    Args:
        x: (h, w, C).
        parts: of its weights, by `parts_of`.
        padding: zeros left, right, above and below.
        dilation: between the taps; every dilation-th row and column is a map of its own.

    Returns:
        (h', w', C').
    """
    left, right, above, below = padding
    d, h, w = dilation, x.shape[0] + above + below - 2 * dilation, x.shape[1] + left + right - 2 * dilation
    tall, wide = -(-h // (2 * d)), -(-w // (2 * d))  # pairs of outputs in each of the maps
    padded = F.pad(x, (0, 0, left, right + 2 * d * wide - w, above, below + 2 * d * tall - h))
    rows = _input_sums(padded.view(2 * tall + 2, d, -1, padded.shape[-1]), dim=0)  # 4 (tall, d, columns, C)
    found = []
    for one, matrices in zip(rows, parts, strict=True):
        columns = _input_sums(one.view(tall * d, 2 * wide + 2, d, -1), dim=1)  # 4 (tall·d, wide, d, C)
        products = [product(z.flatten(1, 2), matrix) for z, matrix in zip(columns, matrices, strict=True)]
        pair = _output_sums([y.view(tall * d, wide, d, -1) for y in products])
        found.append(torch.stack(pair, dim=2).reshape(tall, d, 2 * wide * d, -1))
    return torch.stack(_output_sums(found), dim=1).reshape(2 * tall * d, 2 * wide * d, -1)[:h, :w]


def _input_sums(x: Tensor, *, dim: int) -> list[Tensor]:
    """Of each four neighbours in a dimension, two apart, what the four parts of the kernel are multiplied with."""
    first, second = x.view(*x.shape[:dim], -1, 2, *x.shape[dim + 1 :]).unbind(dim + 1)
    count = first.shape[dim] - 1
    a, c = first.narrow(dim, 0, count), first.narrow(dim, 1, count)
    b, e = second.narrow(dim, 0, count), second.narrow(dim, 1, count)
    return [a - c, b + c, c - b, b - e]


def _output_sums(products: Sequence[Tensor]) -> list[Tensor]:
    """The two neighbouring outputs."""
    a, b, c, e = products
    return [(a + b).add_(c), (b - c).sub_(e)]

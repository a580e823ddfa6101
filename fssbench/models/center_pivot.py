"""The center-pivot 4D convolution (HSNet, section 4.4).

A 4D tensor here is (B, C, Hq, Wq, Hs, Ws): for every position of the query one of every position of the
support. Of the neighbours of a pair of positions, the kernel keeps those that share one of the two.
"""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["CenterPivotConv4d"]


class CenterPivotConv4d(nn.Module):
    """Two 2D convolutions, over the query's and over the support's dimensions, added (equation 5).

    Both pad half a kernel, so the query keeps its size and a support side h becomes ⌈h / stride⌉.
    """

    def __init__(self, in_channels: int, out_channels: int, *, kernel: int, support_stride: int) -> None:
        super().__init__()
        pad = kernel // 2
        self.support_stride = support_stride
        self.conv1 = nn.Conv2d(in_channels, out_channels, kernel, padding=pad)
        self.conv2 = nn.Conv2d(in_channels, out_channels, kernel, stride=support_stride, padding=pad)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, Hq, Wq, Hs, Ws) → (B, C', Hq, Wq, ⌈Hs/stride⌉, ⌈Ws/stride⌉)."""
        b, c, hq, wq, hs, ws = x.shape
        s = self.support_stride

        kept = x[..., ::s, ::s].permute(0, 4, 5, 1, 2, 3)  # (B, hs, ws, C, Hq, Wq)
        over_query = self.conv1(kept.reshape(-1, c, hq, wq))  # (B·hs·ws, C', Hq, Wq)
        over_query = over_query.view(*kept.shape[:3], -1, hq, wq)  # (B, hs, ws, C', Hq, Wq)

        at_query = x.permute(0, 2, 3, 1, 4, 5)  # (B, Hq, Wq, C, Hs, Ws)
        over_support = self.conv2(at_query.reshape(-1, c, hs, ws))  # (B·Hq·Wq, C', hs, ws)
        over_support = over_support.view(b, hq, wq, *over_support.shape[1:])  # (B, Hq, Wq, C', hs, ws)

        total: Tensor = over_query.permute(0, 3, 4, 5, 1, 2) + over_support.permute(0, 3, 1, 2, 4, 5)
        return total  # (B, C', Hq, Wq, hs, ws)

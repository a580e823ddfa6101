"""Center-pivot convolutions of correlations, for inference, and what stands between them.

What makes it fast, none of it an approximation:

- A 4D tensor lies in memory as (query position, support position, channel). So seen, it is a channels-last map
  over the support for every position of the query, and a channels-last map over the query whose channels are
  support positions and channels: both convolutions of the center-pivot kernel read it where it lies.
- Support positions outside of the mask correlate with nothing. The first convolution makes one and the same
  vector of them, the *background*, which is written down once; the second one, being linear, is applied to what
  differs from it.
- On a grid of 2×2, a 3×3 convolution is one matrix.
- Where a support is known to show what a black image does, it is compared at few of these positions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fssbench.models.center_pivot import CenterPivotConv4d
from fssbench.models.dtypes import at_least_float32
from fssbench.models.fast.elsewhere import Elsewhere
from fssbench.models.fast.products import pieces, product
from fssbench.models.fast.windows import Span, Window

__all__ = [
    "Correlated",
    "Size",
    "SupportLevel",
    "as_images",
    "convolved",
    "correlated",
    "grouped",
    "normalised",
    "normalised_rest",
]

Size = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class SupportLevel:
    """One level of one support.

    Attributes:
        rows: L maps (h·w, C), of unit length over C.
        scales: (L, h·w), what each position is multiplied with; 0 outside of ``window``; or ``None`` for 1.
        grid: h and w.
        window: where the support shows anything.
        elsewhere: what it shows outside of the window; ``None`` for nothing.
    """

    rows: Sequence[Tensor]
    scales: Tensor | None
    grid: Size
    window: Window
    elsewhere: Elsewhere | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Correlated:
    """A 4D map that is constant outside of a window of the support.

    Attributes:
        rest: (Hq·Wq, rows, columns, C), what differs from the background in the window.
        background: (C,).
    """

    rest: Tensor
    background: Tensor
    grid: Size
    window: Window


def correlated(query: Sequence[Tensor], support: SupportLevel, layer: CenterPivotConv4d, size: Size) -> Correlated:
    """Correlate, and apply the first convolution to what is not zero.

    Args:
        query: L maps (Hq·Wq, C).
        size: Hq and Wq.
    """
    assert layer.conv1.bias is not None
    assert layer.conv2.bias is not None
    background = layer.conv1.bias + layer.conv2.bias
    grid = (-(-support.grid[0] // layer.support_stride), -(-support.grid[1] // layer.support_stride))
    if support.elsewhere is None:
        y, reached = _in_window(query, support, layer, size, bias=background)
        return Correlated(y, background, grid, reached)
    less = support.elsewhere.correlations(query, size)
    y = support.elsewhere.convolved(less, layer, size)
    rest, reached = _in_window(query, support, layer, size, bias=None, less=less)
    y[:, reached.rows.slice, reached.columns.slice] += rest
    return Correlated(y, background, grid, Window(Span(0, grid[0]), Span(0, grid[1])))


def _in_window(
    query: Sequence[Tensor],
    support: SupportLevel,
    layer: CenterPivotConv4d,
    size: Size,
    *,
    bias: Tensor | None,
    less: Tensor | None = None,
) -> tuple[Tensor, Window]:
    """What the first convolution makes of correlations in the window, (Hq·Wq, rows, columns, C'), and where that is.

    Args:
        less: (Hq·Wq, L, r, c), correlations with what is `Elsewhere`, which are taken off.
    """
    convolution, stride = layer.conv2, layer.support_stride
    kernel = convolution.kernel_size[0]
    window = support.window
    if window.reached(kernel=kernel, stride=stride, size=support.grid).area == 0:
        window = Window(Span(0, 1), Span(0, 1))  # no output sees the support, nor is anything but 0 here
    reached = window.reached(kernel=kernel, stride=stride, size=support.grid)
    seen = reached.seen(kernel=kernel, stride=stride)
    whole = seen.within(Window(Span(0, support.grid[0]), Span(0, support.grid[1])))
    there, kept = whole.inside(seen), window.kept(stride)
    maps = [_cropped(support, number, whole).flatten(0, 1) for number in range(len(support.rows))]  # L (positions, C)
    rows = [one.view(*size, -1) for one in query]
    runs = [] if support.elsewhere is None else support.elsewhere.runs(whole)
    y = query[0].new_empty(query[0].shape[0], *reached.shape, convolution.out_channels)
    at_support = y.new_empty(*kept.shape, len(maps), query[0].shape[0])
    r, c = kept.rows.start * stride - seen.rows.start, kept.columns.start * stride - seen.columns.start
    at_query = None
    for part in pieces(size[0], size[1] * len(maps) * seen.area * y.element_size(), y.device):  # rows of the query
        count = (part.stop - part.start) * size[1]
        if at_query is None:
            at_query = y.new_zeros(count, len(maps), *seen.shape)  # the border, if there is any, stays 0
        now, asked = at_query[:count], slice(part.start * size[1], part.stop * size[1])
        inner = now[:, :, there.rows.slice, there.columns.slice]
        for number, (one, other) in enumerate(zip(rows, maps, strict=True)):
            torch.clamp_min(product(one[part], other).view(count, *whole.shape), 0, out=inner[:, number])
            for run, same in runs:
                assert less is not None
                inner[:, number][run] -= less[asked, number][same]
        over_support = F.conv2d(now, convolution.weight.contiguous(), bias, stride=stride)
        y[asked] = over_support.permute(0, 2, 3, 1)
        if kept.area:
            chosen = now[:, :, r::stride, c::stride][:, :, : kept.shape[0], : kept.shape[1]]
            at_support[..., asked] = chosen.permute(2, 3, 1, 0)

    if kept.area:
        there = kept.inside(reached)
        seeing = y[:, there.rows.slice, there.columns.slice]  # (Hq·Wq, rows, columns, C')
        # What a row puts out is read again at once, so small pieces are faster.
        for part in pieces(kept.shape[0], 8 * seeing[:, :1].numel() * y.element_size(), y.device):
            images = at_support[part].view(-1, len(maps), *size)
            over_query = F.conv2d(images, layer.conv1.weight.contiguous(), padding=layer.conv1.padding)
            seeing[:, part] += over_query.view(-1, kept.shape[1], *over_query.shape[1:]).flatten(3).permute(3, 0, 1, 2)
    return y, reached


def _cropped(support: SupportLevel, number: int, window: Window) -> Tensor:
    """One map in a window (rows, columns, C), scaled."""
    rows, columns = window.rows.slice, window.columns.slice
    crop = support.rows[number].view(*support.grid, -1)[rows, columns]
    if support.scales is None:
        return crop
    scale: Tensor = support.scales[number].view(support.grid)[rows, columns, None]
    scaled: Tensor = crop * scale.to(crop.dtype)
    return scaled


def convolved(x: Correlated, layer: CenterPivotConv4d, size: Size) -> Tensor:
    """A center-pivot convolution of a map with a background → (Hq·Wq, hs', ws', C').

    Being linear, it is that of the background plus that of the rest.
    """
    stride, convolution = layer.support_stride, layer.conv2
    kernel = convolution.kernel_size[0]
    everywhere = x.background.view(1, -1, 1, 1)
    # Where the query ends, and where the support ends, the background ends too.
    in_support = convolution(everywhere.expand(-1, -1, *x.grid)).permute(0, 2, 3, 1)  # (1, hs', ws', C')
    in_query = layer.conv1(everywhere.expand(-1, -1, *size)).flatten(2)[0].t()  # (Hq·Wq, C')
    y: Tensor = in_support + in_query[:, None, None]

    reached = x.window.reached(kernel=kernel, stride=stride, size=x.grid)
    if reached.area:
        rest, padding = x.rest, convolution.padding
        if x.window.shape != x.grid:
            seen = reached.seen(kernel=kernel, stride=stride)
            rest, padding = F.pad(rest, (0, 0, *x.window.padding_to(seen))), (0, 0)
        over_support = F.conv2d(rest.permute(0, 3, 1, 2), convolution.weight, stride=stride, padding=padding)
        y[:, reached.rows.slice, reached.columns.slice] += over_support.permute(0, 2, 3, 1)

    kept = x.window.kept(stride)
    if kept.area:
        r = kept.rows.start * stride - x.window.rows.start
        c = kept.columns.start * stride - x.window.columns.start
        chosen = x.rest[None, :, r::stride, c::stride]  # (1, Hq·Wq, rows, columns, C)
        y[:, kept.rows.slice, kept.columns.slice] += grouped(chosen, layer.conv1, size, bias=False)[0]
    return y


def grouped(x: Tensor, convolution: nn.Conv2d, size: Size, *, bias: bool = True) -> Tensor:
    """A convolution over the query, of every support position: (P, Hq·Wq, hs, ws, C) → (P, Hq·Wq, hs, ws, C')."""
    p, n, hs, ws = x.shape[:4]
    weight = convolution.weight.repeat(hs * ws, 1, 1, 1)
    shift = convolution.bias.repeat(hs * ws) if bias and convolution.bias is not None else None
    y = F.conv2d(as_images(x, size), weight, shift, padding=convolution.padding, groups=hs * ws)
    return y.permute(0, 2, 3, 1).reshape(p, n, hs, ws, -1)


def as_images(x: Tensor, size: Size) -> Tensor:
    """(P, Hq·Wq, …, C) as maps over the query (P, hs·ws·C, Hq, Wq), channels last."""
    return x.reshape(x.shape[0], *size, -1).permute(0, 3, 1, 2)


def normalised(y: Tensor, norm: nn.Module) -> Tensor:
    """Group normalisation and ReLU of (P, Hq·Wq, hs, ws, C), which is overwritten."""
    assert isinstance(norm, nn.GroupNorm)
    for flat in y.view(y.shape[0], -1, y.shape[-1]):  # (N, C)
        scale, shift = _affine(*_moments(flat), norm)
        for part in _parts(flat):
            torch.addcmul(shift, part, scale, out=part).relu_()
    return y


def normalised_rest(x: Correlated, norm: nn.GroupNorm) -> Correlated:
    """Group normalisation and ReLU of a map with a background; its rest is overwritten."""
    inside = x.window.area / (x.grid[0] * x.grid[1])
    flat = x.rest.view(-1, x.rest.shape[-1])
    mean, variance = _moments(flat)
    # The background has no variance of its own.
    both = inside * mean + (1 - inside) * x.background
    spread = inside * (variance + (mean - both) ** 2) + (1 - inside) * (x.background - both) ** 2
    scale, shift = _affine(both, spread, norm)
    background = torch.addcmul(shift, x.background, scale).relu_()
    for part in _parts(flat):
        torch.addcmul(shift, part, scale, out=part).relu_().sub_(background)
    return Correlated(x.rest, background, x.grid, x.window)


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of the channels of (N, C), (C,) each, in float32 or wider."""
    mean = x.mean(dim=0, dtype=at_least_float32(x.dtype))
    # torch.var_mean takes ten times as long.
    squares = torch.stack([(part - mean).square_().sum(dim=0) for part in _parts(x)])
    return mean, squares.sum(dim=0) / len(x)


def _parts(x: Tensor) -> Iterator[Tensor]:
    """(N, C) in parts."""
    return (x[part] for part in pieces(len(x), x.shape[1] * x.element_size(), x.device))


def _affine(mean: Tensor, variance: Tensor, norm: nn.GroupNorm) -> tuple[Tensor, Tensor]:
    """From mean and variance of channels (…, C) what a group norm multiplies with and adds, (…, C) each."""
    grouped_by = (*mean.shape[:-1], norm.num_groups, -1)
    means = mean.view(grouped_by)
    centre = means.mean(dim=-1, keepdim=True)
    spread = (variance.view(grouped_by) + (means - centre) ** 2).mean(dim=-1, keepdim=True)  # (…, groups, 1)
    scale = norm.weight * (spread + norm.eps).rsqrt().expand_as(means).flatten(-2)
    shift = norm.bias - scale * centre.expand_as(means).flatten(-2)
    return scale.to(norm.weight.dtype), shift.to(norm.weight.dtype)

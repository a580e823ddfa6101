"""What the host knows of masks that it holds, on its way to the device."""

from __future__ import annotations

import torch
from torch import Tensor

from fssbench.models.fast.windows import Span, Window, bounding_box

__all__ = ["sent", "window_of_all", "windows_of"]


def sent(x: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on a device, without waiting for it."""
    return x.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else x.to(device)


def windows_of(held: Tensor, sizes: list[tuple[int, int]]) -> Tensor:
    """Where masks (N, H, W) bool on the CPU, resized bilinearly to each of S sizes, are not 0.

    Returns (N, S, 4) int64 on the CPU, first row, end, first column and end of windows that hold all that is; of an
    empty mask, of its first position.
    """
    h, w = held.shape[-2:]
    found = []
    for top, bottom, left, right in torch.stack(bounding_box(held), dim=1).tolist():
        box = Window(Span(top, bottom), Span(left, right))
        found.append([box.sampled(of=(h, w), size=size).bounds for size in sizes])
    return torch.tensor(found).view(len(held), len(sizes), 4)


def window_of_all(bounds: Tensor) -> Window:
    """The least window that holds all of (N, 4) on the CPU, each first row, end, first column and end."""
    (top, _, left, _), (_, bottom, _, right) = bounds.amin(dim=0).tolist(), bounds.amax(dim=0).tolist()
    return Window(Span(top, bottom), Span(left, right))

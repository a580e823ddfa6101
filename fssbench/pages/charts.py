"""The geometry of charts; the templates draw it as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

__all__ = ["Box", "Chart", "Tick", "by_classes", "by_size", "scale_top"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

WIDTH, HEIGHT = 440, 240
LEFT, RIGHT, TOP, BOTTOM = 34, 8, 8, 34

FEWEST = 5
"""Episodes that a box takes: quartiles of fewer say nothing."""
MOST_POINTS = 3_000
"""Points that are drawn; of more episodes, every n-th."""

SMALLEST = 1e-4
SIZES = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Limits of the groups by share of the image, about half a decade each."""
MANY = 5
"""Classes in an image from which on they are one group."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis, in pixels, and what stands there."""

    at: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """The middle half of a group of episodes: in pixels, and in words."""

    x: float
    width: float
    low: float
    middle: float
    high: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Episodes' IoU against something.

    Attributes:
        x: ticks of the horizontal axis, whose name is ``x_name``.
        y: ticks of the vertical axis.
        points: SVG path of one dot an episode, or nothing.
        shown: how many dots there are, of how many episodes.
    """

    title: str
    x_name: str
    x: tuple[Tick, ...]
    y: tuple[Tick, ...]
    boxes: tuple[Box, ...]
    points: str
    shown: tuple[int, int]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def by_size(shares: Floats, ious: Floats) -> Chart:
    """IoU against the share of the query image that the class covers, both (N,); the axis is logarithmic."""

    def place(share: float) -> float:
        return _x(1 - math.log10(max(share, SMALLEST)) / math.log10(SMALLEST))

    limits = list(pairwise(SIZES))
    groups = [(shares >= low) & ((shares < high) | (high == 1)) for low, high in limits]
    boxes = [
        _box(ious[group], place(low), place(high), f"{_share(low)} to {_share(high)} of the image")
        for (low, high), group in zip(limits, groups, strict=True)
    ]
    step = max(1, -(-len(ious) // MOST_POINTS))
    chosen = range(0, len(ious), step)
    dots = (f"M{place(float(shares[i])):.1f} {_y(float(ious[i])):.1f}h0" for i in chosen)
    return Chart(
        title="IoU by object size",
        x_name="share of the query image that the object covers",
        x=tuple(Tick(place(share), _share(share)) for share in (1e-4, 1e-3, 1e-2, 1e-1, 1)),
        y=_percent_axis(),
        boxes=tuple(filter(None, boxes)),
        points="".join(dots),
        shown=(len(chosen), len(ious)),
    )


def by_classes(n_classes: Sequence[int], ious: Floats) -> Chart:
    """IoU (N,) against how many classes of the benchmark the query image shows."""
    counts = np.minimum(np.array(n_classes, dtype=np.int64), MANY)
    slot = (WIDTH - LEFT - RIGHT) / MANY
    names = [*(str(n) for n in range(1, MANY)), f"{MANY} or more"]
    boxes, ticks = [], []
    for n, name in enumerate(names, 1):
        start = LEFT + (n - 1) * slot
        ticks.append(Tick(start + slot / 2, name))
        classes = f"{name} class{'' if n == 1 else 'es'} in the image"
        boxes.append(_box(ious[counts == n], start + 0.15 * slot, start + 0.85 * slot, classes))
    return Chart(
        title="IoU by classes in the image",
        x_name="classes of the benchmark that the query image shows",
        x=tuple(ticks),
        y=_percent_axis(),
        boxes=tuple(filter(None, boxes)),
        points="",
        shown=(0, len(ious)),
    )


def scale_top(values: Sequence[float]) -> float:
    """Where a scale of figures in [0, 1] ends: the next tenth above them all, at least 0.1."""
    highest = max(values, default=0.0)
    return min(1.0, max(1, math.ceil(10 * highest - 1e-9)) / 10)


def _box(ious: Floats, start: float, end: float, what: str) -> Box | None:
    if len(ious) < FEWEST:
        return None
    low, middle, high = np.percentile(ious, [25, 50, 75]).tolist()
    text = f"{what}: median IoU {100 * middle:.0f} %, half between {100 * low:.0f} and {100 * high:.0f} %"
    return Box(
        x=round(start, 1),
        width=round(end - start, 1),
        low=_y(low),
        middle=_y(middle),
        high=_y(high),
        text=f"{text}; {len(ious):,} episodes",
    )


def _x(share: float) -> float:
    return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)


def _y(iou: float) -> float:
    return round(HEIGHT - BOTTOM - iou * (HEIGHT - TOP - BOTTOM), 1)


def _percent_axis() -> tuple[Tick, ...]:
    return tuple(Tick(_y(n / 4), str(25 * n)) for n in range(5))


def _share(share: float) -> str:
    return f"{100 * share:g} %"

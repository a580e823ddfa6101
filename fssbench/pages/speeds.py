"""Speed against accuracy: where each model of a ranking lies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fssbench.pages.charts import Tick, scale_top
from fssbench.pages.lines import BOTTOM, LEFT, RIGHT, TOP, Axes
from fssbench.schemas.leaderboard import Entry

__all__ = ["Dot", "SpeedChart", "by_speed"]

WIDTH, HEIGHT = 640, 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """A model: its place in pixels, on which side of it its name has room, and its figures."""

    id: str
    name: str
    x: float
    y: float
    side: str
    miou: float
    speed: float
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedChart(Axes):
    """mIoU over episodes a second, whose axis is logarithmic."""

    dots: tuple[Dot, ...]
    width: int = WIDTH
    height: int = HEIGHT


def by_speed(entries: Sequence[Entry]) -> SpeedChart | None:
    """The chart of a ranking; ``None`` if fewer than two of it have both a mean and a speed."""
    found = [
        (entry, entry.miou.value, entry.episodes_per_second)
        for entry in entries
        if entry.miou.value is not None and entry.episodes_per_second
    ]
    if len(found) < 2:
        return None
    low = math.floor(math.log10(min(speed for *_, speed in found)))
    high = max(low + 1, math.ceil(math.log10(max(speed for *_, speed in found))))
    top = scale_top([miou for _, miou, _ in found])

    def x_at(speed: float) -> float:
        return round(LEFT + (math.log10(speed) - low) / (high - low) * (WIDTH - LEFT - RIGHT), 1)

    def y_at(miou: float) -> float:
        return round(HEIGHT - BOTTOM - miou / top * (HEIGHT - TOP - BOTTOM), 1)

    dots = [
        Dot(
            id=entry.id,
            name=entry.label,
            x=x_at(speed),
            y=y_at(miou),
            side="after" if x_at(speed) < WIDTH / 2 else "before",
            miou=miou,
            speed=speed,
            device=entry.device_name or "an unknown device",
        )
        for entry, miou, speed in found
    ]
    return SpeedChart(
        x=tuple(Tick(x_at(10.0**n), f"{10.0**n:g}") for n in range(low, high + 1)),
        y=tuple(Tick(y_at(top * n / 4), f"{100 * top * n / 4:g}") for n in range(5)),
        dots=tuple(dots),
    )

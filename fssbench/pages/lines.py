"""The geometry of line charts; the templates draw it as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fssbench.pages.charts import Tick

__all__ = ["Axes", "Line", "LineChart", "Series", "line_chart", "round_ticks"]

WIDTH, HEIGHT = 440, 250
LEFT, RIGHT, TOP, BOTTOM = 38, 12, 10, 36
MOST_POINTS = 400
"""Of a line; of more, every few become their mean."""
FEW_POINTS = 30
"""Up to so many are dots as well."""
COLOURS = 8
"""That lines are told apart by; a ninth looks like the first."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Values to draw, in the order of x.

    Attributes:
        number: of its colour: series of one number belong together.
        thin: whether it stands behind the others.
    """

    name: str
    number: int
    points: Sequence[Point]
    thin: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A series as drawn: an SVG path, and dots if they are few."""

    name: str
    colour: int
    path: str
    dots: tuple[Point, ...]
    thin: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Axes:
    """A pair of axes with their ticks; all places in pixels."""

    x: tuple[Tick, ...]
    y: tuple[Tick, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    top: int = TOP

    @property
    def right(self) -> int:
        """Where the horizontal axis ends."""
        return self.width - RIGHT

    @property
    def bottom(self) -> int:
        """Where the vertical axis begins."""
        return self.height - BOTTOM


@dataclass(frozen=True, slots=True, kw_only=True)
class LineChart(Axes):
    """Lines over one pair of axes."""

    title: str
    x_name: str
    y_name: str
    lines: tuple[Line, ...]


def line_chart(
    title: str,
    series: Sequence[Series],
    *,
    x_name: str,
    y_name: str,
    x_from: float = 0.0,
    y_from: float | None = 0.0,
    y_span: float = 0.0,
) -> LineChart | None:
    """Draw some series; ``None`` if there is nothing to draw.

    Args:
        x_from: where the horizontal axis begins, at the latest.
        y_from: where the vertical one does; ``None`` to begin a little below the lowest value.
        y_span: how much the vertical one shows at least, so that little differences look little.
    """
    series = [one for one in series if one.points]
    if not series:
        return None
    xs = [x for one in series for x, _ in one.points]
    ys = [y for one in series for _, y in one.points]
    low, high = min(x_from, *xs), max(xs)
    across = round_ticks(low, high, most=8, least=1.0 if all(x == int(x) for x in xs) else 0.0)
    bottom, top = min(ys) if y_from is None else min(y_from, *ys), max(ys)
    missing = max(0.0, y_span - (top - bottom)) / 2
    up = round_ticks(bottom - missing, top + missing, most=6)

    def x_at(value: float) -> float:
        return round(LEFT + (value - low) / (high - low or 1) * (WIDTH - LEFT - RIGHT), 1)

    def y_at(value: float) -> float:
        return round(HEIGHT - BOTTOM - (value - up[0]) / (up[-1] - up[0]) * (HEIGHT - TOP - BOTTOM), 1)

    lines = []
    for one in series:
        dots = tuple((x_at(x), y_at(y)) for x, y in _thinned(one.points))
        path = "M" + "L".join(f"{x} {y}" for x, y in dots)
        shown = dots if len(dots) <= FEW_POINTS and not one.thin else ()
        lines.append(Line(name=one.name, colour=one.number % COLOURS, path=path, dots=shown, thin=one.thin))
    return LineChart(
        title=title,
        x_name=x_name,
        y_name=y_name,
        x=tuple(Tick(x_at(value), _text(value)) for value in across if low <= value <= high),
        y=tuple(Tick(y_at(value), _text(value)) for value in up),
        lines=tuple(lines),
    )


def round_ticks(low: float, high: float, *, most: int, least: float = 0.0) -> list[float]:
    """Round numbers from below ``low`` to above ``high``, two to ``most`` of them, at steps of 1, 2 or 5.

    Args:
        least: the smallest step.
    """
    if high - low <= 1e-6 * max(1.0, abs(low)):
        high = low + max(1.0, abs(low))
    scale = 10.0 ** math.floor(math.log10((high - low) / most))
    for factor in (1, 2, 5, 10, 20, 50, 100):
        step = factor * scale
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if last - first < most and step >= least * (1 - 1e-9):
            return [round(n * step, 12) for n in range(first, last + 1)]
    return [low, high]


def _thinned(points: Sequence[Point]) -> list[Point]:
    """At most `MOST_POINTS`, each the mean of equally many."""
    n = -(-len(points) // MOST_POINTS)
    parts = (points[start : start + n] for start in range(0, len(points), n))
    return [(math.fsum(x for x, _ in part) / len(part), math.fsum(y for _, y in part) / len(part)) for part in parts]


def _text(value: float) -> str:
    return f"{value:,.12g}"

"""The learning curve as a picture: losses, mIoU and FB-IoU over the steps."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from fssbench.base.files import write_atomic

__all__ = ["add_below", "curve_picture", "draw_curve"]

WIDTH, HEIGHT = 720, 260
LEFT, RIGHT, TOP, BOTTOM = 46, 46, 50, 34
SCALE = 3
"""Drawn so much larger, and shrunk: Pillow's lines have no smooth edges of their own."""

LOSS, TRAINING, VALIDATION = (150, 150, 150), (80, 140, 230), (220, 70, 50)
LOSS_VALIDATION, TRAINING_FB, VALIDATION_FB = (90, 90, 90), (175, 205, 245), (245, 180, 165)
SERIES = {
    "loss": (LOSS, "loss"),
    "loss, validation": (LOSS_VALIDATION, "validated_loss"),
    "FB-IoU, training": (TRAINING_FB, "fb_iou"),
    "FB-IoU, validation": (VALIDATION_FB, "validated_fb_iou"),
    "mIoU, training": (TRAINING, "miou"),
    "mIoU, validation": (VALIDATION, "validated"),
}
"""What is drawn, the last on top: its colour and its name in the log."""

GRID, INK = (228, 228, 228), (90, 90, 90)
TICKS = 4

Point = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """From a value to its place on the paper."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def draw_curve(path: Path, lines: Sequence[Mapping[str, Any]], *, title: str) -> None:
    """Write the PNG of a run's log; see `curve_picture`."""
    buffer = io.BytesIO()
    curve_picture(lines, title=title).save(buffer, "PNG")
    write_atomic(path, buffer.getvalue())


def add_below(path: Path, lines: Sequence[Mapping[str, Any]], *, title: str) -> None:
    """Put the curve of a run's log below a PNG that is there."""
    curve = curve_picture(lines, title=title)
    with Image.open(path, formats=["PNG"]) as above:
        both = Image.new("RGB", (max(above.width, curve.width), above.height + curve.height), "white")
        both.paste(above, (0, 0))
        both.paste(curve, (0, above.height))
    buffer = io.BytesIO()
    both.save(buffer, "PNG")
    write_atomic(path, buffer.getvalue())


def curve_picture(lines: Sequence[Mapping[str, Any]], *, title: str) -> Image.Image:
    """Losses (left scale), mIoU and FB-IoU (right scale, in %) of training and of validation, of a run's log.

    A line across marks where the run ended because validation no longer rose.
    """
    series = {
        name: (colour, [(line["step"], line[key]) for line in lines if line.get(key) is not None])
        for name, (colour, key) in SERIES.items()
    }
    steps = max([1, *(line["step"] for line in lines)])
    losses = max([1e-6, *(y for name, (_, points) in series.items() if _is_loss(name) for _, y in points)])
    image = Image.new("RGB", (SCALE * WIDTH, SCALE * HEIGHT), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(12 * SCALE)
    across = Axis(0, steps, SCALE * LEFT, SCALE * (WIDTH - RIGHT))
    up = {high: Axis(0, high, SCALE * (HEIGHT - BOTTOM), SCALE * TOP) for high in (losses, 1.0)}
    _paper(draw, font, across, losses=losses)
    for line in lines:
        if line.get("settled"):
            at = across(line["step"])
            draw.line([(at, SCALE * TOP), (at, SCALE * (HEIGHT - BOTTOM))], fill=INK, width=SCALE)
            draw.text((at - 3 * SCALE, SCALE * (TOP + 2)), "settled", fill=INK, font=font, anchor="ra")
    x: float = SCALE * LEFT
    draw.text((x, SCALE * 8), title, fill="black", font=font)
    for name, (colour, points) in series.items():
        if points:
            scale = up[losses if _is_loss(name) else 1.0]
            _line(draw, [(across(step), scale(value)) for step, value in points], colour)
            draw.text((x, SCALE * 26), name, fill=colour, font=font)
            x += draw.textlength(name, font) + SCALE * 14
    return image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def _is_loss(name: str) -> bool:
    return name.startswith("loss")


def _line(draw: ImageDraw.ImageDraw, points: list[Point], colour: tuple[int, int, int]) -> None:
    if len(points) > 1:
        draw.line(points, fill=colour, width=2 * SCALE, joint="curve")
    if len(points) < 20:
        for x, y in points:
            draw.ellipse((x - 3 * SCALE, y - 3 * SCALE, x + 3 * SCALE, y + 3 * SCALE), fill=colour)


def _paper(draw: ImageDraw.ImageDraw, font: Any, across: Axis, *, losses: float) -> None:
    """Grid lines, with the loss at their left, the mIoU at their right, and steps below."""
    for n in range(TICKS + 1):
        y = SCALE * (HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * n / TICKS)
        draw.line([(SCALE * LEFT, y), (SCALE * (WIDTH - RIGHT), y)], fill=GRID, width=SCALE)
        draw.text((SCALE * (LEFT - 6), y), f"{losses * n / TICKS:.2g}", fill=LOSS, font=font, anchor="rm")
        draw.text((SCALE * (WIDTH - RIGHT + 6), y), f"{100 * n / TICKS:.0f} %", fill=INK, font=font, anchor="lm")
        step = across.high * n / TICKS
        place = (across(step), SCALE * (HEIGHT - BOTTOM + 8))
        draw.text(place, f"{step:,.0f}{' steps' if n == TICKS else ''}", fill=INK, font=font, anchor="ma")

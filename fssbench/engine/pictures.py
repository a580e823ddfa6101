"""Episodes as pictures: masks laid over images, side by side."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from fssbench.engine.evaluate import Answer
from fssbench.files import write_atomic

__all__ = ["BLUE", "GREEN", "RED", "Cell", "draw_answers", "draw_sheet"]

Colour = tuple[int, int, int]
Mask = npt.NDArray[np.bool_]

GREEN: Colour = (40, 200, 80)
BLUE: Colour = (50, 130, 255)
RED: Colour = (255, 80, 60)

CELL = 150
GAP = 6
LINE = 16


@dataclass(frozen=True, kw_only=True, eq=False)
class Cell:
    """An image of a sheet.

    Attributes:
        image: RGB pixels (H, W, 3) uint8.
        mask: (H, W) bool, outlined in ``colour``; everything outside it is darkened.
        ignore: (H, W) bool, pixels that are not scored, drawn as white stripes; or ``None``.
        caption: a few words below.
    """

    image: npt.NDArray[np.uint8]
    mask: Mask
    colour: Colour
    caption: str
    ignore: Mask | None = None


def draw_sheet(path: Path, *, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    """Write a PNG with one row of cells an episode, under column titles."""
    width = GAP + max(len(row) for row in rows) * (CELL + GAP)
    row_height = CELL + LINE + GAP
    sheet = Image.new("RGB", (width, LINE + 2 * GAP + len(rows) * row_height), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(12)
    for c, title in enumerate(columns):
        draw.text((GAP + c * (CELL + GAP), GAP), title, fill="black", font=font)
    for r, row in enumerate(rows):
        for c, cell in enumerate(row):
            x, y = GAP + c * (CELL + GAP), LINE + 2 * GAP + r * row_height
            tile = _tile(cell)
            sheet.paste(tile, (x + (CELL - tile.width) // 2, y + (CELL - tile.height) // 2))
            draw.text((x, y + CELL + 1), cell.caption, fill="black", font=font)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    write_atomic(path, buffer.getvalue())


def _tile(cell: Cell) -> Image.Image:
    """One cell, its longer side as long as the cell; masks are enlarged with their image, so they stay aligned."""
    height, width = cell.mask.shape
    scale = CELL / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    pixels = np.asarray(Image.fromarray(cell.image).resize(size, Image.Resampling.BILINEAR), dtype=np.float64)
    mask = _resized(cell.mask, size)
    # The object keeps its colours; what is not in the mask steps back.
    painted = np.where(mask[..., None], pixels, 0.35 * pixels)
    painted[_outline(mask)] = cell.colour
    if cell.ignore is not None:
        y, x = np.indices(mask.shape)
        stripes = _resized(cell.ignore, size) & ((x + y) % 4 < 2)
        painted[stripes] = 255
    return Image.fromarray(painted.astype(np.uint8))


def _resized(mask: Mask, size: tuple[int, int]) -> Mask:
    return np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))


def _outline(mask: Mask) -> Mask:
    """Foreground pixels with a background neighbour."""
    padded = np.pad(mask, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    outline: Mask = mask & ~inside
    return outline


def draw_answers(path: Path, answers: Mapping[str, Sequence[Answer]], *, class_names: Mapping[int, str]) -> None:
    """Write a PNG of episodes: their supports, the query's truth, and each model's mask with its IoU.

    Args:
        answers: by model, its answers to the same episodes in the same order.
        class_names: by class index.
    """
    first = next(iter(answers.values()))
    rows = []
    for number, shown in enumerate(first):
        query = shown.query
        row = [
            Cell(image=s.image, mask=s.mask, ignore=s.ignore, colour=BLUE, caption=class_names[s.class_id])
            for s in shown.supports
        ]
        row.append(Cell(image=query.image, mask=query.mask, ignore=query.ignore, colour=GREEN, caption=query.image_id))
        row += [_predicted(found[number]) for found in answers.values()]
        rows.append(row)
    supports = [f"support {n + 1}" for n in range(len(first[0].supports))]
    draw_sheet(path, columns=[*supports, "query, truth", *answers], rows=rows)


def _predicted(answer: Answer) -> Cell:
    mask = answer.masks["original"].cpu().numpy().astype(bool)
    inter, union = answer.counts[0, :2].tolist()
    iou = f"IoU {100 * inter / union:.0f} %" if union else "IoU undefined"
    return Cell(image=answer.query.image, mask=mask, ignore=answer.query.ignore, colour=RED, caption=iou)

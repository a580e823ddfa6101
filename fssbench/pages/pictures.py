"""Episodes as pictures: masks laid over images, side by side."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from fssbench.base.files import write_atomic
from fssbench.pipelines.episode_sets.stream import Frame

__all__ = [
    "BLUE",
    "GREEN",
    "RED",
    "Cell",
    "Colour",
    "Drawable",
    "Mask",
    "Row",
    "Sheet",
    "draw_sheet",
    "query_cell",
    "resized_mask",
    "resized_pixels",
    "size_within",
    "stripes",
    "support_cell",
    "tile",
    "tile_size",
]

Colour = tuple[int, int, int]
Mask = npt.NDArray[np.bool_]

GREEN: Colour = (40, 200, 80)
BLUE: Colour = (50, 130, 255)
RED: Colour = (255, 80, 60)

CELL = 190
GAP = 8
FONT = 14
LINE = 19
TINT = 0.25
"""Of a mask's colour over the image that it lies on, which stays as it is elsewhere."""
PAPER: Colour = (255, 255, 255)
FAINT: Colour = (110, 110, 110)


@dataclass(frozen=True, kw_only=True, eq=False)
class Cell:
    """An image of a sheet with a mask.

    Attributes:
        image: RGB pixels (H, W, 3) uint8.
        mask: (H, W) bool, tinted and outlined in ``colour``.
        ignore: (H, W) bool, pixels that are not scored, drawn as white stripes; or ``None``.
        caption: a few words below.
    """

    image: npt.NDArray[np.uint8]
    mask: Mask
    colour: Colour
    caption: str
    ignore: Mask | None = None

    def drawn(self, side: int) -> Image.Image:
        """The picture; see `Drawable`."""
        return tile(self, side)


class Drawable(Protocol):
    """What a sheet has room for: a `Cell`, or another picture with a caption."""

    @property
    def caption(self) -> str:
        """A few words below it."""

    def drawn(self, side: int) -> Image.Image:
        """The picture, its longer side ``side`` pixels."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """Pictures side by side, under a title of their own if they have one."""

    cells: Sequence[Drawable]
    title: str = ""


def support_cell(frame: Frame, caption: str) -> Cell:
    """A support with its mask."""
    return Cell(image=frame.image, mask=frame.mask, ignore=frame.ignore, colour=BLUE, caption=caption)


def query_cell(frame: Frame, caption: str) -> Cell:
    """A query with its truth."""
    return Cell(image=frame.image, mask=frame.mask, ignore=frame.ignore, colour=GREEN, caption=caption)


class Sheet:
    """White paper with a pencil."""

    def __init__(self, width: int, height: int) -> None:
        self.image = Image.new("RGB", (width, height), PAPER)
        self.draw = ImageDraw.Draw(self.image)
        self.font = ImageFont.load_default(FONT)

    def write(self, x: int, y: int, text: str, width: int, colour: Colour | str = "black") -> None:
        """A line of text, cut where it would be wider than ``width`` pixels."""
        shown = text
        while shown and self.draw.textlength(shown, self.font) > width:
            shown = shown[:-2] + "…"
        self.draw.text((x, y), shown, fill=colour, font=self.font)

    def place(
        self, x: int, y: int, cell: Drawable, *, side: int = CELL, height: int = CELL, colour: Colour | str = "black"
    ) -> None:
        """A cell in the middle of a box of ``side`` × ``height`` pixels, its caption below."""
        drawn = cell.drawn(side)
        self.image.paste(drawn, (x + (side - drawn.width) // 2, y + (height - drawn.height) // 2))
        self.write(x, y + height + 1, cell.caption, side, colour)

    def save(self, path: Path, *, made_with: str = "", description: str = "") -> None:
        """Write the PNG, with what it was made with and what it shows in its text fields, if given."""
        said = PngImagePlugin.PngInfo()
        for name, text in (("Software", made_with), ("Description", description)):
            if text:
                said.add_itxt(name, text)
        buffer = io.BytesIO()
        self.image.save(buffer, "PNG", pnginfo=said)
        write_atomic(path, buffer.getvalue())


def draw_sheet(
    path: Path,
    *,
    columns: Sequence[str],
    rows: Sequence[Row],
    heading: Sequence[str] = (),
    made_with: str = "",
) -> None:
    """Write a PNG of rows of pictures, under column titles and a heading of a few lines.

    Args:
        made_with: what the file says it was made with; its heading is what it says it shows.
    """
    width = GAP + max(len(columns), *(len(row.cells) for row in rows)) * (CELL + GAP)
    heights = [max(cell.drawn(CELL).height for cell in row.cells) for row in rows]
    titles = sum(bool(row.title) for row in rows)
    above = len(heading) * LINE + (GAP if heading else 0)
    sheet = Sheet(width, above + LINE + 2 * GAP + sum(heights) + len(rows) * (LINE + GAP) + titles * LINE)
    for n, line in enumerate(heading):
        sheet.write(GAP, GAP + n * LINE, line, width - 2 * GAP, FAINT if n else "black")
    for c, title in enumerate(columns):
        sheet.write(GAP + c * (CELL + GAP), above + GAP, title, CELL)
    y = above + LINE + 2 * GAP
    for row, height in zip(rows, heights, strict=True):
        if row.title:
            sheet.write(GAP, y, row.title, width - 2 * GAP)
            y += LINE
        for c, cell in enumerate(row.cells):
            sheet.place(GAP + c * (CELL + GAP), y, cell, side=CELL, height=height, colour=FAINT)
        y += height + LINE + GAP
    sheet.save(path, made_with=made_with, description="\n".join(heading))


def tile_size(cell: Cell, side: int) -> tuple[int, int]:
    """Width and height of a cell whose longer side has ``side`` pixels."""
    return size_within(cell.mask.shape, side)


def size_within(shape: tuple[int, ...], side: int) -> tuple[int, int]:
    """Width and height of what has ``shape`` (H, W), made so large that its longer side has ``side`` pixels."""
    height, width = shape
    scale = side / max(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale))


def tile(cell: Cell, side: int) -> Image.Image:
    """One cell, its longer side ``side`` pixels; masks are enlarged with their image, so they stay aligned."""
    size = tile_size(cell, side)
    pixels, mask = resized_pixels(cell.image, size), resized_mask(cell.mask, size)
    painted = np.where(mask[..., None], (1 - TINT) * pixels + TINT * np.array(cell.colour), pixels)
    painted[_outline(mask, max(1, side // 100))] = cell.colour
    if cell.ignore is not None:
        painted[stripes(resized_mask(cell.ignore, size))] = 255
    return Image.fromarray(painted.astype(np.uint8))


def resized_pixels(image: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.float64]:
    """RGB pixels (H, W, 3) at another width and height, between 0 and 255."""
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR), dtype=np.float64)


def resized_mask(mask: Mask, size: tuple[int, int]) -> Mask:
    """A mask (H, W) at another width and height, nearest."""
    return np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))


def stripes(mask: Mask) -> Mask:
    """Every other diagonal of a mask (H, W): how pixels that are not scored are marked."""
    y, x = np.indices(mask.shape)
    striped: Mask = mask & ((x + y) % 4 < 2)
    return striped


def _outline(mask: Mask, thickness: int) -> Mask:
    """Foreground pixels that are at most ``thickness`` steps from the background."""
    inside = mask
    for _ in range(thickness):
        padded = np.pad(inside, 1)
        inside = inside & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    outline: Mask = mask & ~inside
    return outline

"""Episodes as pictures: masks laid over images, side by side."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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
    "Mask",
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

CELL = 150
GAP = 6
LINE = 16
PAPER: Colour = (255, 255, 255)
FAINT: Colour = (110, 110, 110)


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
        self.font = ImageFont.load_default(12)

    def write(self, x: int, y: int, text: str, width: int, colour: Colour | str = "black") -> None:
        """A line of text, cut where it would be wider than ``width`` pixels."""
        shown = text
        while shown and self.draw.textlength(shown, self.font) > width:
            shown = shown[:-2] + "…"
        self.draw.text((x, y), shown, fill=colour, font=self.font)

    def place(
        self, x: int, y: int, cell: Cell, *, side: int = CELL, height: int = CELL, colour: Colour | str = "black"
    ) -> None:
        """A cell in the middle of a box of ``side`` × ``height`` pixels, its caption below."""
        drawn = tile(cell, side)
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


def draw_sheet(path: Path, *, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    """Write a PNG with one row of cells an episode, under column titles."""
    width = GAP + max(len(row) for row in rows) * (CELL + GAP)
    row_height = CELL + LINE + GAP
    sheet = Sheet(width, LINE + 2 * GAP + len(rows) * row_height)
    for c, title in enumerate(columns):
        sheet.write(GAP + c * (CELL + GAP), GAP, title, CELL)
    for r, row in enumerate(rows):
        for c, cell in enumerate(row):
            sheet.place(GAP + c * (CELL + GAP), LINE + 2 * GAP + r * row_height, cell)
    sheet.save(path)


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
    # The object keeps its colours; what is not in the mask steps back.
    painted = np.where(mask[..., None], pixels, 0.45 * pixels)
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

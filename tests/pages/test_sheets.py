"""Sheets of episodes: every cell in its place, masks and ignored pixels to be seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from fssbench.pages.pictures import BLUE, CELL, GAP, GREEN, LINE, RED, TINT, Cell, Colour, Row, draw_sheet

Pixels = npt.NDArray[np.uint8]
GREY_LEVEL = 120


def cell(height: int = 100, width: int = 100, *, colour: Colour = RED, ignore: bool = False) -> Cell:
    """A grey image with a square mask in the middle, and its right edge ignored."""
    mask = np.zeros((height, width), bool)
    mask[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = True
    edge = np.zeros((height, width), bool)
    edge[:, -width // 10 :] = True
    grey = np.full((height, width, 3), GREY_LEVEL, np.uint8)
    return Cell(image=grey, mask=mask, colour=colour, caption="caption", ignore=edge if ignore else None)


def sheet(path: Path) -> Pixels:
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.mode == "RGB"
        return np.asarray(image)


def drawn(path: Path, one: Cell) -> Pixels:
    """A cell's own pixels (CELL, CELL, 3) as they stand on a sheet of their own."""
    beside = cell(CELL, CELL)  # which makes the row as high as it can be
    draw_sheet(path, columns=["title"], rows=[Row(cells=[one, beside])])
    return sheet(path)[LINE + 2 * GAP :, GAP:][:CELL, :CELL]


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 3), (4, 1)])
def test_a_sheet_has_room_for_every_row_and_column(tmp_path: Path, rows: int, columns: int) -> None:
    path = tmp_path / "new" / "sheet.png"
    draw_sheet(path, columns=["title"] * columns, rows=[Row(cells=[cell()] * columns)] * rows)
    height = LINE + 2 * GAP + rows * (CELL + LINE + GAP)
    assert sheet(path).shape == (height, GAP + columns * (CELL + GAP), 3)
    assert [file.name for file in path.parent.iterdir()] == ["sheet.png"]


def test_every_cell_stands_in_its_own_place(tmp_path: Path) -> None:
    """Each outline's colour is found in its own cell and in no other."""
    colours = [[RED, GREEN], [BLUE, RED]]
    path = tmp_path / "sheet.png"
    draw_sheet(path, columns=["a", "b"], rows=[Row(cells=[cell(colour=c) for c in row]) for row in colours])
    pixels = sheet(path)
    for r, row in enumerate(colours):
        for c, own in enumerate(row):
            y, x = LINE + 2 * GAP + r * (CELL + LINE + GAP), GAP + c * (CELL + GAP)
            there = pixels[y : y + CELL, x : x + CELL].reshape(-1, 3)
            found = {colour for colour in (RED, GREEN, BLUE) if (there == colour).all(axis=1).any()}
            assert found == {own}


@pytest.mark.parametrize("colour", [RED, GREEN, BLUE])
def test_a_mask_is_outlined_and_tinted_and_the_photograph_stays_as_it_is(tmp_path: Path, colour: Colour) -> None:
    """Its outline has the colour, exactly and nowhere else; inside a share of it lies over the image."""
    pixels = drawn(tmp_path / "sheet.png", cell(CELL, CELL, colour=colour))
    inside = np.zeros((CELL, CELL), bool)
    inside[CELL // 4 : 3 * CELL // 4, CELL // 4 : 3 * CELL // 4] = True
    core = inside & np.roll(inside, 1, 0) & np.roll(inside, -1, 0) & np.roll(inside, 1, 1) & np.roll(inside, -1, 1)
    assert ((pixels == colour).all(axis=2) == inside & ~core).all()
    assert (pixels[~inside] == GREY_LEVEL).all()
    assert (np.abs(pixels[core] - ((1 - TINT) * GREY_LEVEL + TINT * np.array(colour))) <= 1).all()


def test_an_empty_mask_has_no_outline(tmp_path: Path) -> None:
    empty = Cell(image=np.zeros((50, 50, 3), np.uint8), mask=np.zeros((50, 50), bool), colour=RED, caption="")
    assert (drawn(tmp_path / "sheet.png", empty) == 0).all()


def test_ignored_pixels_are_striped_in_white(tmp_path: Path) -> None:
    """Stripes: both white pixels and others, over the whole ignored part and not beyond it."""
    plain, striped = (drawn(tmp_path / "sheet.png", cell(CELL, CELL, ignore=i)) for i in (False, True))
    white, edge = (striped == 255).all(axis=2), CELL // 10
    assert not white[:, :-edge].any()
    assert 0.4 < white[:, -edge:].mean() < 0.6
    assert white[:, -edge:].any(axis=1).all()
    assert (striped[~white] == plain[~white]).all()


@pytest.mark.parametrize(("height", "width"), [(50, 100), (100, 50), (300, 40), (1, 500)])
def test_images_keep_their_shape_in_the_middle_of_the_cell(tmp_path: Path, height: int, width: int) -> None:
    pixels = drawn(tmp_path / "sheet.png", cell(height, width))
    taken = (pixels != 255).any(axis=2)
    rows, columns = np.flatnonzero(taken.any(axis=1)), np.flatnonzero(taken.any(axis=0))
    scale = CELL / max(height, width)
    assert abs(len(rows) - max(1, height * scale)) <= 1
    assert abs(len(columns) - max(1, width * scale)) <= 1
    assert abs(rows[0] - (CELL - 1 - rows[-1])) <= 1
    assert abs(columns[0] - (CELL - 1 - columns[-1])) <= 1


def test_titles_and_captions_are_written(tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    draw_sheet(path, columns=["a title"], rows=[Row(cells=[cell()])])
    pixels = sheet(path)
    assert (pixels[GAP : GAP + LINE] < 128).any()
    assert (pixels[LINE + 2 * GAP + CELL : LINE + 2 * GAP + CELL + LINE] < 128).any()


def test_a_row_is_as_high_as_its_tallest_picture_and_may_have_a_title(tmp_path: Path) -> None:
    def height(*rows: Row, **more: Any) -> int:
        draw_sheet(tmp_path / "sheet.png", columns=["a"], rows=rows, **more)
        return len(sheet(tmp_path / "sheet.png"))

    flat, upright = cell(50, 100), cell(100, 50)
    assert height(Row(cells=[flat])) + CELL // 2 == height(Row(cells=[flat, upright]))
    assert height(Row(cells=[flat], title="t")) == height(Row(cells=[flat])) + LINE
    assert height(Row(cells=[flat]), heading=["h", "i"]) == height(Row(cells=[flat])) + 2 * LINE + GAP

"""Predictions that another tool left: a folder of PNGs, or one file of run-length encodings.

**PNGs**, one an episode, named by the episode's index in its track (``17.png``, ``0000017.png`` or
``e0000017.png``): black and white, or 8-bit grey or palette of the values 0 and 1, or 0 and 255 — one of the
two in the whole folder.

**JSON lines**, one an episode: ``{"index": 17, "mask": {"size": [height, width], "counts": …}}`` with
COCO's run-length encoding, compressed (text) or not (a list of run lengths down the columns).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from fssbench.base.errors import (
    EpisodeIndexError,
    MaskShapeError,
    MaskTypeError,
    MaskValueError,
    ResultError,
    SourceError,
)
from fssbench.base.listing import is_litter
from fssbench.pipelines.formats import masks, regions
from fssbench.pipelines.formats.images import open_image
from fssbench.schemas.rle import Rle

__all__ = ["read_foreign"]

NAME = re.compile(r"e?(\d+)\.png", re.IGNORECASE)
MODES = ("1", "L", "P")
FORMATS = "a folder of PNGs named by episode index, or a .jsonl file of run-length encodings"


def read_foreign(path: Path, *, n_episodes: int, advance: Callable[[int], None]) -> dict[int, Rle]:
    """One mask an episode, by index, in either of the two formats.

    Raises:
        EpisodeIndexError: an episode has two masks, has none, or is not one of the ``n_episodes``.
        MaskTypeError: a PNG is of colours, or a line's mask is not an encoding.
        MaskValueError: a PNG has other values than 0 and 1, or 0 and 255.
        ResultError: ``path`` is neither, or a file cannot be read.
    """
    if path.is_dir():
        found = _read_folder(path, advance)
    elif path.is_file():
        found = _read_lines(path, advance)
    else:
        raise ResultError(f"there are no predictions at {path}", remedy=f"pass {FORMATS}")
    if strange := sorted(found.keys() - set(range(n_episodes))):
        raise EpisodeIndexError(
            f"{path} has a mask of episode {strange[0]}, the track's are 0 to {n_episodes - 1}",
            remedy="name masks by the episode's index in its track",
        )
    if missing := sorted(set(range(n_episodes)) - found.keys()):
        shown = ", ".join(map(str, missing[:5])) + (", …" if len(missing) > 5 else "")
        raise EpisodeIndexError(
            f"{path} has no mask of {len(missing):,} of {n_episodes:,} episodes: {shown}",
            remedy="predict them, or score the first ones with --episodes",
        )
    return found


def _add(found: dict[int, Rle], index: int, mask: Rle, where: str) -> None:
    if index in found:
        raise EpisodeIndexError(f"{where}: episode {index} has two masks", remedy="keep one of them")
    found[index] = mask


def _read_folder(folder: Path, advance: Callable[[int], None]) -> dict[int, Rle]:
    found: dict[int, Rle] = {}
    whites: dict[int, Path] = {}  # which value means foreground, and the file that showed it first
    for path in sorted(path for path in folder.iterdir() if not is_litter(path.name)):
        if not (match := NAME.fullmatch(path.name)):
            raise ResultError(f"{path} is not named by an episode's index", remedy="as in 17.png or e0000017.png")
        values = _read_png(path)
        _require_one_white(values, path, whites)
        _add(found, int(match[1]), masks.encode(values > 0), str(path))
        advance(1)
    if not found:
        raise ResultError(f"{folder} holds no predictions", remedy=f"pass {FORMATS}")
    return found


def _read_png(path: Path) -> npt.NDArray[np.uint8]:
    if path.is_fifo():
        raise ResultError(f"{path} is a pipe, not a file", remedy="save masks as PNG")
    try:
        with open_image(path.read_bytes(), where=str(path), formats=("PNG",), remedy="save masks as PNG") as image:
            _require_mask(image, path)
            return np.array(image, dtype=np.uint8)
    except SourceError as error:
        raise ResultError(error.problem, remedy=error.remedy) from error
    except OSError as error:
        raise ResultError(f"{path} cannot be read: {error.strerror}", remedy="save masks as PNG") from error


def _require_mask(image: Image.Image, path: Path) -> None:
    """Refuse from its header what is not a mask."""
    if image.mode not in MODES:
        raise MaskTypeError(
            f"{path} is a PNG of mode {image.mode}, expected one of {', '.join(MODES)}",
            remedy="save masks in 8-bit grey, 0 and 1",
        )


def _require_one_white(values: npt.NDArray[np.uint8], path: Path, whites: dict[int, Path]) -> None:
    found = {int(value) for value in np.unique(values)} - {0}
    if strange := sorted(found - {1, 255}):
        raise MaskValueError(
            f"{path} has pixels of value {strange[0]}, expected 0 and 1, or 0 and 255",
            remedy="threshold predictions before saving them",
        )
    for value in found:
        whites.setdefault(value, path)
    if len(whites) > 1:
        raise MaskValueError(
            f"{whites[1]} has pixels of value 1 and {whites[255]} of value 255, so which is foreground is unclear",
            remedy="use one of the two for foreground everywhere",
        )


def _read_lines(path: Path, advance: Callable[[int], None]) -> dict[int, Rle]:
    found: dict[int, Rle] = {}
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ResultError(f"{path} cannot be read as text: {error}", remedy=f"pass {FORMATS}") from error
    for number, line in enumerate(lines, start=1):
        if line.strip():
            _read_line(line, f"{path} line {number}", found)
            advance(1)
    if not found:
        raise ResultError(f"{path} holds no predictions", remedy=f"pass {FORMATS}")
    return found


def _read_line(line: str, where: str, found: dict[int, Rle]) -> None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ResultError(f"{where} is not JSON: {error}", remedy=f"pass {FORMATS}") from error
    index = row.get("index") if isinstance(row, dict) else None
    if type(index) is not int or "mask" not in row:
        raise ResultError(f'{where} must be {{"index": …, "mask": …}}, got {line[:60]}', remedy="fix the line")
    _add(found, index, _rle(row["mask"], where), where)


def _rle(mask: object, where: str) -> Rle:
    """A line's mask in the compressed form, its runs checked against its size."""
    counts = mask.get("counts") if isinstance(mask, dict) and "size" in mask else None
    if not isinstance(counts, list | str):
        raise MaskTypeError(
            f"{where}: a mask must be an encoding with size [height, width] and counts",
            remedy="as pycocotools writes it",
        )
    try:
        return regions.read_runs(mask)
    except SourceError as error:
        raise MaskShapeError(f"{where}: {error}", remedy="as pycocotools writes it") from error

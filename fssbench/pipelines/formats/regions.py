"""Regions as annotation files and other tools write them, in JSON, checked before a native library sees them.

pycocotools and OpenCV take on trust what they are given: on run lengths that do not fill their image they loop without
end or read beyond it, and a corner at infinity takes all memory there is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from reprlib import repr
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from fssbench.base.errors import SourceError
from fssbench.pipelines.formats import masks
from fssbench.pipelines.formats.images import MOST_PIXELS
from fssbench.schemas.rle import Rle

__all__ = ["Size", "draw", "fault", "faults", "read_runs"]

Size = tuple[int, int]
"""An image's height and width in pixels."""

CHUNK = 4_096
"""Regions that are looked at together."""
LONGEST, SHORT = 1 << 23, 1 << 16
"""An outline may lead along every pixel of its image and back, up to the first number of pixels, and the second more.

pycocotools takes about a hundred bytes a pixel to draw it.
"""


def draw(region: object, size: Size) -> Rle:
    """The mask of a region that has no `fault`: of all its polygons, or of its run lengths."""
    if not isinstance(region, list):
        return read_runs(region)
    # Two corners enclose nothing, and pycocotools takes them for a box.
    return masks.union(coco_mask.frPyObjects([polygon for polygon in region if len(polygon) >= 6], *size))


def read_runs(value: object) -> Rle:
    """Run lengths, compressed (text) or not (a list down the columns) → the one encoding that their mask has.

    Raises `SourceError` unless they are whole and fill their size exactly.
    """
    runs, size = _runs(value)
    return masks.encode(masks.fill(runs, *size))


def _runs(value: object) -> tuple[npt.NDArray[np.int64], Size]:
    if not isinstance(value, dict) or not {"size", "counts"} <= value.keys():
        raise SourceError(f"run lengths must have size [height, width] and counts, got {repr(value)}")
    size, counts = value["size"], value["counts"]
    height, width = masks.check_size(size)
    if isinstance(counts, str):
        return masks.runs(Rle(size=size, counts=counts)), (height, width)
    if not isinstance(counts, list) or not all(type(run) is int and abs(run) <= MOST_PIXELS for run in counts):
        raise SourceError(f"counts must be text or a list of how many pixels each run has, got {repr(counts)}")
    return masks.filling(np.array(counts, dtype=np.int64), height, width), (height, width)


def faults(regions: Sequence[object], sizes: Sequence[Size]) -> Iterator[tuple[int, str]]:
    """The places of regions that cannot be drawn in images of these sizes, in order, and what is wrong with each.

    COCO has nearly a million: they are looked at many at a time, and one by one only where that finds something.
    """
    for start in range(0, len(regions), CHUNK):
        some, their = regions[start : start + CHUNK], sizes[start : start + CHUNK]
        if not _surely_sound(some, their):
            for place, (region, size) in enumerate(zip(some, their, strict=True), start):
                if said := fault(region, size):
                    yield place, said


def fault(region: object, size: Size) -> str:
    """What is wrong with a region in an image of this size; empty if it can be drawn."""
    if isinstance(region, dict):
        return _fault_of_runs(region, size)
    if not isinstance(region, list) or not region:
        return f"its region must be a list of polygons, or run lengths, got {repr(region)}"
    for polygon in region:
        if said := _fault_of_polygon(polygon, size):
            return said
    if max(map(len, region)) < 6:
        return "none of its polygons has three corners"
    length = sum(_outline(np.array(polygon, dtype=np.float64).reshape(-1, 2)) for polygon in region)
    longest = min(2 * size[0] * size[1], LONGEST) + SHORT
    return f"its outline is {length:.0f} pixels long, expected at most {longest}" if length > longest else ""


def _fault_of_runs(region: dict[str, object], size: Size) -> str:
    try:
        if (own := _runs(region)[1]) != size:
            return f"its run lengths are of size {list(own)}, the image of {list(size)} (height, width)"
    except SourceError as error:
        return error.problem
    return ""


def _fault_of_polygon(polygon: object, size: Size) -> str:
    if not isinstance(polygon, list):
        return f"a polygon must be a list of numbers x, y, x, y, …, got {repr(polygon)}"
    if strange := [number for number in polygon if type(number) not in (int, float)]:
        return f"a polygon must be a list of numbers x, y, x, y, …, got {repr(strange[0])} in it"
    if len(polygon) < 4 or len(polygon) % 2:
        return f"a polygon has {len(polygon)} numbers, expected two for each of three corners or more"
    height, width = size
    for x, y in zip(polygon[0::2], polygon[1::2], strict=True):
        if not (-width <= x <= 2 * width and -height <= y <= 2 * height):
            return f"a polygon has a corner at {repr(x)}, {repr(y)}, far outside the image of {width}×{height} pixels"
    return ""


def _surely_sound(regions: Sequence[object], sizes: Sequence[Size]) -> bool:
    """Whether all regions can be drawn, found for all polygons at once; `fault` has the last word where it says no."""
    drawn: list[list[Any]] = []
    their: list[Size] = []
    for region, size in zip(regions, sizes, strict=True):
        if isinstance(region, list):
            drawn.append(region)
            their.append(size)
        elif fault(region, size):
            return False
    if not all(drawn) or not set(map(type, chain.from_iterable(drawn))) <= {list}:
        return False
    polygons = list(chain.from_iterable(drawn))
    lengths = np.array([len(polygon) for polygon in polygons], dtype=np.int64)
    numbers = list(chain.from_iterable(polygons))
    if (lengths % 2).any() or (lengths < 6).any() or not set(map(type, numbers)) <= {int, float}:
        return False
    if not drawn:
        return True
    try:
        values = np.array(numbers, dtype=np.float64)
    except OverflowError:  # an integer beyond all numbers with a point
        return False
    corners = np.add.reduceat(lengths // 2, _starts([len(region) for region in drawn]))
    sides = np.array(their, dtype=np.int64)
    longest = np.minimum(2 * sides.prod(axis=1), LONGEST) + SHORT
    for axis, side in ((values[0::2], sides[:, 1]), (values[1::2], sides[:, 0])):
        low = np.minimum.reduceat(axis, _starts(corners))
        high = np.maximum.reduceat(axis, _starts(corners))
        if not ((low >= -side) & (high <= 2 * side)).all():
            return False
        if not (corners * (high - low) <= longest).all():  # no step of an outline is longer than it is wide or high
            return False
    return True


def _starts(lengths: Sequence[int] | npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Where parts of these lengths begin that lie one behind the other."""
    return np.concatenate(([0], np.cumsum(lengths)[:-1]), dtype=np.int64)


def _outline(corners: npt.NDArray[np.float64]) -> float:
    """How many pixels lead around a polygon (N, 2)."""
    return float(np.abs(corners - np.roll(corners, 1, axis=0)).max(axis=1).sum())

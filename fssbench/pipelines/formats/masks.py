"""Class masks as COCO run-length encodings: small, exact, and the same bytes everywhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from fssbench.base.errors import SourceError
from fssbench.schemas.rle import Rle

__all__ = ["area", "check", "decode", "difference", "draw", "encode", "intersection", "union"]


MOST_GROUPS = 7
"""Groups of five bits in a run length below 2³⁴, which no image has."""


def encode(mask: npt.NDArray[np.bool_]) -> Rle:
    """A mask (H, W) bool → its encoding."""
    return _text(coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8)))


def decode(rle: Rle) -> npt.NDArray[np.bool_]:
    """An encoding → its mask (H, W) bool; `SourceError` if its runs do not fill its size.

    Runs go down the columns, rows are wanted: only the columns from the first of the mask to its last are turned.
    """
    runs = _quick_runs(rle["counts"])
    if runs is None or len(rle["size"]) != 2 or runs.min() < 0 or runs.sum() != rle["size"][0] * rle["size"][1]:
        check(rle)
        return np.ascontiguousarray(coco_mask.decode(rle), dtype=np.bool_)
    height, width = rle["size"]
    mask = np.zeros((height, width), dtype=np.bool_)
    inner = runs[: len(runs) // 2 * 2]  # without background at the end
    if len(inner):
        start, end = int(inner[0]) // height, -(-int(inner.sum()) // height)
        inner[0] -= start * height
        columns = np.zeros((end - start, height), dtype=np.bool_)
        ones = np.repeat(np.arange(len(inner)) % 2 == 1, inner)
        columns.reshape(-1)[: len(ones)] = ones
        mask[:, start:end] = columns.T
    return mask


def draw(polygons: Sequence[Sequence[float]], height: int, width: int) -> Rle:
    """Polygons, each x, y, x, y, … in pixels, as one mask; `SourceError` if one has fewer than three corners."""
    if short := [polygon for polygon in polygons if len(polygon) < 6]:
        raise SourceError(f"a polygon has {len(short[0])} coordinates, expected at least 6")
    return union(coco_mask.frPyObjects([list(polygon) for polygon in polygons], height, width))


def check(rle: Rle) -> None:
    """Raise `SourceError` unless the runs fill the size exactly, which the decoder takes on trust."""
    size = rle["size"]
    if len(size) != 2 or min(size) < 1:
        raise SourceError(f"a mask's size must be [height, width] of 1 or more, got {size}")
    height, width = size
    runs = _runs(rle["counts"])
    if min(runs, default=0) < 0:
        raise SourceError(f"a mask has a run of {min(runs)} pixels")
    if (total := sum(runs)) != height * width:
        raise SourceError(f"a mask's runs cover {total} pixels, its size {height}×{width} has {height * width}")


def _runs(counts: str) -> list[int]:
    """Run lengths of the compressed form.

    Each number is written in groups of five bits, lowest first, plus 48; bit 6 says that more follow, bit 5
    of the last group is the sign. From the fourth on, a number is the difference to the run two before.

    Raises `SourceError` if the text ends within a number, or holds what is no group.
    """
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        group = ord(character) - 48
        if not 0 <= group < 64:
            raise SourceError(f"a mask's run lengths hold {character!r}, which is no part of a number")
        value |= (group & 0x1F) << shift
        shift += 5
        if not group & 0x20:
            if group & 0x10:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift:
        raise SourceError("a mask's run lengths end within a number")
    return runs


def _quick_runs(counts: str) -> npt.NDArray[np.int64] | None:
    """What `_runs` says of well-formed text, some times faster; ``None`` of any that it may not be right about."""
    groups = np.frombuffer(counts.encode(), dtype=np.uint8).astype(np.int64) - 48
    if not len(groups) or groups.min() < 0 or groups.max() > 63 or groups[-1] & 0x20:
        return None
    ends = np.flatnonzero(groups < 0x20)
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if lengths.max() > MOST_GROUPS:
        return None
    shifts = 5 * (np.arange(len(groups)) - np.repeat(starts, lengths))
    runs: npt.NDArray[np.int64] = np.add.reduceat((groups & 0x1F) << shifts, starts)
    runs[(groups[ends] & 0x10) != 0] -= 1 << 5 * lengths[(groups[ends] & 0x10) != 0]
    runs[1::2] = runs[1::2].cumsum()
    runs[2::2] = runs[2::2].cumsum()
    return runs


def area(rle: Rle) -> int:
    """The number of pixels that are 1."""
    return int(coco_mask.area(rle))


def union(rles: Sequence[Rle]) -> Rle:
    """The union of masks of one size; also of what pycocotools draws, whose counts are bytes."""
    return _text(coco_mask.merge(list(rles)))


def intersection(rles: Sequence[Rle]) -> Rle:
    """The pixels that are 1 in all of some masks of one size."""
    return _text(coco_mask.merge(list(rles), intersect=True))


def difference(rle: Rle, without: Rle) -> Rle:
    """The pixels that are 1 in ``rle`` and 0 in ``without``, of one size."""
    return encode(decode(rle) & ~decode(without))


def _text(raw: dict[str, object]) -> Rle:
    counts, size = raw["counts"], raw["size"]
    assert isinstance(counts, bytes)
    assert isinstance(size, list)
    return Rle(size=[int(side) for side in size], counts=counts.decode("ascii"))

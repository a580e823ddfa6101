"""Class masks as COCO run-length encodings: small, exact, and the same bytes everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from reprlib import repr

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from fssbench.base.errors import SourceError
from fssbench.pipelines.formats.images import MOST_PIXELS
from fssbench.schemas.rle import Rle

__all__ = [
    "area",
    "check_size",
    "decode",
    "difference",
    "drawn_area",
    "encode",
    "fill",
    "filling",
    "intersection",
    "runs",
    "union",
]


MOST_GROUPS = 7
"""Groups of five bits in a run length below 2³⁴, which no image has."""


def encode(mask: npt.NDArray[np.bool_]) -> Rle:
    """A mask (H, W) bool → its encoding."""
    return _text(coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8)))


def decode(rle: Rle, *, size: tuple[int, int] | None = None) -> npt.NDArray[np.bool_]:
    """An encoding → its mask (H, W) bool; `SourceError` if its runs do not fill its size, or it is not of ``size``."""
    if size is not None and rle["size"] != list(size):
        raise SourceError(f"a mask is of size {repr(rle['size'])}, its image of {list(size)} (height, width)")
    return fill(runs(rle), *rle["size"])


def check_size(size: object, *, what: str = "a mask's size") -> tuple[int, int]:
    """A stored size → height and width; `SourceError` if it is another thing, or larger than any image that is read."""
    if not isinstance(size, list) or len(size) != 2 or not all(type(side) is int and side > 0 for side in size):
        raise SourceError(f"{what} must be [height, width] of 1 or more, got {repr(size)}")
    height, width = size
    if height * width > MOST_PIXELS:
        raise SourceError(f"{what} is {repr(size)}, more than {MOST_PIXELS:,} pixels")
    return height, width


def fill(runs: npt.NDArray[np.int64], height: int, width: int) -> npt.NDArray[np.bool_]:
    """Run lengths that fill a size, background first → the mask (H, W) bool.

    Runs go down the columns, rows are wanted: only the columns from the first of the mask to its last are turned.
    """
    mask = np.zeros((height, width), dtype=np.bool_)
    inner = runs[: len(runs) // 2 * 2]  # without background at the end
    if len(inner):
        start, end = int(inner[0]) // height, -(-int(inner.sum()) // height)
        columns = np.zeros((end - start, height), dtype=np.bool_)
        ones = np.repeat(np.arange(len(inner)) % 2 == 1, inner)[start * height :]
        columns.reshape(-1)[: len(ones)] = ones
        mask[:, start:end] = columns.T
    return mask


def runs(rle: Rle) -> npt.NDArray[np.int64]:
    """The run lengths; `SourceError` unless they fill the size exactly, and no more memory than that takes.

    Each number is written in groups of five bits, lowest first, plus 48; bit 6 says that more follow, bit 5
    of the last group is the sign. From the fourth on, a number is the difference to the run two before.
    """
    height, width = check_size(rle["size"])
    counts = rle["counts"]
    groups = np.frombuffer(counts.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.int64) - 48
    if len(strange := np.flatnonzero((groups < 0) | (groups > 63))):
        raise SourceError(f"a mask's run lengths hold {counts[strange[0]]!r}, which is not part of a number")
    if len(groups) and groups[-1] & 0x20:
        raise SourceError("a mask's run lengths end within a number")
    return filling(_numbers(groups), height, width)


def filling(runs: npt.NDArray[np.int64], height: int, width: int) -> npt.NDArray[np.int64]:
    """The same run lengths; `SourceError` unless they fill the size exactly."""
    if len(runs) and runs.min() < 0:
        raise SourceError(f"a mask has a run of {runs.min()} pixels")
    if (total := int(runs.sum(dtype=np.float64))) != height * width:  # what is too much for integers is too much
        raise SourceError(f"a mask's runs cover {total} pixels, its size {height}×{width} has {height * width}")
    return runs


def _numbers(groups: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Whole numbers' groups → run lengths."""
    ends = np.flatnonzero(groups < 0x20)
    if not len(ends):
        return ends
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if lengths.max() > MOST_GROUPS:
        raise SourceError("a mask's run lengths hold a number that is longer than any image")
    shifts = 5 * (np.arange(len(groups)) - np.repeat(starts, lengths))
    runs: npt.NDArray[np.int64] = np.add.reduceat((groups & 0x1F) << shifts, starts)
    negative = (groups[ends] & 0x10) != 0
    runs[negative] -= 1 << 5 * lengths[negative]
    runs[1::2] = runs[1::2].cumsum()
    runs[2::2] = runs[2::2].cumsum()
    return runs


def area(rle: Rle) -> int:
    """The number of pixels that are 1; `SourceError` as `decode`."""
    return int(runs(rle)[1::2].sum())


def drawn_area(rle: Rle) -> int:
    """The same, some twenty times faster, of an encoding that was made here: nothing is checked."""
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

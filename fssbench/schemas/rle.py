"""A mask as it is stored."""

from __future__ import annotations

from typing_extensions import TypedDict  # pydantic takes Python"s own only from 3.12

__all__ = ["Rle"]


class Rle(TypedDict):
    """COCO's compressed run-length encoding: ``size`` is [height, width], ``counts`` is ASCII."""

    size: list[int]
    counts: str

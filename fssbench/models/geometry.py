"""Where an image lies in a model's input: whole numbers alone, so that masks go the same way there and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Geometry", "Padding", "Resize", "Size", "geometry_of"]

Size = tuple[int, int]
"""Height and width in pixels."""

Resize = Literal["squash", "keep", "none"]
Padding = Literal["end", "centre"]


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Where an image lies in a model's input.

    Attributes:
        original: size of the image itself.
        content: size that it is resized to.
        corner: row and column of its upper left pixel in the input.
        input: size of the input; what is not content is padding.
    """

    original: Size
    content: Size
    corner: tuple[int, int]
    input: Size

    @property
    def padded(self) -> bool:
        """Whether some of the input is padding."""
        return self.content != self.input

    @property
    def margins(self) -> tuple[int, int, int, int]:
        """Pixels of padding to the left, to the right, above and below, as `torch.nn.functional.pad` has them."""
        (h, w), (top, left), (height, width) = self.content, self.corner, self.input
        return left, width - w - left, top, height - h - top

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the input that are content."""
        (h, w), (top, left) = self.content, self.corner
        return slice(top, top + h), slice(left, left + w)


def geometry_of(
    original: Size,
    *,
    resize: Resize,
    size: Size,
    round_to: int | None = None,
    pad_multiple: int | None = None,
    pad_where: Padding = "end",
) -> Geometry:
    """Where an image of size ``original`` lies; arguments as in `fssbench.models.preprocess.Preprocess`."""
    if resize == "squash":
        content = size
    elif resize == "keep":
        scale = min(size[0] / original[0], size[1] / original[1])
        content = (_rounded(original[0] * scale, round_to), _rounded(original[1] * scale, round_to))
    else:
        content = (_rounded(original[0], round_to), _rounded(original[1], round_to))
    whole = size if resize != "none" and pad_multiple is None else content
    if pad_multiple is not None:
        whole = (_up(content[0], pad_multiple), _up(content[1], pad_multiple))
    above, left = (whole[0] - content[0], whole[1] - content[1]) if pad_where == "centre" else (0, 0)
    return Geometry(original=original, content=content, corner=(above // 2, left // 2), input=whole)


def _rounded(side: float, to: int | None) -> int:
    """To the nearest whole number, or down to a multiple; at least one of these."""
    return max(1, int(side + 0.5)) if to is None else max(to, int(side) // to * to)


def _up(side: int, to: int) -> int:
    return -(-side // to) * to

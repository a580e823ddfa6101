"""Masks as PNG files: which value every pixel has, and what kept a file from saying so."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from fssbench.base.errors import MaskFileError
from fssbench.pipelines.formats.images import MOST_PIXELS
from fssbench.pipelines.sources.files import read_bytes

__all__ = ["VOC_COLOURS", "MaskValues", "Values", "decode_indices", "read_grey", "read_indices"]

Values = npt.NDArray[np.uint8]

NONE = -1
"""The value of a colour that stands for none."""

INDEX_MODES = ("L", "P")
GREY_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")
START_OF_JPEG = b"\xff\xd8\xff"
VIVID = 128
"""From this distance between its channels on, a pixel is of a colour: published masks of FSS-1000 stay below 30."""

AS_PUBLISHED = "use the masks as published"
BY_INDEX = "save masks with one value a class, not one colour a class"
MODES = {
    "1": ("masks of 1 bit, black and white", "save them in 8-bit grey, with the values that are meant"),
    "LA": ("masks with an alpha channel", "save them in 8-bit grey, without transparency"),
    "PA": ("masks with an alpha channel", "save them in 8-bit grey, without transparency"),
    "RGB": ("masks of colours", "use the masks as published; an image of colours does not say which class is which"),
    "RGBA": ("masks of colours", "use the masks as published; an image of colours does not say which class is which"),
}
DEEP = ("masks of 16 bits", "save them with 8 bits a pixel")


def _voc_colour(value: int) -> tuple[int, int, int]:
    """VOC's colour of a mask value: its bits dealt out to red, green and blue in turn, highest place first."""
    red, green, blue = (sum((value >> (3 * k + channel) & 1) << (7 - k) for k in range(3)) for channel in range(3))
    return red, green, blue


VOC_COLOURS = {_voc_colour(value): value for value in range(256)}
"""The 256 values of masks by the colour that VOC's palette gives each, and with it most tools."""


@dataclass(frozen=True, kw_only=True)
class MaskValues:
    """What the values of a data set's masks may be.

    Attributes:
        known: the values that mean something.
        expected: said behind a value that does not.
        remedy: what to do about such a value.
        own: whether values and colours are the user's own choice, so that a palette in VOC's colours may be meant
            otherwise; that of a benchmark of class indices is not.
    """

    known: frozenset[int]
    expected: str
    remedy: str
    own: bool = False

    @staticmethod
    def of_classes(n_classes: int, *, ignore_label: int | None) -> MaskValues:
        """0 for background, class + 1, and perhaps a label for what is not scored."""
        also = "" if ignore_label is None else f" and {ignore_label}"
        return MaskValues(
            known=frozenset((*range(n_classes + 1), *(() if ignore_label is None else (ignore_label,)))),
            expected=f"expected 0 to {n_classes}{also}",
            remedy="use masks of class indices: 1 is the first class, without the gaps of category ids",
        )


def decode_indices(data: bytes, *, where: str, meant: MaskValues) -> tuple[Values, bool]:
    """A palette or grey PNG → its values (H, W) uint8, and whether they are those of its palette's colours.

    Stored values count, whatever colours a palette gives them. But a program that saves a mask by way of its colours
    numbers these as it likes: where a palette has VOC's colours at other values than VOC, the colours count.

    Raises:
        MaskFileError: the file, named ``where``, is not such a PNG, or its palette shows that its values are lost.
    """
    image = _open(data, where)
    if image.mode not in INDEX_MODES:
        kind, remedy = MODES.get(image.mode, DEEP)
        if kind == "masks of colours" and _of_voc(image):
            remedy = f"its colours are VOC's: {BY_INDEX}, or {AS_PUBLISHED}"
        raise MaskFileError(
            f"{where} is a PNG of mode {image.mode}, expected class indices in a palette or 8-bit grey PNG",
            kind=f"{kind}, not of class indices",
            remedy=remedy,
        )
    stored = np.array(image, dtype=np.uint8)
    return _by_colour(stored, _palette(image), where, meant) if image.mode == "P" else (stored, False)


def read_indices(path: Path, meant: MaskValues) -> tuple[Values, bool]:
    """See `decode_indices`, from a file."""
    return decode_indices(read_bytes(path), where=str(path), meant=meant)


def read_grey(path: Path) -> tuple[Values, bool]:
    """A PNG of up to 8 bits a channel → its grey values (H, W) uint8, and whether it is rather of colours.

    Colours, of pixels or of a palette, count by their luma (ITU-R 601-2, rounded); transparency is ignored.
    """
    image = _open(read_bytes(path), str(path))
    if image.mode not in GREY_MODES:
        raise MaskFileError(
            f"{path} is a PNG of mode {image.mode}, expected one of {', '.join(GREY_MODES)}",
            kind=DEEP[0],
            remedy=f"{AS_PUBLISHED}, or {DEEP[1]}",
        )
    coloured = False
    if image.mode in ("P", "RGB", "RGBA"):
        pixels = np.array(image.convert("RGB"), dtype=np.int16)
        vivid = np.count_nonzero(pixels.max(axis=2) - pixels.min(axis=2) >= VIVID)
        coloured = bool(vivid * 2 > np.count_nonzero(pixels.max(axis=2)))
    return np.array(image.convert("L"), dtype=np.uint8), coloured


def _open(data: bytes, where: str) -> Image.Image:
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            image.load()
    except UnidentifiedImageError as error:
        again = "download or unpack it again"
        if data.startswith(START_OF_JPEG):
            raise MaskFileError(
                f"{where} is not a PNG but a JPEG, which does not keep values as they are",
                kind="masks that are JPEGs",
                remedy=AS_PUBLISHED,
            ) from error
        raise MaskFileError(f"{where} is not a PNG", kind="masks that are not PNGs", remedy=again) from error
    except Image.DecompressionBombError as error:
        raise MaskFileError(
            f"{where} has more than {MOST_PIXELS:,} pixels",
            kind="masks with too many pixels",
            remedy="make it smaller, or cut it into tiles",
        ) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise MaskFileError(
            f"{where} is damaged: {error}", kind="masks that are damaged", remedy="download or unpack it again"
        ) from error
    image.info.pop("transparency", None)  # would make a conversion to grey warn
    return image


def _palette(image: Image.Image) -> npt.NDArray[np.uint8]:
    return np.array(image.getpalette() or [], dtype=np.uint8).reshape(-1, 3)


@cache
def _web() -> npt.NDArray[np.uint8]:
    """The palette that Pillow gives an image of colours unless told otherwise: 216 colours of early web pages."""
    return _palette(Image.new("RGB", (1, 1)).convert("P"))


def _of_voc(image: Image.Image) -> bool:
    """Whether an image has no other colours than VOC's palette begins and ends with."""
    colours = np.unique(np.array(image.convert("RGB")).reshape(-1, 3), axis=0).tolist()
    return all(VOC_COLOURS.get((red, green, blue), 99) in (*range(21), 255) for red, green, blue in colours)


def _by_colour(stored: Values, palette: npt.NDArray[np.uint8], where: str, meant: MaskValues) -> tuple[Values, bool]:
    """See `decode_indices`."""
    used = np.unique(stored).tolist()
    if used[-1] >= len(palette):
        return stored, False
    colours = [(red, green, blue) for red, green, blue in palette[used].tolist()]
    voc = [VOC_COLOURS.get(colour, NONE) for colour in colours]
    grey = [red if red == green == blue else NONE for red, green, blue in colours]
    if used in (voc, grey) or len(set(colours)) < len(used):
        return stored, False
    sensible = meant.known.issuperset(used)
    if _means(voc, meant, besides={0}):
        if sensible and meant.own:
            raise _lost(where, "VOC's colours at other values than VOC's, so either may be meant")
        return _replaced(stored, used, voc), True
    if _means(grey, meant, besides={0, 255}) and not (sensible and meant.own):
        return _replaced(stored, used, grey), True
    if palette.any() and np.array_equal(palette[: len(_web())], _web()[: len(palette)]):
        raise _lost(where, "the 216 colours of the web, as of a mask that was saved by way of its colours")
    if not meant.own and any(v and v in meant.known and v != u for u, v in zip(used, voc, strict=True)):
        raise _lost(where, "VOC's colours at other values than VOC's, and others between them")
    return stored, False


def _means(shown: list[int], meant: MaskValues, *, besides: set[int]) -> bool:
    """Whether all colours stand for values that mean something, and not only for those of ``besides``."""
    return meant.known.issuperset(shown) and not besides.issuperset(shown)


def _replaced(stored: Values, used: list[int], shown: list[int]) -> Values:
    table = np.zeros(256, np.uint8)
    table[used] = shown
    return table[stored]


def _lost(where: str, what: str) -> MaskFileError:
    return MaskFileError(
        f"{where} has a palette with {what}; its values do not say which class is which",
        kind="masks whose palette shows that their values were lost",
        remedy=f"{BY_INDEX}, in 8-bit grey, or {AS_PUBLISHED}",
    )

"""Image files, JPEG and PNG: checked without decoding when prepared, decoded as their masks mean them when streamed."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError

from fssbench.base.errors import FssbenchError, SourceError

__all__ = ["FORMATS", "MOST_PIXELS", "Header", "decode", "fit_orientation", "inspect", "open_image", "suffix"]

FORMATS = ("JPEG", "PNG")
"""What a shard may hold. The published data sets are JPEG; folders of one's own may have either."""

MOST_PIXELS = 178_956_970
"""The largest image and mask that are read. Pillow takes what is larger for an attack; from half of it on it warns."""
# Whatever else Pillow remarks, such as of a camera's broken notes, is not about pixels.
warnings.filterwarnings("ignore", module=r"PIL\.")

MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK")
"""Colour spaces of 8 bits or fewer a channel, which become RGB without loss but of transparency."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
START_OF_IMAGE = b"\xff\xd8"
START_OF_SCAN = b"\xff\xda"
END_OF_IMAGE = b"\xff\xd9"
SIDEWAYS = {
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientations that swap width and height, and what undoes them."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a JPEG says of itself.

    Attributes:
        width: of the stored pixels.
        height: likewise.
        orientation: EXIF orientation (1–8).
        mode: PIL's name of the colour space: ``RGB``, ``L`` or ``CMYK``.
    """

    width: int
    height: int
    orientation: int
    mode: str


def suffix(data: bytes) -> str:
    """``jpg`` or ``png``: which of the two formats an image file has."""
    return "png" if data.startswith(PNG_SIGNATURE) else "jpg"


@contextmanager
def open_image(data: bytes, *, where: str, formats: tuple[str, ...], remedy: str) -> Iterator[Image.Image]:
    """An image file, to be looked at and loaded within; `SourceError` naming ``where`` if it cannot be."""
    try:
        with Image.open(io.BytesIO(data), formats=formats) as image:
            yield image
    except FssbenchError:  # of the caller's own
        raise
    except UnidentifiedImageError as error:
        raise SourceError(f"{where} is not a {' or '.join(formats)}", remedy=remedy) from error
    except Image.DecompressionBombError as error:
        raise SourceError(
            f"{where} has more than {MOST_PIXELS:,} pixels", remedy="make it smaller, or cut it into tiles"
        ) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise SourceError(f"{where} is damaged: {error}", remedy=remedy) from error


def inspect(jpeg: bytes, *, where: str, formats: tuple[str, ...] = ("JPEG",)) -> Header:
    """Read an image file's header and make sure it is whole; `SourceError` naming ``where`` if it is not.

    A JPEG that ends in an end-of-image marker is taken as whole without decoding it; only one that does
    not is decoded, to tell a cut file from an untidy one. A PNG, which has checksums, is decoded.
    """
    with open_image(jpeg, where=where, formats=formats, remedy="download it again") as image:
        orientation = _orientation(image)
        scan = jpeg.find(START_OF_SCAN)
        if image.format != "JPEG" or jpeg.rfind(END_OF_IMAGE) <= scan:
            image.load()
        (width, height), mode = image.size, image.mode
    if mode not in MODES:
        raise SourceError(f"{where} has pixels of mode {mode}", remedy="store it with 8 bits a channel")
    return Header(width, height, orientation, mode)


def _orientation(image: Image.Image) -> int:
    """What EXIF says (1–8), or 1; broken EXIF, of which Pillow raises almost anything, says nothing."""
    try:
        said = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:
        return 1
    return said if said in range(1, 9) else 1


def fit_orientation(header: Header, *, height: int, width: int, where: str) -> int:
    """The EXIF orientation to apply so that the image has the size its masks were drawn at.

    Pixels as stored are preferred, since annotation tools of these data sets showed them so; the file's
    orientation is applied only where it alone gives the annotated size.
    """
    if (header.height, header.width) == (height, width):
        return 1
    if header.orientation in SIDEWAYS and (header.width, header.height) == (height, width):
        return header.orientation
    raise SourceError(
        f"{where} is {header.width}×{header.height} pixels, its annotation says {width}×{height}",
        remedy="image and annotation are not of the same data set, or the image was resized",
    )


def decode(jpeg: bytes, *, orientation: int = 1, where: str) -> npt.NDArray[np.uint8]:
    """A JPEG or PNG of any colour space → RGB pixels (H, W, 3) uint8, turned by ``orientation``.

    Raises `SourceError` naming ``where`` if it cannot be decoded.
    """
    try:
        with Image.open(io.BytesIO(jpeg), formats=FORMATS) as image:
            image.info.pop("transparency", None)  # would make the conversion warn
            turned = image.transpose(SIDEWAYS[orientation]) if orientation in SIDEWAYS else image
            return np.array(turned if turned.mode == "RGB" else turned.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise SourceError(f"{where} cannot be decoded: {error}", remedy="prepare the set again") from error

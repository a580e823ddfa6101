"""What is laid over a query: where a mask is right and wrong, and where a map is high."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from fssbench.pages.pictures import Colour, Mask, resized_mask, resized_pixels, size_within, stripes

__all__ = ["FALSE", "HIT", "MISSED", "HeatCell", "error_tile", "heat_tile"]

# Told apart with any colour vision (Okabe and Ito 2008).
HIT: Colour = (0, 158, 115)
FALSE: Colour = (230, 159, 0)
MISSED: Colour = (86, 140, 255)

STRENGTH, FAINTEST = 0.7, 0.35
"""Of a colour over the grey image, and of a map's colour where it is lowest."""

# From dark to light, so that it can be read without seeing hue.
HEAT = np.array([(10, 8, 40), (84, 20, 110), (187, 55, 84), (249, 142, 9), (252, 255, 164)], dtype=np.float64)


def error_tile(
    image: npt.NDArray[np.uint8], *, truth: Mask, prediction: Mask, ignore: Mask | None, side: int
) -> Image.Image:
    """An image in grey with its pixels coloured by what a mask makes of them.

    Args:
        image: RGB pixels (H, W, 3) uint8.
        truth: (H, W) bool.
        prediction: likewise.
        ignore: likewise, pixels that are not scored, drawn as white stripes; or ``None``.
        side: pixels of the tile's longer side.
    """
    size = size_within(truth.shape, side)
    grey = resized_pixels(image, size).mean(axis=2, keepdims=True)
    painted = np.repeat(0.35 * grey + 60, 3, axis=2)
    true, predicted = resized_mask(truth, size), resized_mask(prediction, size)
    for colour, where in ((HIT, true & predicted), (FALSE, predicted & ~true), (MISSED, true & ~predicted)):
        painted[where] = (1 - STRENGTH) * painted[where] + STRENGTH * np.array(colour)
    if ignore is not None:
        painted[stripes(resized_mask(ignore, size))] = 255
    return Image.fromarray(painted.astype(np.uint8))


def heat_tile(image: npt.NDArray[np.uint8], heat: npt.NDArray[np.float32], *, side: int) -> Image.Image:
    """An image in grey under a map (h, w) of any range, faint and dark where it is lowest, light where highest."""
    size = size_within(image.shape[:2], side)
    low, high = float(heat.min()), float(heat.max())
    level = (heat - low) / (high - low) if high > low else np.zeros_like(heat)
    level = np.asarray(Image.fromarray(level.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))[..., None]
    steps = np.linspace(0, 1, len(HEAT))
    colours = np.concatenate([np.interp(level, steps, channel) for channel in HEAT.T], axis=-1)
    grey = resized_pixels(image, size).mean(axis=2, keepdims=True)
    share = FAINTEST + (STRENGTH - FAINTEST) * level
    return Image.fromarray(((1 - share) * grey + share * colours).astype(np.uint8))


@dataclass(frozen=True, kw_only=True, eq=False)
class HeatCell:
    """A map (h, w) of any range over an image (H, W, 3), as a sheet places it."""

    image: npt.NDArray[np.uint8]
    heat: npt.NDArray[np.float32]
    caption: str

    def drawn(self, side: int) -> Image.Image:
        """The picture; see `fssbench.pages.pictures.Drawable`."""
        return heat_tile(self.image, self.heat, side=side)

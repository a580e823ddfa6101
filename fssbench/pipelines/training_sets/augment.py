"""Changing image and labels together, so that a model does not learn the images by heart.

What happens to a sample is drawn from a key of its own, not from a global generator: it does not depend on which
worker or rank makes the sample, or on what was made before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as v2

from fssbench.base.errors import UsageError
from fssbench.models.batch import IGNORED
from fssbench.models.interface import Preprocess
from fssbench.pipelines.training_sets.colours import recolour
from fssbench.pipelines.training_sets.decode import Labels
from fssbench.pipelines.training_sets.draws import Draws

__all__ = ["Augmentation", "fit"]

MOST_SCALE = 8.0
CROP_TRIES = 31


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random changes, in the order in which they happen; each is off unless it is asked for.

    Attributes:
        scale: both sides are multiplied by a factor from this interval, which is (1, 1) for none.
        rotate: the image is turned by an angle from ± this many degrees. What it did not show is padding.
        rotate_share: share of the samples that is turned.
        blur: share of the samples that is blurred, by a Gaussian.
        blur_kernel: the Gaussian's width in pixels, odd; its deviation is 0.3 · ((width − 1) / 2 − 1) + 0.8.
        flip: share of the samples that is mirrored, left to right.
        fit: how the result gets the model's size: ``squash``, whatever its shape; or ``crop``, a random window
            of it, with padding where it is smaller.
        crop_keep: share of the pixels of label 1 that a window must show, or it is drawn again, up to 31 times;
            the last one is taken. In labels of base classes 1 is the first of them: released code has it so.
        colour: chance of each of seven changes of colour; see `recolour`.
    """

    scale: tuple[float, float] = (1.0, 1.0)
    rotate: float = 0.0
    rotate_share: float = 0.5
    blur: float = 0.0
    blur_kernel: int = 5
    flip: float = 0.0
    fit: Literal["squash", "crop"] = "squash"
    crop_keep: float = 0.0
    colour: float = 0.0

    def __post_init__(self) -> None:
        low, high = self.scale
        if not 0 < low <= high <= MOST_SCALE:
            raise UsageError(f"scale must be two factors in (0, {MOST_SCALE:g}], the lower first, got {self.scale}")
        if not 0 <= self.rotate <= 180:
            raise UsageError(f"rotate must be degrees in [0, 180], got {self.rotate}")
        if self.blur_kernel < 1 or self.blur_kernel % 2 == 0:
            raise UsageError(f"blur_kernel must be odd, got {self.blur_kernel}")
        if self.fit not in ("squash", "crop"):
            raise UsageError(f"fit must be squash or crop, got '{self.fit}'")
        for name in ("rotate_share", "blur", "flip", "crop_keep", "colour"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} must be a share in [0, 1], got {getattr(self, name)}")

    def __call__(
        self, pixels: npt.NDArray[np.uint8], labels: Sequence[Labels], *, preprocess: Preprocess, draws: Draws
    ) -> tuple[Tensor, Tensor]:
        """An image (H, W, 3) uint8 and N maps of labels (H, W) uint8, changed alike and brought to side s.

        Returns (3, s, s) uint8 and (N, s, s) uint8. Padding has the mean colour, and `IGNORED` as its label.
        """
        image: Tensor = tv_tensors.Image(torch.from_numpy(pixels).permute(2, 0, 1))
        maps: Tensor = tv_tensors.Mask(torch.from_numpy(np.stack(labels)))
        mean = [round(255 * value) for value in preprocess.mean]
        image, maps = self._scaled(image, maps, preprocess, draws)
        if self.rotate and draws.chance(self.rotate_share):
            angle = draws.between(-self.rotate, self.rotate)
            image = v2.rotate(image, angle, interpolation=InterpolationMode.BILINEAR, fill=mean)
            maps = v2.rotate(maps, angle, interpolation=InterpolationMode.NEAREST, fill=IGNORED)
        if self.blur and draws.chance(self.blur):
            image = v2.gaussian_blur(image, [self.blur_kernel, self.blur_kernel])
        if self.flip and draws.chance(self.flip):
            image, maps = v2.horizontal_flip(image), v2.horizontal_flip(maps)
        if self.fit == "crop":
            image, maps = self._cropped(image, maps, preprocess.side, mean, draws)
        else:
            image, maps = _squashed(image, maps, preprocess)
        if self.colour:
            image = recolour(image, chance=self.colour, draws=draws)
        return image.as_subclass(Tensor), maps.as_subclass(Tensor)

    def _scaled(self, image: Tensor, maps: Tensor, preprocess: Preprocess, draws: Draws) -> tuple[Tensor, Tensor]:
        low, high = self.scale
        if low == high == 1:
            return image, maps
        factor = draws.between(low, high)
        size = [max(1, round(factor * side)) for side in image.shape[-2:]]
        image = v2.resize(image, size, interpolation=InterpolationMode.BILINEAR, antialias=preprocess.antialias)
        return image, v2.resize(maps, size, interpolation=InterpolationMode.NEAREST)

    def _cropped(self, image: Tensor, maps: Tensor, size: int, mean: list[int], draws: Draws) -> tuple[Tensor, Tensor]:
        """A random window of side ``size``; what is smaller is padded on all sides first."""
        height, width = image.shape[-2:]
        above, left = max(0, size - height) // 2, max(0, size - width) // 2
        padding = [left, above, max(0, size - width) - left, max(0, size - height) - above]
        if any(padding):
            image, maps = v2.pad(image, padding, fill=mean), v2.pad(maps, padding, fill=IGNORED)
        first = maps[0] == 1
        least = self.crop_keep * int(first.sum())
        for top, start in _windows(*image.shape[-2:], size=size, draws=draws):
            if first[top : top + size, start : start + size].sum() >= least:
                break
        window = (top, start, size, size)
        return v2.crop(image, *window), v2.crop(maps, *window)


def _windows(height: int, width: int, *, size: int, draws: Draws) -> Iterator[tuple[int, int]]:
    """Upper left corners of random windows of side ``size``."""
    for _ in range(1 + CROP_TRIES):
        yield draws.below(height - size + 1), draws.below(width - size + 1)


def _squashed(image: Tensor, maps: Tensor, preprocess: Preprocess) -> tuple[Tensor, Tensor]:
    pixels = image.as_subclass(Tensor).permute(1, 2, 0).contiguous().numpy()
    return _rounded(preprocess.image(pixels)), _nearest(maps, preprocess.side)


def fit(pixels: npt.NDArray[np.uint8], labels: Sequence[Labels], *, preprocess: Preprocess) -> tuple[Tensor, Tensor]:
    """Without any augmentation: squashed as the model's preprocessing does. Shapes as in `Augmentation`."""
    return _rounded(preprocess.image(pixels)), _nearest(torch.from_numpy(np.stack(labels)), preprocess.side)


def _nearest(maps: Tensor, size: int) -> Tensor:
    """Maps of labels (N, H, W) → (N, size, size), by torch's nearest rule, as masks are resized for a test."""
    resized: Tensor = v2.resize(maps, [size, size], interpolation=InterpolationMode.NEAREST)
    return resized


def _rounded(image: Tensor) -> Tensor:
    return image if image.dtype == torch.uint8 else image.round().clamp(0, 255).to(torch.uint8)

"""How an image becomes a model's input, and where in the input it lies."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from fssbench.base.errors import ModelError
from fssbench.models.geometry import Geometry, Padding, Resize, Size, geometry_of

__all__ = ["Filter", "Preprocess", "resize_mask"]

Filter = Literal["bilinear", "bicubic", "nearest"]
Channels = Literal["RGB", "BGR"]

OPEN_TO_ALL = ("size", "mean", "std", "antialias")
"""What results do not say beside a square's side: it was there before there was anything else to say."""


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """How an image becomes a model's input; its masks, and the model's answers back, follow by `geometry`.

    Attributes:
        resize: ``squash`` to ``size`` whatever the image's shape; ``keep`` its shape, as large as fits into ``size``,
            and pad; or ``none``, its own size.
        size: height and width, or the side of a square; of ``none`` nothing.
        round_to: of ``keep`` and ``none``, sides are rounded down to multiples of this; ``None`` for the nearest
            whole number.
        pad_multiple: pad to the next multiple of this, so that inputs differ in size; ``None`` for padding to
            ``size``, or of ``none`` for no padding.
        pad_where: padding goes to the ``end``, which is right and below, or half to each side, the image in the
            ``centre``.
        pad_value: of padding in [0, 255], of all channels or of each; or ``mean``, which is 0 after normalisation.
        filter: of resizing an image. Masks are resized by torch's nearest rule, whatever the filter is.
        antialias: whether resizing averages what it shrinks, as Pillow does, or takes the value between the
            nearest pixels, as OpenCV does.
        channels: their order.
        value_range: what 0 and 255 become before ``mean`` and ``std``: (0, 1), (0, 255) or (-1, 1), say.
        mean: subtracted from each channel, in their order.
        std: each channel is then divided by it.
    """

    size: int | Size = 400
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    antialias: bool = True
    resize: Resize = "squash"
    round_to: int | None = None
    pad_multiple: int | None = None
    pad_where: Padding = "end"
    pad_value: float | tuple[float, float, float] | Literal["mean"] = 0.0
    filter: Filter = "bilinear"
    channels: Channels = "RGB"
    value_range: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        for name, allowed in (("resize", Resize), ("filter", Filter), ("pad_where", Padding), ("channels", Channels)):
            if (value := getattr(self, name)) not in get_args(allowed):
                raise ModelError(f"Preprocess has {value!r} as its {name}, expected {' or '.join(get_args(allowed))}")
        if min(self._frame) < 1:
            raise ModelError(f"a model's input size must be at least 1, got {self.size}")
        for name in ("round_to", "pad_multiple"):
            if (value := getattr(self, name)) is not None and (value < 1 or self.resize == "squash"):
                raise ModelError(
                    f"Preprocess has {value} as its {name} and resize='{self.resize}'",
                    remedy="give a whole number of at least 1, with resize='keep' or 'none'",
                )
        if self.resize == "keep" and (self.round_to or 1) > min(self._frame):
            raise ModelError(f"sides of {self.size} at most cannot be multiples of round_to={self.round_to}")

    @property
    def _frame(self) -> Size:
        return (self.size, self.size) if isinstance(self.size, int) else (self.size[0], self.size[1])

    @property
    def shape(self) -> Size | None:
        """Height and width of every input; ``None`` if they follow the image's."""
        return None if self.resize == "none" or self.pad_multiple is not None else self._frame

    @property
    def square(self) -> int | None:
        """The side of the square every image is squashed to; ``None`` if it is not."""
        height, width = self._frame
        return height if self.resize == "squash" and height == width else None

    @property
    def side(self) -> int:
        """`square`, where nothing else will do; `ModelError` if there is none."""
        if (side := self.square) is None:
            raise ModelError(
                f"images are {self.told}, but to be trained, or batched as tensors, they must be squashed to a square",
                remedy="give Preprocess a size alone",
            )
        return side

    @property
    def told(self) -> str:
        """What is done with sizes, in words."""
        height, width = self._frame
        if self.resize == "none":
            return "left at their own size"
        return f"{'squashed' if self.resize == 'squash' else 'fitted'} to {height}×{width}"

    def geometry(self, original: Size) -> Geometry:
        """Where an image of size (H, W) lies in the input."""
        return geometry_of(
            original,
            resize=self.resize,
            size=self._frame,
            round_to=self.round_to,
            pad_multiple=self.pad_multiple,
            pad_where=self.pad_where,
        )

    def image(self, pixels: npt.NDArray[np.uint8]) -> Tensor:
        """RGB pixels (H, W, 3) uint8 → (3, h, w) in [0, 255]: uint8, or float32 where a filter or padding needs it."""
        geometry = self.geometry((pixels.shape[0], pixels.shape[1]))
        image = (self._averaged if self.antialias else self._between)(pixels, geometry.content)
        if self.channels == "BGR":
            image = image.flip(0)
        return image if self.resize == "squash" else self._padded(image, geometry)

    def _averaged(self, pixels: npt.NDArray[np.uint8], size: Size) -> Tensor:
        """By one of Pillow's filters, which average what they shrink.

        Across first, then down: Pillow rounds between the two, and which it does first depends on its version.
        """
        height, width = size
        by = Image.Resampling[self.filter.upper()]
        across = Image.fromarray(pixels).resize((width, pixels.shape[0]), by)
        squashed = np.asarray(across.resize((width, height), by))  # which is copied once, not twice as by np.array
        return torch.from_numpy(squashed.transpose(2, 0, 1).copy())

    def _between(self, pixels: npt.NDArray[np.uint8], size: Size) -> Tensor:
        """Pixels as points at their centres, as OpenCV has them with float images: without rounding."""
        image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
        centres = None if self.filter == "nearest" else False
        return F.interpolate(image, size, mode=self.filter, align_corners=centres)[0]

    def _padded(self, image: Tensor, geometry: Geometry) -> Tensor:
        fill = torch.tensor(self._fill, dtype=torch.float32)
        dtype = image.dtype if bool((fill == fill.round()).all()) else torch.float32
        if not geometry.padded:
            return image.to(dtype)
        canvas = fill.to(dtype)[:, None, None].repeat(1, *geometry.input)
        canvas[:, *geometry.window] = image
        return canvas

    @property
    def _fill(self) -> tuple[float, ...]:
        if self.pad_value == "mean":
            low, high = self.value_range
            return tuple(255 * (value - low) / (high - low) for value in self.mean)
        return self.pad_value if isinstance(self.pad_value, tuple) else (self.pad_value,) * 3

    def mask(self, mask: npt.NDArray[np.bool_]) -> Tensor:
        """A mask (H, W) bool → (h, w) bool, by torch's nearest rule; there is nothing in the padding."""
        geometry = self.geometry((mask.shape[0], mask.shape[1]))
        resized = resize_mask(torch.from_numpy(mask), geometry.content)
        return F.pad(resized, geometry.margins) if geometry.padded else resized

    def normalise(self, images: Tensor) -> Tensor:
        """Images (…, 3, H, W) in [0, 255] → float32, brought to ``value_range`` and normalised."""
        shape = (3, 1, 1)
        # Made on the host and sent without waiting: `torch.tensor` on a GPU waits for all that it was asked before.
        mean, std = (
            torch.tensor(values).view(shape).to(images.device, non_blocking=True) for values in (self.mean, self.std)
        )
        low, high = self.value_range
        scaled = images.to(torch.float32, copy=True)  # and nothing else of that size: new memory takes longer
        if (low, high) != (0, 255):
            scaled.div_(255)
        if (low, high) not in ((0, 255), (0, 1)):
            scaled.mul_(high - low).add_(low)
        return scaled.sub_(mean).div_(std)

    def input(self, pixels: npt.NDArray[np.uint8]) -> Tensor:
        """RGB pixels (H, W, 3) uint8 → the model's input (3, h, w) float32."""
        return self.normalise(self.image(pixels))

    def recorded(self) -> dict[str, Any]:
        """What results say of it: all that is not as `Preprocess` has it, but for what the side of a square tells."""
        usual = {one.name: one.default for one in fields(Preprocess)}
        said = {name: getattr(self, name) for name in usual if name not in OPEN_TO_ALL}
        told = {name: _plain(value) for name, value in said.items() if value != usual[name]}
        return told if self.square is not None or self.resize == "none" else {"size": list(self._frame), **told}


def _plain(value: Any) -> Any:
    """As JSON has it."""
    return list(value) if isinstance(value, tuple) else value


def resize_mask(mask: Tensor, size: Size) -> Tensor:
    """A mask (…, H, W) of any dtype → (…, h, w), nearest, same dtype."""
    (h, w), (height, width) = mask.shape[-2:], size
    if (h, w) == (height, width):
        return mask
    if mask.device.type == "cpu" and mask.dtype in (torch.bool, torch.uint8) and mask.numel():
        picked = mask.reshape(-1, h, w).view(torch.uint8).numpy()
        for pick in (_columns, _rows) if h < height else (_rows, _columns):
            picked = pick(picked, size)
        return torch.from_numpy(picked).view(mask.dtype).reshape(*mask.shape[:-2], *size)
    flat = mask.reshape(-1, 1, h, w)
    # Nearest picks values, so masks may travel as bytes: a quarter of float32.
    numbers = flat.view(torch.uint8) if mask.dtype in (torch.bool, torch.uint8) else flat.float()
    return F.interpolate(numbers, size, mode="nearest").to(mask.dtype).reshape(*mask.shape[:-2], *size)


def _rows(masks: npt.NDArray[np.uint8], size: Size) -> npt.NDArray[np.uint8]:
    """The rows of masks (N, H, W) that are the nearest: (N, h, W)."""
    return masks.take(_nearest(masks.shape[1], size[0]), axis=1)


def _columns(masks: npt.NDArray[np.uint8], size: Size) -> npt.NDArray[np.uint8]:
    """Likewise the columns: (N, H, w). As rows of the transpose, since rows are copied whole, and columns by bytes."""
    n, height, width = masks.shape
    upright = cv2.transpose(masks.reshape(n * height, width))
    picked = cv2.transpose(upright.take(_nearest(width, size[1]), axis=0))
    return np.asarray(picked, dtype=np.uint8).reshape(n, height, size[1])


@lru_cache(maxsize=4096)
def _nearest(of: int, n: int) -> npt.NDArray[np.int64]:
    """Which of ``of`` places each of ``n`` is taken from: (n,), as torch has it."""
    places = F.interpolate(torch.arange(of, dtype=torch.float32)[None, None], n, mode="nearest")
    return places[0, 0].long().numpy()

"""How large a mask at the model's size is, by what a result says of the model."""

from __future__ import annotations

from fssbench.models.geometry import Size, geometry_of
from fssbench.schemas.result import ModelRecord

__all__ = ["model_size", "most_pixels"]


def model_size(model: ModelRecord, original: Size) -> Size | None:
    """The size that an image of size ``original`` is resized to for the model, without padding; ``None`` if unknown."""
    told = model.preprocess
    side = told.get("size", model.input_size)
    if told.get("resize") != "none" and side is None:
        return None
    height, width = (0, 0) if side is None else (side, side) if isinstance(side, int) else side
    where = {name: told[name] for name in ("round_to", "pad_multiple", "pad_where") if name in told}
    return geometry_of(original, resize=told.get("resize", "squash"), size=(height, width), **where).content


def most_pixels(model: ModelRecord, image_pixels: int) -> int:
    """How many pixels a mask at the model's size has at most, of an image with so many pixels, whatever its shape."""
    side = model.preprocess.get("size", model.input_size)
    if side is None:
        return max(image_pixels, int(model.preprocess.get("round_to", 1)) ** 2)
    return side * side if isinstance(side, int) else int(side[0] * side[1])

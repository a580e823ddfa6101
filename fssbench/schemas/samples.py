"""What stands in a shard: images with the mask of one class, episodes that name them, and predicted masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from fssbench.base.records import Record
from fssbench.schemas.rle import Rle

__all__ = [
    "EpisodeSample",
    "ImageMeta",
    "ImageSample",
    "MaskSize",
    "PredictionSample",
    "TrainingMeta",
    "TrainingSample",
    "episode_key",
    "image_key",
]

MaskSize = Literal["original", "model"]
"""At which size a mask is: the query image's own, or the side the model works at."""

Key = Annotated[str, Field(pattern=r"^i\d{7}$")]


def image_key(number: int) -> str:
    """The key of a set's n-th image; synthetic, since a real name with a dot would split a sample."""
    return f"i{number:07d}"


def episode_key(index: int) -> str:
    """The key of the episode with this index in its track."""
    return f"e{index:07d}"


class ImageMeta(Record):
    """An image sample's JSON: the image's id, the class, and where the class is."""

    image_id: str
    class_id: int = Field(ge=0)
    height: int = Field(ge=1)
    width: int = Field(ge=1)
    orientation: int = Field(ge=1, le=8, description="EXIF orientation to apply when decoding")
    mask: Rle
    ignore: Rle | None
    n_classes: int | None = Field(
        default=None, ge=1, description="classes of the benchmark in the image; null if only this one was looked for"
    )


@dataclass(frozen=True, slots=True)
class ImageSample:
    """An image sample as it stands in a shard, the JPEG (or PNG, in a folder of one's own) still encoded."""

    key: str
    jpeg: bytes
    meta: ImageMeta


class TrainingMeta(Record):
    """A training sample's JSON: the image's id, and where its classes are."""

    image_id: str
    height: int = Field(ge=1)
    width: int = Field(ge=1)
    orientation: int = Field(ge=1, le=8, description="EXIF orientation to apply when decoding")
    masks: dict[int, Rle] = Field(min_length=1, description="of every class of the benchmark in the image, of any fold")
    ignore: Rle | None = Field(description="pixels of which the truth is not known, unless a mask has them")


@dataclass(frozen=True, slots=True)
class TrainingSample:
    """A training sample as it stands in a shard, the image still encoded."""

    key: str
    jpeg: bytes
    meta: TrainingMeta


class EpisodeSample(Record):
    """An episode sample's JSON: its index in the track, and its images by key."""

    index: int = Field(ge=0)
    class_id: int = Field(ge=0)
    query: Key
    supports: tuple[Key, ...]


class PredictionSample(Record):
    """A prediction sample's JSON: what a model segmented in one episode, at one size or more."""

    index: int = Field(ge=0)
    masks: dict[MaskSize, Rle]

"""What training and test have in common, as it is stored."""

from __future__ import annotations

from pydantic import Field

from fssbench.base.records import Record

__all__ = ["LeakageRecord"]


class LeakageRecord(Record):
    """What a model's training had in common with its test, for whoever is given the model."""

    tested: tuple[str, ...] = Field(
        description="the sets whose classes and images were looked for, such as coco-20i strict fold 0"
    )
    shared_classes: tuple[str, ...] = Field(description="names of classes that are both trained and tested")
    shared_images: int = Field(ge=0, description="images both trained and tested: by SHA-256 of the file, or by id")
    images: int = Field(ge=0, description="that were trained on")
    tested_images: int = Field(ge=0, description="different images in the tested sets")
    novel_images: int = Field(ge=0, description="trained images that show a novel class, learned as background")
    novel_pixels: int = Field(ge=0, description="of novel classes in trained images")
    pixels: int = Field(ge=0, description="of trained images, in all")
    dropped_images: int = Field(ge=0, description="left out because they show a novel class")

"""The card beside a checkpoint."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from fssbench.base.records import Record, Sha256
from fssbench.schemas.leakage import LeakageRecord
from fssbench.schemas.result import Environment, TrainingRecord

__all__ = ["Card", "TrainingCard"]


class TrainingCard(TrainingRecord):
    """How weights came to be, in full."""

    recipe: dict[str, Any] = Field(description="as resolved")
    precision: str
    device: str
    processes: int = Field(ge=1)
    validated: tuple[tuple[int, float], ...] = Field(description="(steps, mIoU) of every validation so far")
    leakage: LeakageRecord = Field(description="what training and test set share, as found before training")
    environment: Environment


class Card(Record):
    """What a checkpoint is; what nobody said is null."""

    schema_version: Literal[1] = 1
    kind: Literal["fssbench-checkpoint"] = "fssbench-checkpoint"
    model: str
    options: dict[str, Any] = Field(description="the model is built with; what is not named has its default")
    weights_sha256: Sha256 = Field(description="of the safetensors file beside the card")
    converted_from_sha256: Sha256 | None = Field(description="of the file it was made of; null if it was trained here")
    backbone_sha256: Sha256 | None = Field(description="of the file the backbone's weights came from")
    training_set: str | None = Field(description="such as coco-20i fold 0 train")
    protocol: str | None = Field(description="by which it was validated")
    selection: str | None = Field(description="the rule by which this checkpoint was chosen among all epochs'")
    training: TrainingCard | None = Field(default=None, description="how, where fssbench trained it")

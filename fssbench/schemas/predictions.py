"""The manifest of a folder of predicted masks."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fssbench.base.records import Record
from fssbench.schemas.manifest import FileRecord
from fssbench.schemas.result import EpisodesRecord, ModelRecord
from fssbench.schemas.samples import MaskSize

__all__ = ["PredictionShard", "PredictionsManifest"]


class PredictionShard(FileRecord):
    """A shard: a tar file with the masks of some episodes."""

    name: str = Field(pattern=r"^predictions-\d{6,}\.tar$")
    samples: int = Field(ge=1)


class PredictionsManifest(Record):
    """The masks of one model on one track."""

    schema_version: Literal[1]
    kind: Literal["fssbench-predictions"]
    model: ModelRecord
    episodes: EpisodesRecord
    sizes: tuple[MaskSize, ...] = Field(description="at which there is a mask of every episode")
    shards: tuple[PredictionShard, ...] = Field(description="episodes in index order")

    def to_json(self) -> str:
        """The manifest as it is stored: indented JSON that ends in a newline."""
        return self.model_dump_json(indent=1) + "\n"

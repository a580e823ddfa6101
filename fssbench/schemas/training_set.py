"""The manifest of a training set: everything it is, in one JSON file."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from fssbench.base.records import Record
from fssbench.episodes.benchmarks import BENCHMARKS, Benchmark, find_benchmark
from fssbench.schemas.manifest import BenchmarkRecord, ClassPool, Count, FileName, FileRecord, MaskPolicy, SourceRecord

__all__ = ["TRAINING_VERSION", "TrainingManifest", "TrainingShard"]

TRAINING_VERSION: Literal[1] = 1


class TrainingShard(FileRecord):
    """A tar file of samples."""

    name: FileName
    samples: Count


class TrainingManifest(Record):
    """The images of a benchmark to train on, each once with the masks of all its classes; good for every fold."""

    schema_version: Literal[1]
    benchmark: str
    definition: BenchmarkRecord | None = Field(
        default=None, description="the benchmark's classes and folds; null if it is built in"
    )
    ignore_label: int | None
    classes: tuple[ClassPool, ...] = Field(description="that some image shows, with all that do, in however few pixels")
    source: SourceRecord
    mask_policy: MaskPolicy
    images: Count
    index: FileRecord
    shards: tuple[TrainingShard, ...]
    unofficial: tuple[str, ...] = Field(description="what differs from the images that publications train on")

    @model_validator(mode="after")
    def _defines_no_other(self) -> TrainingManifest:
        built_in = {benchmark.name for benchmark in BENCHMARKS}
        if (self.definition is None) != (self.benchmark in built_in):
            raise ValueError(f"{self.benchmark} is built in and defined, or neither")
        return self

    def resolve(self) -> Benchmark:
        """The benchmark the images belong to."""
        if self.definition is None:
            return find_benchmark(self.benchmark)
        return self.definition.benchmark(self.benchmark, ignore_label=self.ignore_label)

    @property
    def n_bytes(self) -> int:
        """Size of all shards."""
        return sum(shard.bytes for shard in self.shards)

    def to_json(self) -> str:
        """The manifest as it is stored: indented JSON that ends in a newline."""
        return self.model_dump_json(indent=1) + "\n"

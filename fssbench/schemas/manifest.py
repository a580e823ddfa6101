"""The manifest: everything an episode set is, in one JSON file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fssbench.base.records import Record, Sha256
from fssbench.episodes.benchmarks import BENCHMARKS, Benchmark

__all__ = [
    "SCHEMA_VERSION",
    "BenchmarkRecord",
    "ClassPool",
    "EvaluationPlan",
    "FileRecord",
    "Manifest",
    "MaskPolicy",
    "ProtocolRecord",
    "ShardRecord",
    "SourceRecord",
    "TrackRecord",
]

SCHEMA_VERSION: Literal[1] = 1
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Count = Annotated[int, Field(ge=0)]


class FileRecord(Record):
    """A file, its content's SHA-256 and its size in bytes."""

    name: str
    sha256: Sha256
    bytes: Count


class SourceRecord(Record):
    """Where the raw data came from."""

    kind: str = Field(description="the reader, such as coco")
    layout: str = Field(description="how the data lay on disk, such as coco-2014")
    split: str = Field(description="which part of the data, such as val2014")
    files: tuple[FileRecord, ...] = Field(description="the files that say which image shows what")


class MaskPolicy(Record):
    """How the mask of one class in one image is made."""

    origin: Literal["source", "ready-made"] = Field(
        default="source", description="the data's own annotations, or ready-made PNGs where class + 1 is the class"
    )
    instances: Literal["union", "painted over", "as drawn"] = Field(
        default="union",
        description="all instances of the class in one mask; painted over: less what a later annotation of another "
        "class covers; as drawn: whoever made the masks knows",
    )
    polygons: Literal["all", "truncated", "as drawn"] = Field(
        default="all",
        description="every polygon of an annotation is drawn; truncated: by OpenCV's fillPoly, its coordinates "
        "truncated to integers",
    )
    crowds: Literal["exclude", "paint", "ignore", "as drawn"] = Field(
        default="exclude",
        description="crowd regions are left out of the mask, part of it, or not scored outside of it",
    )

    @property
    def title(self) -> str:
        """The policy in words."""
        if self.origin == "ready-made":
            return f"ready-made, crowds: {self.crowds}"
        return f"{'label maps' if self.instances == 'painted over' else 'from the source'}, crowds: {self.crowds}"


class BenchmarkRecord(Record):
    """A benchmark that is not built in: its classes and the way they are dealt into folds."""

    title: str = Field(min_length=1)
    classes: tuple[str, ...] = Field(min_length=1, description="one name per class index")
    folds: tuple[tuple[Count, ...], ...] = Field(min_length=1, description="for every fold the classes it tests")

    @model_validator(mode="after")
    def _folds_are_of_classes(self) -> BenchmarkRecord:
        for fold, novel in enumerate(self.folds):
            if not novel or list(novel) != sorted(set(novel)) or novel[-1] >= len(self.classes):
                raise ValueError(f"fold {fold} must be ascending indices below {len(self.classes)}, got {novel}")
        return self

    @staticmethod
    def of(benchmark: Benchmark) -> BenchmarkRecord | None:
        """What a manifest must say of a benchmark: nothing of one that is built in."""
        if benchmark in BENCHMARKS:
            return None
        assert benchmark.class_names is not None
        return BenchmarkRecord(title=benchmark.title, classes=benchmark.class_names, folds=benchmark.folds)

    def benchmark(self, name: str, *, ignore_label: int | None) -> Benchmark:
        """The benchmark itself."""
        return Benchmark(
            name=name,
            alias="folder",
            title=self.title,
            n_classes=len(self.classes),
            class_names=self.classes,
            folds=self.folds,
            ignore_label=ignore_label,
            published=False,
        )


class ProtocolRecord(Record):
    """The protocol and the parameters it was used with."""

    name: str
    version: int
    min_pixels: Count = Field(description="least mask pixels, at original size, for an image to serve a class")
    lists: Literal["pools", "files", "derived"] = Field(
        default="pools",
        description="what episodes are drawn from: the classes' pools; split files, named under splits; or lists "
        "derived from the masks in place of split files",
    )
    loader_workers: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="data-loader workers that the draws emulate; null if the protocol knows none"
    )

    @property
    def label(self) -> str:
        """Name and version, such as ``strict/1``."""
        return f"{self.name}/{self.version}"


class ClassPool(Record):
    """A novel class of the fold and the images that may serve it."""

    id: Count
    name: str
    images: Count
    sha256: Sha256 = Field(description="of the sorted image ids, one a line")


class TrackRecord(Record):
    """The episodes of one shot and seed."""

    shot: Annotated[int, Field(ge=1)]
    seed: int
    episodes: Annotated[int, Field(ge=1)]
    digest: Sha256 = Field(description="of the episodes' lines in index order")
    truth_digest: Sha256 | None = Field(
        default=None, description="of the masks, ignored pixels and images of its episodes; null in sets of old"
    )
    absent_classes: tuple[int, ...] = Field(description="novel classes left out for want of images")
    unofficial: tuple[str, ...] = Field(description="why results on this track are not official")

    @property
    def label(self) -> str:
        """Shot and seed as they stand in file names: ``5shot-seed0``."""
        return f"{self.shot}shot-seed{self.seed}"


class ShardRecord(FileRecord):
    """A shard: a tar file of samples."""

    name: FileName
    kind: Literal["images", "episodes"]
    samples: Count
    classes: dict[int, Count] = Field(description="samples by class, in the order they stand")
    track: str | None = Field(description="the track of an episode shard, such as 1shot-seed0")


class EvaluationPlan(Record):
    """In which order and groups a model is shown the episodes, so that its masks are the same everywhere."""

    order: Literal["class-major"] = Field(
        default="class-major", description="classes ascending, then episodes by index"
    )
    batch: Literal[1] = Field(default=1, description="images encoded and episodes matched at a time")


class Manifest(Record):
    """An episode set: one benchmark, protocol and fold, with any number of tracks."""

    schema_version: Literal[1]
    benchmark: str
    definition: BenchmarkRecord | None = Field(
        default=None, description="the benchmark's classes and folds; null if it is built in"
    )
    protocol: ProtocolRecord
    fold: Count
    ignore_label: int | None
    classes: tuple[ClassPool, ...]
    source: SourceRecord
    splits: tuple[FileRecord, ...] = Field(description="split lists the episodes were drawn from, if any")
    mask_policy: MaskPolicy
    plan: EvaluationPlan
    tracks: tuple[TrackRecord, ...]
    lock: FileRecord
    shards: tuple[ShardRecord, ...]
    unofficial: tuple[str, ...] = Field(description="why no result on this set is official; empty if they may be")

    @model_validator(mode="after")
    def _defines_no_other(self) -> Manifest:
        if self.definition is not None and self.benchmark in {benchmark.name for benchmark in BENCHMARKS}:
            raise ValueError(f"{self.benchmark} is built in and cannot be defined otherwise")
        return self

    @property
    def title(self) -> str:
        """The set in words: ``coco-20i strict fold 0``."""
        return f"{self.benchmark} {self.protocol.name} fold {self.fold}"

    @property
    def n_images(self) -> int:
        """Image samples in all shards."""
        return sum(shard.samples for shard in self.shards if shard.kind == "images")

    @property
    def n_bytes(self) -> int:
        """Size of all shards."""
        return sum(shard.bytes for shard in self.shards)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why no result on the set, or on one of its tracks, is official; each once."""
        return tuple(dict.fromkeys((*self.unofficial, *(r for track in self.tracks for r in track.unofficial))))

    def to_json(self) -> str:
        """The manifest as it is stored: indented JSON that ends in a newline."""
        return self.model_dump_json(indent=1) + "\n"

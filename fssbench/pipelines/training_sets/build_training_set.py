"""Building a training set: shards, index and manifest, each complete before it has its final name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Literal

from fssbench.base.errors import SourceError, TrainingSetError
from fssbench.base.files import sha256_bytes, write_atomic
from fssbench.base.listing import holds_something
from fssbench.base.locking import exclusive
from fssbench.base.progress import Advance, no_progress
from fssbench.episodes.episodes import pool_digest
from fssbench.pipelines.episode_sets.staging import EXTENDS, commit, recover, staging_folder
from fssbench.pipelines.formats import masks
from fssbench.pipelines.formats import training_index as index
from fssbench.pipelines.formats.shards import existing_file, training_samples, write_training
from fssbench.pipelines.formats.training_index import Entry, index_shard
from fssbench.pipelines.sources import Source
from fssbench.pipelines.sources.files import shorten
from fssbench.pipelines.training_sets.training_set import INDEX, TRAINING, TrainingSet, shared, training_path
from fssbench.schemas.manifest import BenchmarkRecord, ClassPool, FileRecord
from fssbench.schemas.samples import TrainingMeta, TrainingSample, image_key
from fssbench.schemas.training_set import TRAINING_VERSION, TrainingManifest, TrainingShard

__all__ = ["BuiltTraining", "TrainingPlan", "build_training", "plan_training"]

IMAGES_PER_SHARD = 500

Keyed = tuple[str, str]
"""A key and the id of the image that goes under it."""


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """A training set to build.

    Attributes:
        path: its final folder.
        there: the finished set, if it is there and may stay.
        header: what the manifest says before any image was read; it has no images, shards or classes yet.
        shown: the classes of every image, by image id.
    """

    path: Path
    there: TrainingSet | None
    header: TrainingManifest
    shown: Mapping[str, Sequence[int]]


@dataclass(frozen=True, kw_only=True)
class BuiltTraining:
    """What became of a training set."""

    path: Path
    manifest: TrainingManifest
    outcome: Literal["built", "up to date"]


def plan_training(
    source: Source, output: Path, *, overwrite: bool = False, advance: Advance = no_progress
) -> TrainingPlan:
    """Plan the training set of ``source``; nothing is written, and whatever can be refused is refused here.

    Raises:
        SourceError: no image shows a class, or image files are not there.
        TrainingSetError: a set of another origin is in the way.
        StorageError: another run is building it.
    """
    path = training_path(output, source.benchmark)
    recover(path, manifest=TRAINING)
    header = _header(source)
    there = None if overwrite else _there(path, header)
    if there is not None:
        return TrainingPlan(path=path, there=there, header=there.manifest, shown={})
    pools = source.pools(range(source.benchmark.n_classes), min_pixels=1, advance=advance)
    shown: dict[str, list[int]] = {}
    for class_id, ids in pools.items():
        for image_id in ids:
            shown.setdefault(image_id, []).append(class_id)
    if not shown:
        raise SourceError("no image to train on shows a class", remedy="check that --source has the training images")
    if missing := source.missing(sorted(shown)):
        raise SourceError(
            f"{len(missing):,} of the {len(shown):,} image files needed are missing: {shorten(missing)}",
            remedy="unpack the training images beside the annotations, under the names they are published with",
        )
    return TrainingPlan(path=path, there=None, header=header, shown=shown)


def _header(source: Source) -> TrainingManifest:
    benchmark = shared(source.benchmark)
    return TrainingManifest(
        schema_version=TRAINING_VERSION,
        benchmark=benchmark.name,
        definition=BenchmarkRecord.of(benchmark),
        ignore_label=source.ignore_label,
        classes=(),
        source=source.record(),
        mask_policy=source.mask_policy,
        images=0,
        index=FileRecord(name=INDEX, sha256=sha256_bytes(b""), bytes=0),
        shards=(),
        unofficial=source.unofficial(),
    )


def _there(path: Path, header: TrainingManifest) -> TrainingSet | None:
    """The finished set at ``path``, if there is one; refused if it is of another origin."""
    if not (path / TRAINING).exists():
        if path.is_file() or (path.is_dir() and holds_something(path)):
            raise TrainingSetError(
                f"{path} is in the way: it is not a training set, it has no {TRAINING}",
                remedy="move it away, choose another --output, or pass --overwrite to replace it",
            )
        return None
    there = TrainingSet.open(path)
    for name in ("benchmark", "definition", "ignore_label", "source", "mask_policy"):
        if getattr(there.manifest, name) != getattr(header, name):
            raise TrainingSetError(
                f"{path} was built with another {name.replace('_', ' ')}",
                remedy="choose another --output, or pass --overwrite to replace it",
            )
    return there


def build_training(
    plan: TrainingPlan,
    source: Source,
    *,
    workers: int = 1,
    images_per_shard: int = IMAGES_PER_SHARD,
    advance: Advance = no_progress,
) -> BuiltTraining:
    """Build the set that ``plan`` describes, unless it is there; the same bytes for any number of workers.

    Raises:
        SourceError: an image is damaged, or does not fit its annotation. What is finished is kept aside.
        StorageError: the disk is full, or another run is building the same set.
    """
    if plan.there is not None:
        return BuiltTraining(path=plan.path, manifest=plan.there.manifest, outcome="up to date")
    with exclusive(plan.path):
        with staging_folder(plan.path, _identity(plan, images_per_shard)) as staging:
            manifest = _write(plan, source, staging, workers, images_per_shard, advance)
        commit(plan.path)
    return BuiltTraining(path=plan.path, manifest=manifest, outcome="built")


def _identity(plan: TrainingPlan, images_per_shard: int) -> dict[str, object]:
    """Everything the bytes of the set depend on, except those of the images."""
    shown = "".join(f"{image_id}\t{classes}\n" for image_id, classes in sorted(plan.shown.items()))
    return {
        EXTENDS: None,
        "images_per_shard": images_per_shard,
        "header": plan.header.model_dump(mode="json"),
        "images": sha256_bytes(shown.encode()),
    }


def _write(
    plan: TrainingPlan, source: Source, staging: Path, workers: int, per_shard: int, advance: Advance
) -> TrainingManifest:
    """Write all shards, the index and, last, the manifest into ``staging``."""
    shards = _deal(plan.shown, per_shard)
    with ThreadPoolExecutor(workers) as pool:
        futures = [
            pool.submit(_write_shard, staging / f"images-{n:06d}.tar", n, images, plan, source, advance)
            for n, images in enumerate(shards)
        ]
        try:
            written = [future.result() for future in futures]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    entries = [entry for _, found in written for entry in found]
    data = index.to_bytes(entries)
    write_atomic(staging / INDEX, data)
    manifest = plan.header.model_copy(
        update={
            "classes": _classes(plan.shown, source.class_names()),
            "images": len(entries),
            "index": FileRecord(name=INDEX, sha256=sha256_bytes(data), bytes=len(data)),
            "shards": tuple(shard for shard, _ in written),
        }
    )
    write_atomic(staging / TRAINING, manifest.to_json())
    return manifest


def _deal(shown: Mapping[str, Sequence[int]], per_shard: int) -> list[list[Keyed]]:
    """Images in the order of their ids' SHA-256, so that every shard is a sample of all of them."""
    ids = sorted(shown, key=lambda image_id: sha256_bytes(image_id.encode()))
    keyed = [(image_key(n), image_id) for n, image_id in enumerate(ids)]
    return [keyed[start : start + per_shard] for start in range(0, len(keyed), per_shard)]


def _write_shard(
    path: Path, number: int, images: Sequence[Keyed], plan: TrainingPlan, source: Source, advance: Advance
) -> tuple[TrainingShard, list[Entry]]:
    """Write a shard, or take over one that an interrupted run finished if it is what would be written."""

    def samples(advance: Advance) -> Iterator[TrainingSample]:
        for key, image_id in images:
            yield read_training_sample(source, key, image_id, plan.shown[image_id])
            advance(1)

    file = existing_file(path)
    if file is not None and not _same(path, samples(no_progress)):
        file = None
    if file is None:
        file = write_training(path, samples(advance))
    else:
        advance(len(images))
    return TrainingShard(**file.model_dump(), samples=len(images)), index_shard(
        path.read_bytes(), number, where=path.name
    )


def _same(path: Path, samples: Iterator[TrainingSample]) -> bool:
    there = training_samples(path.read_bytes(), where=path.name)
    return all(old == new for old, new in zip_longest(there, samples))


def read_training_sample(source: Source, key: str, image_id: str, classes: Sequence[int]) -> TrainingSample:
    """An image with the masks of all its classes. Where the data says of no pixel what it is, that is ignored."""
    raws = [source.read(image_id, class_id) for class_id in classes]
    ignored = [raw.ignore for raw in raws if raw.ignore is not None]
    first = raws[0]
    meta = TrainingMeta(
        image_id=image_id,
        height=first.height,
        width=first.width,
        orientation=first.orientation,
        masks={raw.class_id: raw.mask for raw in raws},
        ignore=masks.union(ignored) if ignored else None,
    )
    return TrainingSample(key, first.jpeg, meta)


def _classes(shown: Mapping[str, Sequence[int]], names: Sequence[str]) -> tuple[ClassPool, ...]:
    pools: dict[int, list[str]] = {}
    for image_id, classes in shown.items():
        for class_id in classes:
            pools.setdefault(class_id, []).append(image_id)
    return tuple(
        ClassPool(id=c, name=names[c], images=len(ids), sha256=pool_digest(ids)) for c, ids in sorted(pools.items())
    )

"""Building an episode set: shards, lock and manifest, each complete before it has its final name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fssbench.base.errors import StorageError
from fssbench.base.files import sha256_bytes, write_atomic
from fssbench.base.locking import exclusive
from fssbench.base.progress import Advance, no_progress
from fssbench.episodes.episodes import Episode, Track
from fssbench.pipelines.episode_sets.episode_set import LOCK, MANIFEST, EpisodeSet
from fssbench.pipelines.episode_sets.plan import FoldPlan
from fssbench.pipelines.episode_sets.sameness import first_change, read_sample, require_same_images
from fssbench.pipelines.episode_sets.staging import EXTENDS, commit, identity, staging_folder
from fssbench.pipelines.formats import locks
from fssbench.pipelines.formats.shards import existing_file, record_shard, write_episodes, write_images
from fssbench.pipelines.formats.truth import ImageId, image_truth, track_truths, truth_digest
from fssbench.pipelines.sources import Source
from fssbench.schemas.manifest import SCHEMA_VERSION, FileRecord, Manifest, ShardRecord
from fssbench.schemas.samples import EpisodeSample, ImageSample, image_key

__all__ = ["Built", "build"]

IMAGES_PER_SHARD = 500
EPISODES_PER_SHARD = 5_000


@dataclass(frozen=True, kw_only=True)
class Built:
    """What became of one fold.

    Attributes:
        notes: what is worth telling about it, one line each.
    """

    path: Path
    manifest: Manifest
    outcome: Literal["built", "extended", "up to date"]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ImageShard:
    """An image shard to write: its name, and which image goes under which key."""

    name: str
    images: tuple[tuple[str, ImageId], ...]


@dataclass(frozen=True, kw_only=True)
class WrittenShard:
    """An image shard that was written: its entry in the manifest, its images' hashes, and a note or none."""

    record: ShardRecord
    truths: Mapping[ImageId, str]
    note: str


@dataclass(frozen=True, kw_only=True)
class EpisodeShard:
    """An episode shard to write."""

    name: str
    track: str
    samples: tuple[EpisodeSample, ...]


def build(
    plan: FoldPlan,
    source: Source,
    *,
    workers: int = 1,
    images_per_shard: int = IMAGES_PER_SHARD,
    advance: Advance = no_progress,
) -> Built:
    """Build or extend the set that ``plan`` describes; the same bytes for any number of workers.

    Raises:
        SourceError: an image is damaged, does not fit its annotation, or is not the one that the set to extend
            holds. What is finished is kept aside.
        StorageError: the disk is full, or another run is building the same set.
    """
    if not plan.tracks:
        assert plan.base is not None
        return Built(path=plan.path, manifest=plan.base.manifest, outcome="up to date")
    with exclusive(plan.path):
        _require_unchanged(plan)
        truths: dict[ImageId, str] = {}
        if plan.base:
            truths = require_same_images(plan.base, plan.images, source, workers=workers, advance=advance)
        with staging_folder(plan.path, _identity(plan, images_per_shard)) as staging:
            manifest, notes = _write(plan, source, staging, workers, images_per_shard, advance, truths)
        commit(plan.path)
    return Built(path=plan.path, manifest=manifest, outcome="extended" if plan.base else "built", notes=notes)


def _identity(plan: FoldPlan, images_per_shard: int) -> dict[str, object]:
    """Everything the bytes of the set depend on, except those of the images."""
    return {
        EXTENDS: None if plan.base is None else identity(plan.base),
        "images_per_shard": images_per_shard,
        "header": {name: str(value) for name, value in vars(plan.header).items()},
        "classes": [pool.model_dump() for pool in plan.class_pools],
        "tracks": [record.model_dump(mode="json") for _, record in plan.tracks],
    }


def _require_unchanged(plan: FoldPlan) -> None:
    """Refuse to build on a set that another run has changed since the plan was made."""
    if plan.overwrite:  # whatever is there, damaged or not
        return
    there = EpisodeSet.open(plan.path).manifest if (plan.path / MANIFEST).exists() else None
    if there != (plan.base.manifest if plan.base else None):
        raise StorageError(f"{plan.path} was changed by another run meanwhile", remedy="run the command again")


def _write(
    plan: FoldPlan,
    source: Source,
    staging: Path,
    workers: int,
    per_shard: int,
    advance: Advance,
    there: Mapping[ImageId, str],
) -> tuple[Manifest, tuple[str, ...]]:
    """Write all shards, the lock and, last, the manifest into ``staging``; returns that and notes.

    ``there`` has the hashes of the images of the set that is extended.
    """
    keys = dict(plan.base.keys()) if plan.base else {}
    image_shards = _image_shards(plan, keys, per_shard)
    keys.update((image, key) for shard in image_shards for key, image in shard.images)
    episode_shards = [shard for track, _ in plan.tracks for shard in _episode_shards(track, keys)]

    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(_write_image_shard, s, source, staging, advance) for s in image_shards]
        try:
            written = [future.result() for future in futures]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    records = [one.record for one in written]
    images = dict(there) | {image: truth for one in written for image, truth in one.truths.items()}
    tracks = [*(plan.base.tracks.values() if plan.base else ()), *(track for track, _ in plan.tracks)]
    truths = {track.name: track_truths(track, images) for track in tracks}
    records += [_write_episode_shard(shard, staging) for shard in episode_shards]
    lock = _write_lock(tracks, truths, staging)
    manifest = _manifest(plan, lock, records, truths)
    write_atomic(staging / MANIFEST, manifest.to_json())
    return manifest, tuple(one.note for one in written if one.note)


def _image_shards(plan: FoldPlan, keys: dict[ImageId, str], per_shard: int) -> list[ImageShard]:
    """Deal the images that are not in the set yet into shards, classes and ids ascending."""
    new = sorted(plan.images - keys.keys())
    keyed = [(image_key(len(keys) + n), image) for n, image in enumerate(new)]
    first = len(plan.base.shards("images")) if plan.base else 0
    return [
        ImageShard(name=f"images-{first + n:06d}.tar", images=tuple(keyed[start : start + per_shard]))
        for n, start in enumerate(range(0, len(keyed), per_shard))
    ]


def _episode_shards(track: Track, keys: dict[ImageId, str]) -> list[EpisodeShard]:
    """Deal a track's episodes into shards, class-major."""

    def sample(index: int, episode: Episode) -> EpisodeSample:
        query, *supports = (keys[episode.class_id, i] for i in (episode.query, *episode.supports))
        return EpisodeSample(index=index, class_id=episode.class_id, query=query, supports=tuple(supports))

    samples = sorted(
        (sample(index, episode) for index, episode in enumerate(track.episodes)),
        key=lambda s: (s.class_id, s.index),
    )
    return [
        EpisodeShard(
            name=f"episodes-{track.name}-{n:06d}.tar",
            track=track.name,
            samples=tuple(samples[start : start + EPISODES_PER_SHARD]),
        )
        for n, start in enumerate(range(0, len(samples), EPISODES_PER_SHARD))
    ]


def _write_image_shard(shard: ImageShard, source: Source, staging: Path, advance: Advance) -> WrittenShard:
    """Write a shard, or take over one that an interrupted run finished."""
    truths: dict[ImageId, str] = {}

    def samples(advance: Advance) -> Iterator[ImageSample]:
        for key, (class_id, image_id) in shard.images:
            sample = read_sample(source, key, class_id=class_id, image_id=image_id)
            truths[class_id, image_id] = image_truth(sample)
            yield sample
            advance(1)

    path, note = staging / shard.name, ""
    file = existing_file(path)
    if file is not None and (change := first_change(path, samples(no_progress))):
        file, note = None, f"{shard.name} of an interrupted run is written again: {change}"
    if file is None:
        file = write_images(path, samples(advance))
    else:
        advance(len(shard.images))
    record = record_shard(file, kind="images", class_ids=(class_id for _, (class_id, _) in shard.images))
    return WrittenShard(record=record, truths=truths, note=note)


def _write_episode_shard(shard: EpisodeShard, staging: Path) -> ShardRecord:
    file = write_episodes(staging / shard.name, shard.samples)
    return record_shard(file, kind="episodes", class_ids=(s.class_id for s in shard.samples), track=shard.track)


def _write_lock(tracks: Sequence[Track], truths: locks.Truths, staging: Path) -> FileRecord:
    data = locks.to_bytes(tracks, truths)
    write_atomic(staging / LOCK, data)
    return FileRecord(name=LOCK, sha256=sha256_bytes(data), bytes=len(data))


def _manifest(plan: FoldPlan, lock: FileRecord, records: Sequence[ShardRecord], truths: locks.Truths) -> Manifest:
    base = plan.base.manifest if plan.base else None
    drawn = (*(base.tracks if base else ()), *(record for _, record in plan.tracks))
    tracks = (record.model_copy(update={"truth_digest": truth_digest(truths[record.label])}) for record in drawn)
    return Manifest(
        schema_version=SCHEMA_VERSION,
        benchmark=plan.header.benchmark,
        definition=plan.header.definition,
        protocol=plan.header.protocol,
        fold=plan.header.fold,
        ignore_label=plan.header.ignore_label,
        classes=plan.class_pools,
        source=plan.header.source,
        splits=plan.header.splits,
        mask_policy=plan.header.mask_policy,
        plan=plan.header.plan,
        tracks=tuple(sorted(tracks, key=lambda t: (t.shot, t.seed))),
        lock=lock,
        shards=(*(base.shards if base else ()), *records),
        unofficial=plan.unofficial,
    )

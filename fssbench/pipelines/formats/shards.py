"""Shards: WebDataset tar files that are the same bytes for the same samples, and are never read unchecked."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, Literal, TypeVar, cast

from pydantic import ValidationError

from fssbench.base.archives import DAMAGED_TAR
from fssbench.base.errors import EpisodeSetError
from fssbench.base.files import atomic_file, sha256_file
from fssbench.base.records import first_error
from fssbench.pipelines.formats import images, tar
from fssbench.pipelines.formats.tar import TarSample
from fssbench.pipelines.transport import Place, Remote
from fssbench.pipelines.transport.ahead import read_ahead
from fssbench.pipelines.transport.remote import difference
from fssbench.schemas.manifest import FileRecord, ShardRecord
from fssbench.schemas.samples import (
    EpisodeSample,
    ImageMeta,
    ImageSample,
    PredictionSample,
    TrainingMeta,
    TrainingSample,
    episode_key,
)

__all__ = [
    "REBUILD",
    "episode_samples",
    "episodes_ahead",
    "image_samples",
    "images_ahead",
    "prediction_samples",
    "read_checked",
    "read_episodes",
    "read_images",
    "record_shard",
    "sample_spans",
    "training_samples",
    "write_episodes",
    "write_images",
    "write_predictions",
    "write_training",
]

Unpack = Callable[[bytes], Iterator[TarSample]]
"""How the bytes of a tar file are taken apart: by `fssbench.pipelines.formats.tar.unpack`, or by WebDataset."""

S = TypeVar("S", ImageSample, EpisodeSample)
Indexed = TypeVar("Indexed", EpisodeSample, PredictionSample)
REBUILD = "prepare the set again with --overwrite, or fetch the file again"


class _HashingWriter:
    """Passes bytes on to a file and hashes them on the way."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.sha256 = hashlib.sha256()
        self.bytes = 0

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        self.bytes += len(data)
        return self.file.write(data)


def _write(path: Path, samples: Iterable[TarSample]) -> FileRecord:
    """Write samples in the given order."""
    with atomic_file(path) as file:
        writer = _HashingWriter(file)
        tar.pack(cast(BinaryIO, writer), samples)  # nothing but write is asked of it
        return FileRecord(name=path.name, sha256=writer.sha256.hexdigest(), bytes=writer.bytes)


def write_images(path: Path, samples: Iterable[ImageSample]) -> FileRecord:
    """Write an image shard; image files go in as they came, a PNG under the suffix ``png``."""
    return _write(
        path,
        ((s.key, {images.suffix(s.jpeg): s.jpeg, "json": s.meta.model_dump_json().encode()}) for s in samples),
    )


def write_episodes(path: Path, samples: Iterable[EpisodeSample]) -> FileRecord:
    """Write an episode shard."""
    return _write(
        path,
        ((episode_key(s.index), {"json": s.model_dump_json().encode()}) for s in samples),
    )


def write_predictions(path: Path, samples: Iterable[PredictionSample]) -> FileRecord:
    """Write a shard of predicted masks."""
    return _write(
        path,
        ((episode_key(s.index), {"json": s.model_dump_json().encode()}) for s in samples),
    )


def write_training(path: Path, samples: Iterable[TrainingSample]) -> FileRecord:
    """Write a shard of images to train on, each with the masks of all its classes."""
    return _write(
        path,
        ((s.key, {images.suffix(s.jpeg): s.jpeg, "json": s.meta.model_dump_json().encode()}) for s in samples),
    )


def record_shard(
    file: FileRecord,
    *,
    kind: Literal["images", "episodes"],
    class_ids: Iterable[int],
    track: str | None = None,
) -> ShardRecord:
    """The manifest's entry for a shard whose samples have these classes, in order."""
    classes = dict(Counter(class_ids))
    return ShardRecord(
        name=file.name,
        sha256=file.sha256,
        bytes=file.bytes,
        kind=kind,
        samples=sum(classes.values()),
        classes=classes,
        track=track,
    )


def existing_file(path: Path) -> FileRecord | None:
    """The record of a finished file, or ``None`` if there is none."""
    if not path.is_file():
        return None
    return FileRecord(name=path.name, sha256=sha256_file(path), bytes=path.stat().st_size)


def read_checked(folder: Place, record: FileRecord) -> bytes:
    """A file's bytes, if they are those the manifest records; `EpisodeSetError` naming the file if not."""
    if isinstance(folder, Remote):
        return folder.read_checked(record)
    path = folder / record.name
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise EpisodeSetError(f"{path} is missing", remedy=REBUILD) from error
    except OSError as error:
        raise EpisodeSetError(f"{path} cannot be read: {error.strerror}", remedy=REBUILD) from error
    if wrong := difference(data, record):
        raise EpisodeSetError(f"{path} {wrong}", remedy=REBUILD)
    return data


def _samples(data: bytes, *, where: str, unpack: Unpack = tar.unpack) -> Iterator[TarSample]:
    """A tar file's samples, each key in one place; `EpisodeSetError` at the first that cannot be read."""
    seen: set[str] = set()
    try:
        for key, members in unpack(data):
            if key in seen:
                raise EpisodeSetError(f"{where}: sample {key} stands in two places", remedy=REBUILD)
            seen.add(key)
            yield key, members
    except DAMAGED_TAR as error:
        raise EpisodeSetError(f"{where} cannot be read as a tar file: {error}", remedy=REBUILD) from error


def sample_spans(data: bytes, *, where: str) -> dict[str, tuple[int, int]]:
    """For every key of a shard's bytes where its sample begins and ends, padding included; in order."""
    try:
        return tar.spans(data)
    except DAMAGED_TAR as error:
        raise EpisodeSetError(f"{where} cannot be read as a tar file: {error}", remedy=REBUILD) from error


def image_samples(data: bytes, *, where: str, unpack: Unpack = tar.unpack) -> Iterator[ImageSample]:
    """The samples of an image shard's bytes; `EpisodeSetError` at the first that is malformed."""
    for key, sample in _samples(data, where=where, unpack=unpack):
        try:
            image = sample["png"] if "png" in sample else sample["jpg"]
            yield ImageSample(key, image, ImageMeta.model_validate_json(sample["json"]))
        except (KeyError, ValidationError) as error:
            raise EpisodeSetError(f"{where}: image {key} is malformed: {_first(error)}", remedy=REBUILD) from error


def training_samples(data: bytes, *, where: str) -> Iterator[TrainingSample]:
    """The samples of a training shard's bytes, or of a run of whole samples in it; see `image_samples`."""
    for key, sample in _samples(data, where=where):
        try:
            image = sample["png"] if "png" in sample else sample["jpg"]
            yield TrainingSample(key, image, TrainingMeta.model_validate_json(sample["json"]))
        except (KeyError, ValidationError) as error:
            raise EpisodeSetError(f"{where}: image {key} is malformed: {_first(error)}", remedy=REBUILD) from error


def episode_samples(data: bytes, *, where: str, unpack: Unpack = tar.unpack) -> Iterator[EpisodeSample]:
    """The samples of an episode shard's bytes; `EpisodeSetError` at the first that is malformed."""
    return _indexed(EpisodeSample, data, where=where, unpack=unpack)


def prediction_samples(data: bytes, *, where: str) -> Iterator[PredictionSample]:
    """The samples of a shard of predictions; `EpisodeSetError` at the first that is malformed."""
    return _indexed(PredictionSample, data, where=where)


def _indexed(kind: type[Indexed], data: bytes, *, where: str, unpack: Unpack = tar.unpack) -> Iterator[Indexed]:
    for key, sample in _samples(data, where=where, unpack=unpack):
        try:
            episode = kind.model_validate_json(sample["json"])
        except (KeyError, ValidationError) as error:
            raise EpisodeSetError(f"{where}: episode {key} is malformed: {_first(error)}", remedy=REBUILD) from error
        if key != episode_key(episode.index):
            raise EpisodeSetError(f"{where}: episode {episode.index} stands under key {key}", remedy=REBUILD)
        yield episode


def _first(error: KeyError | ValidationError) -> str:
    if isinstance(error, KeyError):
        return f"it has no {error.args[0]} member"
    return first_error(error)


def read_images(folder: Place, record: ShardRecord, *, unpack: Unpack = tar.unpack) -> list[ImageSample]:
    """All samples of an image shard, none before the whole shard has passed its checks."""
    where = str(folder / record.name)
    return _counted(list(image_samples(read_checked(folder, record), where=where, unpack=unpack)), record, where)


def read_episodes(folder: Place, record: ShardRecord, *, unpack: Unpack = tar.unpack) -> list[EpisodeSample]:
    """All samples of an episode shard, none before the whole shard has passed its checks."""
    where = str(folder / record.name)
    return _counted(list(episode_samples(read_checked(folder, record), where=where, unpack=unpack)), record, where)


def images_ahead(
    folder: Place, records: Iterable[ShardRecord], *, unpack: Unpack = tar.unpack
) -> Iterator[list[ImageSample]]:
    """The samples of some image shards, shard by shard; the next ones are read while one is used."""
    return read_ahead(records, partial(read_images, folder, unpack=unpack))


def episodes_ahead(
    folder: Place, records: Iterable[ShardRecord], *, unpack: Unpack = tar.unpack
) -> Iterator[list[EpisodeSample]]:
    """The samples of some episode shards, likewise."""
    return read_ahead(records, partial(read_episodes, folder, unpack=unpack))


def _counted(samples: list[S], record: ShardRecord, where: str) -> list[S]:
    if len(samples) != record.samples:
        raise EpisodeSetError(f"{where} has {len(samples)} samples, the manifest says {record.samples}", remedy=REBUILD)
    return samples

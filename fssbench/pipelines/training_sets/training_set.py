"""A training set, here or elsewhere, opened for reading."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fssbench.base.errors import EpisodeSetError, TrainingSetError
from fssbench.base.files import sha256_bytes
from fssbench.base.home import output_flag
from fssbench.base.listing import is_litter
from fssbench.base.records import read_record
from fssbench.episodes.benchmarks import BENCHMARKS, Benchmark
from fssbench.pipelines.formats import training_index as index
from fssbench.pipelines.formats.shards import read_checked, training_samples
from fssbench.pipelines.formats.training_index import Entry
from fssbench.pipelines.transport import Place, Remote
from fssbench.schemas.samples import TrainingSample
from fssbench.schemas.training_set import TrainingManifest

__all__ = ["FOLDER", "INDEX", "TRAINING", "TrainingSet", "find_training_set", "find_training_sets", "training_path"]

TRAINING = "training.json"
INDEX = "images.parquet"
FOLDER = "train"


def training_path(output: Path, benchmark: Benchmark) -> Path:
    """Where a training set lies below ``output``. Folds do not matter to it, so benchmarks that share data share it."""
    return output / shared(benchmark).name / FOLDER


def shared(benchmark: Benchmark) -> Benchmark:
    """The benchmark whose raw data ``benchmark`` is made of: usually itself."""
    return next((one for one in BENCHMARKS if one.alias == benchmark.shares_data_of), benchmark)


@dataclass(frozen=True)
class TrainingSet:
    """The images of a benchmark to train on: the folder they lie in, here or elsewhere, and their manifest."""

    place: Place
    manifest: TrainingManifest

    @staticmethod
    def open(place: Place) -> TrainingSet:
        """Open the set in a folder; `TrainingSetError` if there is none or its manifest is damaged."""
        manifest = read_record(
            place / TRAINING,
            TrainingManifest,
            error=TrainingSetError,
            damaged="is damaged",
            remedy="prepare the set again with --train --overwrite",
            absent=f"{place} is not a training set: it has no {TRAINING}",
            bring="build one with fssbench prepare … --train",
        )
        return TrainingSet(place, manifest)

    @property
    def path(self) -> Path:
        """The folder of a set on this machine; `TrainingSetError` if it lies elsewhere."""
        if isinstance(self.place, Remote):
            raise TrainingSetError(f"{self.place} is not on this machine", remedy="copy the set here")
        return self.place

    @property
    def benchmark(self) -> Benchmark:
        """The benchmark whose images they are."""
        return self.manifest.resolve()

    @cached_property
    def entries(self) -> Mapping[str, Entry]:
        """What the index says of every image, by id, checked against the manifest's hash."""
        with damage():
            data = read_checked(self.place, self.manifest.index)
        entries = index.from_bytes(data, where=str(self.place / INDEX))
        if len(entries) != self.manifest.images:
            raise TrainingSetError(
                f"{self.place / INDEX} has {len(entries):,} images, the manifest says {self.manifest.images:,}",
                remedy="prepare the set again with --train --overwrite",
            )
        return entries

    def read(self, image_id: str) -> TrainingSample:
        """One image's sample, from its place in its shard, checked against the index's hash; threads may call it.

        Raises `TrainingSetError` if there is no such image, or its shard is missing or damaged.
        """
        entry = self.entries.get(image_id)
        if entry is None:
            raise TrainingSetError(f"{self.place} has no image {image_id}", remedy="draw the lists from this very set")
        record = self.manifest.shards[entry.shard]
        where = f"{self.place / record.name}: image {image_id}"
        if isinstance(self.place, Remote):
            # All of the shard: it comes from the cache if that has room. Whoever reads much reads in order.
            with damage():
                data = self.place.read_checked(record)[entry.offset : entry.offset + entry.bytes]
        else:
            data = _part(self.place / record.name, entry)
        if sha256_bytes(data) != entry.sha256:
            raise TrainingSetError(
                f"{where} is damaged: its SHA-256 is not the index's",
                remedy="prepare the set again with --train --overwrite, or fetch the file again",
            )
        with damage():
            (sample,) = training_samples(data, where=where)
        return sample


def _part(file: Path, entry: Entry) -> bytes:
    try:
        with file.open("rb") as shard:
            shard.seek(entry.offset)
            return shard.read(entry.bytes)
    except OSError as error:
        raise TrainingSetError(
            f"{file} cannot be read: {error.strerror}", remedy="prepare the set again with --train --overwrite"
        ) from error


@contextmanager
def damage() -> Iterator[None]:
    """What is wrong with a file of a training set is not said to be wrong with an episode set."""
    try:
        yield
    except EpisodeSetError as error:
        raise TrainingSetError(error.problem, remedy=error.remedy) from error


def find_training_sets(root: Place) -> list[Place]:
    """Folders below ``root`` (or ``root`` itself) that hold a finished training set, sorted."""
    if (root / TRAINING).is_file():
        return [root]
    if isinstance(root, Remote):  # it cannot be listed: sets are asked for by the names that prepare gives them
        names = dict.fromkeys(shared(benchmark).name for benchmark in BENCHMARKS) if root.transport.searchable else {}
        return [place for name in names if ((place := root / name / FOLDER) / TRAINING).is_file()]
    found = (
        file.parent for pattern in (f"{FOLDER}/{TRAINING}", f"*/{FOLDER}/{TRAINING}") for file in root.glob(pattern)
    )
    return [*sorted(path for path in found if (path / TRAINING).is_file() and not is_litter(path.relative_to(root)))]


def find_training_set(root: Place, benchmark: Benchmark) -> TrainingSet:
    """Open the training set of a benchmark below ``root``, or ``root`` itself if it is that set.

    Raises:
        TrainingSetError: it is not there; the message says how to build it.
    """
    name = shared(benchmark).name
    path = root if (root / TRAINING).is_file() else root / name / FOLDER
    if (path / TRAINING).is_file():
        training_set = TrainingSet.open(path)
        if training_set.manifest.benchmark == name:
            return training_set
        raise TrainingSetError(
            f"{path} is a training set of {training_set.manifest.benchmark}, not of {name}",
            remedy="pass the folder that was given to prepare as --output",
        )
    if isinstance(root, Remote):
        return TrainingSet.open(path)  # which says why it cannot
    raise TrainingSetError(
        f"there is no training set {path}",
        remedy=f"build it with: fssbench prepare {benchmark.alias} --train{output_flag(root)}",
    )

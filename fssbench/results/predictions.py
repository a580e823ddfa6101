"""Predicted masks as files: deterministic shards and a manifest with their hashes.

One folder holds the masks of one model on one track, one mask an episode and size, as COCO run-length
encodings. With the episode set beside it, every count and figure follows from it without the model.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count, islice
from pathlib import Path
from typing import Literal

from fssbench.base.errors import FssbenchError, ResultError
from fssbench.base.files import PARTIAL, replace_folder, sha256_bytes, sha256_file, storage_errors, write_atomic
from fssbench.base.records import read_record
from fssbench.pipelines.formats.shards import prediction_samples, write_predictions
from fssbench.schemas.predictions import PredictionShard, PredictionsManifest
from fssbench.schemas.result import EpisodesRecord, ModelRecord, PredictionsFolder
from fssbench.schemas.samples import MaskSize, PredictionSample

__all__ = ["INDEX", "StoredPredictions", "store_predictions"]

INDEX = "predictions.json"
SCHEMA_VERSION: Literal[1] = 1
EPISODES_PER_SHARD = 1_000


def store_predictions(
    folder: Path, samples: Iterable[PredictionSample], *, model: ModelRecord, episodes: EpisodesRecord
) -> PredictionsFolder:
    """Write masks into ``folder``, in place of what is there; the same bytes for the same masks.

    Args:
        samples: of every episode, each at the same sizes; in the order of their indices, unless they are a sequence.

    Raises `ResultError` if they are in no order.
    """
    if isinstance(samples, Sequence):
        samples = sorted(samples, key=lambda sample: sample.index)
    first, following = _with_first(samples)
    sizes: tuple[MaskSize, ...] = ("original", "model")
    sizes = tuple(size for size in sizes if size in first.masks)
    partial = folder.with_name(folder.name + PARTIAL)
    with storage_errors(folder):
        shutil.rmtree(partial, ignore_errors=True)
        try:
            manifest = PredictionsManifest(
                schema_version=SCHEMA_VERSION,
                kind="fssbench-predictions",
                model=model,
                episodes=episodes,
                sizes=sizes,
                shards=tuple(_write_shards(partial, following, sizes)),
            )
            write_atomic(partial / INDEX, manifest.to_json())
            if not _same(partial, folder):
                replace_folder(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return PredictionsFolder(folder=folder.name, sha256=sha256_file(folder / INDEX))


def _same(first: Path, second: Path) -> bool:
    """Whether two folders hold the same files."""
    names = sorted(path.name for path in first.iterdir())
    if not second.is_dir() or names != sorted(path.name for path in second.iterdir()):
        return False
    return all(sha256_file(first / name) == sha256_file(second / name) for name in names)


def _with_first(samples: Iterable[PredictionSample]) -> tuple[PredictionSample, Iterator[PredictionSample]]:
    """The first, and all of them."""
    following = iter(samples)
    first = next(following)
    return first, chain([first], following)


def _write_shards(
    folder: Path, samples: Iterator[PredictionSample], sizes: Sequence[MaskSize]
) -> Iterator[PredictionShard]:
    before = -1
    for n in count():
        if not (part := list(islice(samples, EPISODES_PER_SHARD))):
            return
        for sample in part:
            if sample.index <= before:
                raise ResultError(
                    f"the mask of episode {sample.index} comes behind that of episode {before}",
                    remedy="evaluate again with --overwrite",
                )
            before = sample.index
        # Sizes in one order, whatever order they were predicted in.
        masks = (PredictionSample(index=s.index, masks={size: s.masks[size] for size in sizes}) for s in part)
        file = write_predictions(folder / f"predictions-{n:06d}.tar", masks)
        yield PredictionShard(name=file.name, sha256=file.sha256, bytes=file.bytes, samples=len(part))


@dataclass(frozen=True)
class StoredPredictions:
    """A folder of predictions, opened for reading."""

    path: Path
    manifest: PredictionsManifest

    @staticmethod
    def open(path: Path) -> StoredPredictions:
        """Open the predictions in folder ``path``; `ResultError` if there are none or their manifest is damaged."""
        manifest = read_record(
            path / INDEX,
            PredictionsManifest,
            error=ResultError,
            damaged="is not a list of predictions",
            remedy="evaluate again with --overwrite",
        )
        return StoredPredictions(path, manifest)

    def __iter__(self) -> Iterator[PredictionSample]:
        """`samples`, from the beginning each time; those of one shard are in memory at once."""
        return self.samples()

    def samples(self, problems: list[str] | None = None) -> Iterator[PredictionSample]:
        """The masks of every episode, each shard checked before it is used.

        Args:
            problems: where to note what is wrong and go on as far as that makes sense.

        Raises:
            ResultError: a shard is missing or damaged, if there is no list to note it in.
        """
        for shard in self.manifest.shards:
            for problem in (found := _Shard(self.path / shard.name, shard, self.manifest.sizes)).problems:
                if problems is None:
                    raise ResultError(problem, remedy="evaluate again with --overwrite, or fetch the file again")
                problems.append(problem)
            yield from found.samples


class _Shard:
    """One shard's samples, and whatever is wrong with it."""

    def __init__(self, path: Path, record: PredictionShard, sizes: Sequence[MaskSize]) -> None:
        self.problems: list[str] = []
        self.samples: list[PredictionSample] = []
        try:
            data = path.read_bytes()
        except OSError as error:
            self.problems.append(f"{path} cannot be read: {error.strerror}")
            return
        if (found := sha256_bytes(data)) != record.sha256:
            self.problems.append(f"{path} is damaged: its SHA-256 is {found}, {INDEX} says {record.sha256}")
        elif len(data) != record.bytes:
            self.problems.append(f"{path} has {len(data):,} bytes, {INDEX} says {record.bytes:,}")
        try:
            for sample in prediction_samples(data, where=str(path)):
                self.samples.append(sample)
                if set(sample.masks) != set(sizes):
                    self.problems.append(
                        f"{path}: episode {sample.index} has masks at {', '.join(sample.masks) or 'no size'}, "
                        f"{INDEX} says {', '.join(sizes)}"
                    )
        except FssbenchError as error:
            self.problems.append(error.problem)
        if len(self.samples) != record.samples:
            self.problems.append(f"{path} has {len(self.samples)} samples, {INDEX} says {record.samples}")

"""Everything that can be wrong with a training set, found in one pass and listed in full."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from fssbench.base.errors import FssbenchError
from fssbench.base.progress import Advance, no_progress
from fssbench.episodes.episodes import pool_digest
from fssbench.pipelines.episode_sets.check_episode_set import Verdict, read_noted
from fssbench.pipelines.formats import images, masks
from fssbench.pipelines.formats.shards import training_samples
from fssbench.pipelines.formats.training_index import index_shard
from fssbench.pipelines.training_sets.training_set import INDEX, TRAINING, TrainingSet
from fssbench.pipelines.transport import Place
from fssbench.schemas.manifest import FileRecord
from fssbench.schemas.samples import TrainingSample

__all__ = ["verify_training_set"]


def verify_training_set(path: Place, *, advance: Advance = no_progress) -> Verdict:
    """Check hashes, counts, keys and masks, and the agreement of shards, index and manifest of one training set.

    Never stops at the first problem. ``advance`` is called with the bytes read.
    """
    verdict = Verdict(path)
    try:
        training_set = TrainingSet.open(path if isinstance(path, Path) else path.uncached())
    except FssbenchError as error:
        verdict.problems.append(error.problem)
        return verdict
    _TrainingSetCheck(training_set, verdict, advance).run()
    return verdict


class _TrainingSetCheck:
    """One pass over one set; each method checks one thing and adds to the verdict's problems."""

    def __init__(self, training_set: TrainingSet, verdict: Verdict, advance: Advance) -> None:
        self.training_set = training_set
        self.place = training_set.place
        self.manifest = training_set.manifest
        self.verdict = verdict
        self.advance = advance
        self.shown: dict[int, list[str]] = {}
        self.seen: Counter[str] = Counter()

    def wrong(self, text: str) -> None:
        self.verdict.problems.append(text)

    def run(self) -> None:
        self.listing()
        self.read(self.manifest.index)
        for number, _ in enumerate(self.manifest.shards):
            self.shard(number)
        self.counts()

    def listing(self) -> None:
        """The folder holds what the manifest lists, once, and nothing else."""
        names = [TRAINING, INDEX, *(shard.name for shard in self.manifest.shards)]
        for name, times in Counter(names).items():
            if times > 1:
                self.wrong(f"{TRAINING}: {name} is listed {times} times")
        if isinstance(self.place, Path):  # elsewhere, folders cannot be listed
            for file in sorted(self.place.iterdir()):
                if file.name not in names:
                    self.wrong(f"{file.name}: not listed in {TRAINING}")

    def read(self, record: FileRecord) -> bytes | None:
        """A file's bytes; whatever differs from its record is noted."""
        self.verdict.files += 1
        data = read_noted(self.place, record, self.wrong)
        self.advance(len(data or b""))
        return data

    def shard(self, number: int) -> None:
        """Samples are whole, their masks fit them, and the index says of them what they are."""
        record = self.manifest.shards[number]
        if (data := self.read(record)) is None:
            return
        samples = 0
        try:
            for sample in training_samples(data, where=record.name):
                samples += 1
                self.sample(sample, f"{record.name}: image {sample.key} ({sample.meta.image_id})")
            self.index(number, data)
        except FssbenchError as error:
            self.wrong(error.problem)
        if samples != record.samples:
            self.wrong(f"{record.name}: has {samples} samples, the manifest says {record.samples}")

    def sample(self, sample: TrainingSample, where: str) -> None:
        self.verdict.images += 1
        meta = sample.meta
        self.seen[meta.image_id] += 1
        if self.seen[meta.image_id] > 1:
            self.wrong(f"{where} stands in the set twice")
        try:
            header = images.inspect(sample.jpeg, where=where, formats=images.FORMATS)
            if images.fit_orientation(header, height=meta.height, width=meta.width, where=where) != meta.orientation:
                self.wrong(f"{where} has EXIF orientation {header.orientation}, its sample says {meta.orientation}")
            for rle in (*meta.masks.values(), *([meta.ignore] if meta.ignore else [])):
                masks.check(rle)
                if rle["size"] != [meta.height, meta.width]:
                    self.wrong(f"{where}: a mask has size {rle['size']}, the image {[meta.height, meta.width]}")
            if empty := [class_id for class_id, rle in meta.masks.items() if not masks.area(rle)]:
                self.wrong(f"{where}: its mask of class {empty[0]} is empty")
        except FssbenchError as error:
            self.wrong(error.problem)
        for class_id in meta.masks:
            self.shown.setdefault(class_id, []).append(meta.image_id)

    def index(self, number: int, data: bytes) -> None:
        """The index's entries of a shard are those that the shard gives."""
        try:
            entries = self.training_set.entries
        except FssbenchError as error:
            if number == 0:
                self.wrong(error.problem)
            return
        name = self.manifest.shards[number].name
        for entry in index_shard(data, number, where=name):
            if entries.get(entry.image_id) != entry:
                self.wrong(f"{INDEX}: what it says of image {entry.image_id} is not what stands in {name}")

    def counts(self) -> None:
        """Images and classes are as many, and the same, as the manifest says."""
        if self.verdict.images != self.manifest.images:
            self.wrong(
                f"{TRAINING}: the set has {self.verdict.images:,} images, the manifest says {self.manifest.images:,}"
            )
        listed = {pool.id: pool for pool in self.manifest.classes}
        for class_id in sorted(listed.keys() | self.shown.keys()):
            ids, pool = self.shown.get(class_id, []), listed.get(class_id)
            if pool is None or len(ids) != pool.images or pool_digest(ids) != pool.sha256:
                self.wrong(f"{TRAINING}: the images that show class {class_id} are not those it lists")

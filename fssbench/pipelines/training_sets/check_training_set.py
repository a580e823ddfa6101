"""Everything that can be wrong with a training set, found in one pass and listed in full."""

from __future__ import annotations

from collections import Counter

from fssbench.base.errors import FssbenchError
from fssbench.base.progress import Advance, no_progress
from fssbench.episodes.episodes import pool_digest
from fssbench.pipelines.episode_sets.check_set import SetCheck, Verdict, check_set
from fssbench.pipelines.formats import masks
from fssbench.pipelines.formats.shards import training_samples
from fssbench.pipelines.formats.training_index import index_shard
from fssbench.pipelines.training_sets.training_set import INDEX, TRAINING, TrainingSet
from fssbench.pipelines.transport import Place
from fssbench.schemas.samples import TrainingSample

__all__ = ["verify_training_set"]


def verify_training_set(path: Place, *, advance: Advance = no_progress) -> Verdict:
    """Check hashes, counts, keys and masks, and the agreement of shards, index and manifest of one training set.

    Never stops at the first problem. ``advance`` is called with the bytes read.
    """
    return check_set(path, lambda place, verdict: _TrainingSetCheck(TrainingSet.open(place), verdict, advance).run())


class _TrainingSetCheck(SetCheck):
    """Of a training set."""

    def __init__(self, training_set: TrainingSet, verdict: Verdict, advance: Advance) -> None:
        super().__init__(training_set.place, verdict, advance)
        self.training_set = training_set
        self.manifest = training_set.manifest
        self.shown: dict[int, list[str]] = {}
        self.seen: Counter[str] = Counter()

    def run(self) -> None:
        self.listing(TRAINING, INDEX, *(shard.name for shard in self.manifest.shards))
        self.read(self.manifest.index)
        for number, _ in enumerate(self.manifest.shards):
            self.shard(number)
        self.counts()

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
            self.image_file(sample.jpeg, meta, where)
            for rle in (*meta.masks.values(), *([meta.ignore] if meta.ignore else [])):
                masks.runs(rle)
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
        try:
            given = index_shard(data, number, where=name)
        except FssbenchError:  # told of its sample
            return
        for entry in given:
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

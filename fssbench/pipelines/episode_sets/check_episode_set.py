"""Everything that can be wrong with an episode set, found in one pass and listed in full."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TypeVar

from fssbench.base.errors import FssbenchError, UsageError
from fssbench.base.progress import Advance, no_progress
from fssbench.episodes.episodes import Track, pool_digest
from fssbench.episodes.protocols import EvaluationProtocol, find_protocol
from fssbench.pipelines.episode_sets.check_set import SetCheck, Verdict, check_set
from fssbench.pipelines.episode_sets.episode_set import MANIFEST, EpisodeSet
from fssbench.pipelines.formats import locks, masks
from fssbench.pipelines.formats.shards import episode_samples, image_samples
from fssbench.pipelines.formats.truth import ImageId, image_truth, track_truths, truth_digest
from fssbench.pipelines.transport import Place
from fssbench.schemas.manifest import ShardRecord, TrackRecord
from fssbench.schemas.samples import EpisodeSample, ImageMeta, ImageSample

__all__ = ["verify_set"]

S = TypeVar("S", ImageSample, EpisodeSample)


def verify_set(path: Place, *, advance: Advance = no_progress) -> Verdict:
    """Check hashes, counts, keys, masks, and the agreement of shards, lock and manifest of one set.

    Never stops at the first problem. ``advance`` is called with the bytes read.
    """
    return check_set(path, lambda place, verdict: _EpisodeSetCheck(EpisodeSet.open(place), verdict, advance).run())


class _EpisodeSetCheck(SetCheck):
    """Of an episode set."""

    def __init__(self, episode_set: EpisodeSet, verdict: Verdict, advance: Advance) -> None:
        super().__init__(episode_set.place, verdict, advance)
        self.episode_set = episode_set
        self.manifest = episode_set.manifest
        self.images: dict[str, ImageMeta] = {}
        self.pixels: dict[str, int] = {}  # of an image's mask, by key
        self.truths: dict[ImageId, str] = {}  # of an image with its mask
        self.pinned: dict[str, tuple[str, ...]] = {}  # by track, what the lock says of each episode's truth
        self.protocol: EvaluationProtocol | None = None  # set by `header` if it is known

    def run(self) -> None:
        self.listing(MANIFEST, *(file.name for file in (self.manifest.lock, *self.manifest.shards)))
        self.header()
        tracks = self.lock()
        for shard in self.manifest.shards:
            if shard.kind == "images":
                self.image_shard(shard)
        used: set[str] = set()
        for record in self.manifest.tracks:
            name = record.label
            used |= self.episode_shards(name, tracks.get(name))
            if name in tracks:
                self.truth(record, tracks[name])
        self.unused(used)
        self.pools()
        for record in self.manifest.tracks:
            if track := tracks.get(record.label):
                self.rules(record, track)

    def header(self) -> None:
        """Benchmark, protocol and fold exist, and the classes are that fold's."""
        try:
            novel = self.episode_set.benchmark.novel_classes(self.manifest.fold)
            self.protocol = find_protocol(self.manifest.protocol.name)
        except UsageError as error:
            self.wrong(f"{MANIFEST}: {error.problem}")
            return
        if tuple(pool.id for pool in self.manifest.classes) != novel:
            self.wrong(f"{MANIFEST}: its classes are not the novel classes of fold {self.manifest.fold}")

    def lock(self) -> dict[str, Track]:
        """The lock's tracks are the manifest's: names, counts and digests."""
        manifest = self.manifest
        if (data := self.read(manifest.lock)) is None:
            return {}
        try:
            tracks = locks.from_bytes(
                data,
                benchmark=manifest.benchmark,
                protocol=manifest.protocol.label,
                fold=manifest.fold,
                where=manifest.lock.name,
            )
        except FssbenchError as error:
            self.wrong(error.problem)
            return {}
        self.pinned = locks.truths_from_bytes(data) or {}
        listed = {t.label: t for t in manifest.tracks}
        for name in sorted(tracks.keys() ^ listed.keys()):
            here, there = ("lock", "manifest") if name in tracks else ("manifest", "lock")
            self.wrong(f"{manifest.lock.name}: track {name} is in the {here} but not in the {there}")
        for name in sorted(tracks.keys() & listed.keys()):
            if len(tracks[name].episodes) != listed[name].episodes:
                self.wrong(
                    f"{manifest.lock.name}: {name} has {len(tracks[name].episodes)} episodes, "
                    f"the manifest says {listed[name].episodes}"
                )
            if tracks[name].digest != listed[name].digest:
                self.wrong(
                    f"{manifest.lock.name}: the digest of {name} is {tracks[name].digest}, "
                    f"the manifest says {listed[name].digest}"
                )
        return tracks

    def samples(self, shard: ShardRecord, parse: Callable[..., Iterator[S]]) -> Iterator[S]:
        """A shard's samples as far as they can be read; counts are compared at the end."""
        if (data := self.read(shard)) is None:
            return
        classes: Counter[int] = Counter()
        try:
            for sample in parse(data, where=shard.name):
                meta = sample.meta if isinstance(sample, ImageSample) else sample
                classes[meta.class_id] += 1
                yield sample
        except FssbenchError as error:
            self.wrong(error.problem)
        if classes.total() != shard.samples:
            self.wrong(f"{shard.name}: has {classes.total()} samples, the manifest says {shard.samples}")
        elif dict(classes) != shard.classes:
            self.wrong(f"{shard.name}: samples by class are {dict(classes)}, the manifest says {shard.classes}")

    def image_shard(self, shard: ShardRecord) -> None:
        """Keys are unique; images are whole; masks fit them and are large enough."""
        for sample in self.samples(shard, image_samples):
            self.verdict.images += 1
            where = f"{shard.name}: image {sample.key} ({sample.meta.image_id})"
            if sample.key in self.images:
                self.wrong(f"{where} stands in two shards")
            self.images[sample.key] = sample.meta
            self.truths[sample.meta.class_id, sample.meta.image_id] = image_truth(sample)
            try:
                self.image(sample, where)
            except FssbenchError as error:
                self.wrong(error.problem)

    def image(self, sample: ImageSample, where: str) -> None:
        meta = sample.meta
        self.image_file(sample.jpeg, meta, where)
        for name, rle in (("mask", meta.mask), ("ignore region", meta.ignore)):
            if rle is not None and rle["size"] != [meta.height, meta.width]:
                self.wrong(f"{where}: its {name} has size {rle['size']}, the image {[meta.height, meta.width]}")
            if rle is not None:
                masks.runs(rle)
        alike = [rle for rle in (meta.mask, meta.ignore) if rle and rle["size"] == meta.mask["size"]]
        if len(alike) == 2 and (both := masks.area(masks.intersection(alike))):
            self.wrong(f"{where}: {both} pixels are both the class and ignored")
        self.pixels[sample.key] = pixels = masks.area(meta.mask)
        least = 1 if self.protocol and self.protocol.small_queries else self.manifest.protocol.min_pixels
        if pixels < least:
            self.wrong(f"{where}: its mask has {pixels} pixels, fewer than {least}")
        if meta.class_id not in {pool.id for pool in self.manifest.classes}:
            self.wrong(f"{where}: class {meta.class_id} is not a class of this fold")

    def episode_shards(self, name: str, track: Track | None) -> set[str]:
        """A track's shards hold each of its episodes once, as the lock pins it; returns the keys used."""
        used: set[str] = set()
        seen: Counter[int] = Counter()
        for shard in self.manifest.shards:
            if shard.kind == "episodes" and shard.track == name:
                for sample in self.samples(shard, episode_samples):
                    self.verdict.episodes += 1
                    seen[sample.index] += 1
                    used.update((sample.query, *sample.supports))
                    self.episode(f"{shard.name}: episode {sample.index}", sample, track)
        for index, times in sorted(seen.items()):
            if times > 1:
                self.wrong(f"{name}: episode {index} stands {times} times in its shards")
        if track is not None and (absent := sorted(set(range(len(track.episodes))) - seen.keys())):
            self.wrong(f"{name}: {len(absent)} episodes of the lock are in no shard, the first is {absent[0]}")
        return used

    def episode(self, where: str, sample: EpisodeSample, track: Track | None) -> None:
        keys = (sample.query, *sample.supports)
        if unknown := [key for key in keys if key not in self.images]:
            self.wrong(f"{where} names {', '.join(unknown)}, which no image shard has")
            return
        if foreign := [key for key in keys if self.images[key].class_id != sample.class_id]:
            self.wrong(f"{where} of class {sample.class_id} names {foreign[0]}, an image of another class")
        least = self.manifest.protocol.min_pixels
        if small := [key for key in sample.supports if self.pixels.get(key, least) < least]:
            self.wrong(f"{where} has support {small[0]}, whose mask has fewer than {least} pixels")
        if track is not None and sample.index < len(track.episodes):
            pinned = track.episodes[sample.index]
            found = (sample.class_id, *(self.images[key].image_id for key in keys))
            if found != (pinned.class_id, pinned.query, *pinned.supports):
                self.wrong(f"{where} is {found}, the lock says {pinned.line.split(chr(9))}")

    def truth(self, record: TrackRecord, track: Track) -> None:
        """Masks and images are those that lock and manifest pin, where they pin them."""
        if record.truth_digest is None:
            return
        pinned = self.pinned.get(track.name, ())
        if (stated := truth_digest(pinned)) != record.truth_digest:
            self.wrong(
                f"{self.manifest.lock.name}: the truth digest of {track.name} is {stated}, "
                f"the manifest says {record.truth_digest}"
            )
        used = {(e.class_id, image_id) for e in track.episodes for image_id in (e.query, *e.supports)}
        if used - self.truths.keys():
            return  # said already: images are missing, or are others
        found = track_truths(track, self.truths)
        if other := [index for index, pair in enumerate(zip(found, pinned, strict=False)) if pair[0] != pair[1]]:
            self.wrong(
                f"{track.name}: masks or images of {len(other)} episodes are not those that the lock pins, the first "
                f"is {other[0]}"
            )

    def unused(self, used: set[str]) -> None:
        """No image is carried along for nothing."""
        if idle := sorted(self.images.keys() - used):
            self.wrong(f"{len(idle)} images are used by no episode, the first is {idle[0]}")

    def pools(self) -> None:
        """Images are the pools' where the set holds a pool whole, and never more than the pool."""
        if self.manifest.protocol.lists == "files" and self.protocol and self.protocol.small_queries:
            return  # which queries serve their class stands in the split files alone
        for pool in self.manifest.classes:
            ids = self.eligible(pool.id)
            if len(set(ids)) != len(ids):
                self.wrong(f"class {pool.id} ({pool.name}): an image stands twice")
            if len(ids) > pool.images:
                self.wrong(f"class {pool.id} ({pool.name}): {len(ids)} images, its pool has {pool.images}")
            if len(ids) == pool.images and pool_digest(ids) != pool.sha256:
                self.wrong(f"class {pool.id} ({pool.name}): its images are not those of its pool")

    def eligible(self, class_id: int) -> list[str]:
        """The set's images that its protocol lets serve a class; some queries may be smaller."""
        least = self.manifest.protocol.min_pixels
        return [
            meta.image_id
            for key, meta in self.images.items()
            if meta.class_id == class_id and self.pixels.get(key, least) >= least
        ]

    def rules(self, record: TrackRecord, track: Track) -> None:
        """Episodes obey the protocol; where the set tells its lists, they are drawn again and compared."""
        name, protocol = track.name, self.protocol
        if protocol is None:
            return
        for index, episode in enumerate(track.episodes):
            if episode.query in episode.supports:
                self.wrong(f"{name}: episode {index} shows its query as a support")
            elif not protocol.repeats and len(set(episode.supports)) != record.shot:
                self.wrong(f"{name}: episode {index} uses an image twice")
        pools = {
            pool.id: self.eligible(pool.id) for pool in self.manifest.classes if pool.id not in record.absent_classes
        }
        whole = all(len(pools.get(pool.id, ())) == pool.images for pool in self.manifest.classes if pool.id in pools)
        # Neither the order of split files nor small queries that were never asked can be told from a set.
        told = self.manifest.protocol.lists != "files" and not protocol.small_queries
        if not whole or not told or self.verdict.problems:
            return
        try:
            again = protocol.draw(
                protocol.derive(pools, present=pools, benchmark=track.benchmark),
                benchmark=track.benchmark,
                fold=track.fold,
                shot=track.shot,
                seed=track.seed,
                episodes=record.episodes,
            )
        except FssbenchError as error:
            self.wrong(f"{name}: cannot be drawn again: {error.problem}")
            return
        self.verdict.redrawn += 1
        if again.digest != track.digest:
            self.wrong(f"{name}: drawn again from the set's own images it is another track ({again.digest})")

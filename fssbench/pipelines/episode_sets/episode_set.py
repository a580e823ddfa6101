"""An episode set, here or elsewhere, opened for reading."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import overload

from fssbench.base.errors import EpisodeSetError, UsageError
from fssbench.base.home import output_flag
from fssbench.base.listing import is_litter
from fssbench.base.records import read_record
from fssbench.episodes.benchmarks import BENCHMARKS, Benchmark, find_benchmark
from fssbench.episodes.episodes import Track
from fssbench.episodes.protocols import PROTOCOLS
from fssbench.pipelines.formats import locks
from fssbench.pipelines.formats.shards import episodes_ahead, images_ahead, read_checked
from fssbench.pipelines.formats.truth import ImageId, image_truth, track_truths, truth_digest
from fssbench.pipelines.transport import Place, Remote
from fssbench.schemas.manifest import Manifest, ShardRecord, TrackRecord
from fssbench.schemas.samples import ImageMeta

__all__ = ["LOCK", "MANIFEST", "EpisodeSet", "benchmark_below", "find_sets", "locate_set", "set_path"]

MANIFEST = "manifest.json"
LOCK = "tracks.parquet"
AT_ONCE = 16
"""Questions asked of a server at a time when it is searched for sets."""
CHECK = "check the address: it is that of the folder with the manifest, or of the root above it"


@overload
def set_path(output: Path, *, benchmark: str, protocol: str, fold: int) -> Path: ...
@overload
def set_path(output: Remote, *, benchmark: str, protocol: str, fold: int) -> Remote: ...
@overload
def set_path(output: Place, *, benchmark: str, protocol: str, fold: int) -> Place: ...
def set_path(output: Place, *, benchmark: str, protocol: str, fold: int) -> Place:
    """Where a set lies below ``output``."""
    return output / benchmark / protocol / f"fold{fold}"


@dataclass(frozen=True)
class EpisodeSet:
    """One benchmark, protocol and fold: the folder it lies in, here or elsewhere, and its manifest."""

    place: Place
    manifest: Manifest

    @staticmethod
    def open(place: Place) -> EpisodeSet:
        """Open the set in a folder; `EpisodeSetError` if there is none or its manifest is damaged."""
        manifest = read_record(
            place / MANIFEST,
            Manifest,
            error=EpisodeSetError,
            damaged="is damaged",
            remedy="prepare the set again with --overwrite",
            absent=f"{place} is not an episode set: it has no {MANIFEST}",
            bring=CHECK if isinstance(place, Remote) else "build one with fssbench prepare",
        )
        return EpisodeSet(place, manifest)

    @property
    def path(self) -> Path:
        """The folder of a set on this machine; `EpisodeSetError` if it lies elsewhere."""
        if isinstance(self.place, Remote):
            raise EpisodeSetError(f"{self.place} is not on this machine", remedy="copy the set here")
        return self.place

    @property
    def benchmark(self) -> Benchmark:
        """The benchmark the set belongs to: a built-in one, or the one its manifest defines."""
        manifest = self.manifest
        if manifest.definition is None:
            return find_benchmark(manifest.benchmark)
        return manifest.definition.benchmark(manifest.benchmark, ignore_label=manifest.ignore_label)

    def record(self, *, shot: int, seed: int) -> TrackRecord:
        """The manifest's entry of a track; `EpisodeSetError` naming those there are if it is not among them."""
        for track in self.manifest.tracks:
            if (track.shot, track.seed) == (shot, seed):
                return track
        there = ", ".join(f"{track.shot}-shot seed {track.seed}" for track in self.manifest.tracks)
        raise EpisodeSetError(
            f"{self.place} has no {shot}-shot track of seed {seed}, it has {there}",
            remedy=f"add it with fssbench prepare … --shots {shot} --seeds {seed}",
        )

    @cached_property
    def _lock(self) -> bytes:
        return read_checked(self.place, self.manifest.lock)

    @cached_property
    def tracks(self) -> dict[str, Track]:
        """The lock's tracks by name, checked against the manifest's hash and digests."""
        manifest = self.manifest
        tracks = locks.from_bytes(
            self._lock,
            benchmark=manifest.benchmark,
            protocol=manifest.protocol.label,
            fold=manifest.fold,
            where=str(self.place / manifest.lock.name),
        )
        for record in manifest.tracks:
            name = record.label
            if name not in tracks or tracks[name].digest != record.digest:
                raise EpisodeSetError(
                    f"{self.place / manifest.lock.name}: track {name} is not the one the manifest pins",
                    remedy="prepare the set again with --overwrite",
                )
        return tracks

    def truth_digest(self, track: Track) -> str:
        """The truth digest of a track of the set, or of its first episodes.

        Raises:
            EpisodeSetError: the lock is damaged, or is not the one the manifest pins.
        """
        return truth_digest(self._truths[track.name][: len(track.episodes)])

    @cached_property
    def _truths(self) -> dict[str, tuple[str, ...]]:
        """By track, the hash of each episode; computed from all images where the set was built without."""
        told = {track.label: track.truth_digest for track in self.manifest.tracks}
        if not all(told.values()):
            images = self.image_truths()
            return {name: track_truths(track, images) for name, track in self.tracks.items()}
        found = locks.truths_from_bytes(self._lock) or {}
        for name, digest in told.items():
            if truth_digest(found.get(name, ())) != digest:
                raise EpisodeSetError(
                    f"{self.place / self.manifest.lock.name}: the truth of track {name} is not the one the manifest "
                    "pins",
                    remedy="prepare the set again with --overwrite",
                )
        return found

    def image_truths(self) -> dict[ImageId, str]:
        """By class and id, the hash of every image with its mask; reads all image shards."""
        read = images_ahead(self.place, self.shards("images"))
        return {(s.meta.class_id, s.meta.image_id): image_truth(s) for samples in read for s in samples}

    def shards(self, kind: str, *, track: str | None = None) -> list[ShardRecord]:
        """The shards of a kind, for episodes of one track."""
        return [s for s in self.manifest.shards if s.kind == kind and track in (None, s.track)]

    def keys(self) -> dict[tuple[int, str], str]:
        """Image keys by (class, image id): what the lock and the episode shards say together."""
        keys: dict[tuple[int, str], str] = {}
        shards = self.shards("episodes")
        for shard, samples in zip(shards, episodes_ahead(self.place, shards), strict=True):
            track = self.tracks[str(shard.track)]
            for sample in samples:
                episode = track.episodes[sample.index]
                names = zip((episode.query, *episode.supports), (sample.query, *sample.supports), strict=True)
                keys.update(((episode.class_id, image_id), key) for image_id, key in names)
        return keys

    def queries(self, track: Track) -> dict[int, ImageMeta]:
        """What the shards say of each query of ``track``, its mask among it, by episode index."""
        wanted = {(episode.class_id, episode.query) for episode in track.episodes}
        found: dict[tuple[int, str], ImageMeta] = {}
        for samples in images_ahead(self.place, self.shards("images")):
            for sample in samples:
                if (key := (sample.meta.class_id, sample.meta.image_id)) in wanted:
                    found[key] = sample.meta
        if absent := wanted - found.keys():
            class_id, image_id = min(absent)
            raise EpisodeSetError(
                f"{self.place}: no image shard has {image_id} of class {class_id}, which an episode queries",
                remedy="prepare the set again with --overwrite",
            )
        return {index: found[e.class_id, e.query] for index, e in enumerate(track.episodes)}


def find_sets(root: Place) -> list[Place]:
    """Folders below ``root`` (or ``root`` itself) that hold a finished set, sorted.

    Elsewhere folders cannot be listed, so sets are asked for by the names that prepare gives them.
    """
    if (root / MANIFEST).is_file():
        return [root]
    if isinstance(root, Remote):
        builtin = [(benchmark.name, fold) for benchmark in BENCHMARKS for fold in range(len(benchmark.folds))]
        return _there(root, builtin) if root.transport.searchable else []
    return [*_local_sets(root, "*/*/*"), *_local_sets(root, "*/*"), *_local_sets(root, "*")]


def _local_sets(root: Path, where: str = "*/*/*") -> list[Path]:
    found = (file.parent for file in root.glob(f"{where}/{MANIFEST}"))
    return sorted(path for path in found if (path / MANIFEST).is_file() and not is_litter(path.relative_to(root)))


def _there(root: Remote, sets: list[tuple[str, int]]) -> list[Place]:
    """Which sets of a benchmark and fold there are, of any protocol."""
    asked: list[Place] = [
        set_path(root, benchmark=benchmark, protocol=protocol.name, fold=fold)
        for (benchmark, fold), protocol in product(sets, PROTOCOLS)
        if protocol.any_benchmark or benchmark in protocol.episodes
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        there = pool.map(lambda path: (path / MANIFEST).is_file(), asked)
        return [place for place, found in zip(asked, there, strict=True) if found]


def benchmark_below(root: Place, name: str) -> Benchmark:
    """The benchmark called ``name``: a built-in one, or one that a set below ``root`` defines.

    Raises:
        UsageError: there is none; the message names those there are.
        EpisodeSetError: sets define it differently, or there is no folder ``root``.
    """
    try:
        return find_benchmark(name)
    except UsageError as error:
        if isinstance(root, Path) and not root.is_dir() and output_flag(root):
            raise EpisodeSetError(
                f"there is no folder {root} to look for sets of '{name}' in",
                remedy="pass the folder that was given to prepare as --output",
            ) from error
        own = _own_sets(root, name)
        found = _sound(own.get(name, []))
        if not found:
            names = ", ".join(sorted(own))
            raise UsageError(
                error.problem, remedy=f"{error.remedy}{f', and {names} in {root}' if names else ''}"
            ) from error
        if other := [one for one in found if one.benchmark != found[0].benchmark]:
            raise EpisodeSetError(
                f"{found[0].place} and {other[0].place} define {name} differently",
                remedy="prepare all folds anew with --overwrite",
            ) from error
        return found[0].benchmark


def _own_sets(root: Place, name: str) -> dict[str, list[Place]]:
    """The sets below ``root`` that define their benchmark, by its name; elsewhere only those of ``name``."""
    if (root / MANIFEST).is_file():
        manifest = EpisodeSet.open(root).manifest
        return {manifest.benchmark: [root]} if manifest.definition is not None else {}
    if isinstance(root, Remote):
        return {name: there} if (there := _there(root, [(name, 0)])) else {}
    sets: dict[str, list[Place]] = {}
    for path in _local_sets(root):
        sets.setdefault(path.parent.parent.name, []).append(path)
    return {found: paths for found, paths in sets.items() if found not in {one.name for one in BENCHMARKS}}


def _sound(places: list[Place]) -> list[EpisodeSet]:
    """Those sets of a benchmark that can be opened: one of them says what it is, whatever befell another.

    Raises what is wrong with the first if all are damaged.
    """
    sound, damage = [], []
    for place in places:
        try:
            sound.append(EpisodeSet.open(place))
        except EpisodeSetError as error:
            damage.append(error)
    if damage and not sound:
        raise damage[0]
    return sound


def locate_set(root: Place, *, benchmark: Benchmark, protocol: str, fold: int) -> EpisodeSet:
    """Open the set of a benchmark, protocol and fold below ``root``, or ``root`` itself if it is that set.

    Raises:
        EpisodeSetError: it is not there; the message says what is, and how to build what was asked for.
    """
    if (root / MANIFEST).is_file():
        episode_set = EpisodeSet.open(root)
        manifest = episode_set.manifest
        if (manifest.benchmark, manifest.protocol.name, manifest.fold) == (benchmark.name, protocol, fold):
            return episode_set
        raise EpisodeSetError(
            f"{root} is {manifest.title}, not {benchmark.name} {protocol} fold {fold}",
            remedy="pass the folder that was given to prepare as --output, or ask for this set: "
            f"-b {episode_set.benchmark.alias} -p {manifest.protocol.name} -f {manifest.fold}",
        )
    path = set_path(root, benchmark=benchmark.name, protocol=protocol, fold=fold)
    if (path / MANIFEST).is_file():
        return EpisodeSet.open(path)
    if isinstance(root, Remote) and not root.transport.searchable:
        return EpisodeSet.open(path)  # which says why it cannot
    there = ", ".join(str(found).removeprefix(f"{root}/") for found in find_sets(root)) or "no set at all"
    if isinstance(root, Remote):
        raise EpisodeSetError(
            f"there is no episode set {path} (below {root} there is {there})",
            remedy=CHECK,
        )
    where = "" if protocol == "strict" else f" --protocol {protocol}"
    where += output_flag(root)
    others = {
        f: set_path(root, benchmark=benchmark.name, protocol=protocol, fold=f) for f in range(len(benchmark.folds))
    }
    folds = [f for f, other in others.items() if (other / MANIFEST).is_file()]
    instead = f"; or ask for what is there alone: {' '.join(f'--fold {f}' for f in folds)}" if folds else ""
    raise EpisodeSetError(
        f"there is no episode set {path} (below {root} there is {there})",
        remedy=f"build it with: fssbench prepare {benchmark.alias}{where}{instead}",
    )

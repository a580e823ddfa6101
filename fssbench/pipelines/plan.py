"""Deciding what to build: pools, tracks and what is already there, before a byte is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fssbench.benchmarks import Benchmark
from fssbench.episodes import Track, pool_digest
from fssbench.errors import EpisodeSetError, PoolError, SourceError
from fssbench.pipelines.episode_set import MANIFEST, EpisodeSet, set_path
from fssbench.pipelines.manifest import (
    BenchmarkRecord,
    ClassPool,
    EvaluationPlan,
    Manifest,
    MaskPolicy,
    ProtocolRecord,
    SourceRecord,
    TrackRecord,
)
from fssbench.pipelines.sources import Source
from fssbench.pipelines.sources.base import Advance, no_progress
from fssbench.pipelines.staging import recover
from fssbench.protocols import EvaluationProtocol

__all__ = ["FoldPlan", "Request", "draw_one", "draw_tracks", "eligible_pools", "plan_folds"]

OWN_EPISODES, OWN_PIXELS = 1_000, 1
"""What a protocol takes for a benchmark that it does not know."""

Pools = Mapping[int, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked of ``prepare``.

    Attributes:
        folds: 0-based folds.
        shots: numbers of supports; one track for each shot and seed.
        seeds: seeds of the tracks.
        episodes: episodes a track, or ``None`` for the protocol's own number.
        min_pixels: least mask pixels for an image to serve a class, or ``None`` for the protocol's.
        allow_missing_classes: leave out classes with too few images instead of refusing.
    """

    benchmark: Benchmark
    protocol: EvaluationProtocol
    folds: tuple[int, ...]
    shots: tuple[int, ...] = (1,)
    seeds: tuple[int, ...] = (0,)
    episodes: int | None = None
    min_pixels: int | None = None
    allow_missing_classes: bool = False

    @property
    def n_episodes(self) -> int:
        """Episodes a track."""
        return self.episodes or self.official_episodes

    @property
    def official_episodes(self) -> int:
        """Episodes a track by the protocol."""
        return self.protocol.episodes.get(self.benchmark.name, OWN_EPISODES)

    @property
    def official_pixels(self) -> int:
        """Least mask pixels by the protocol."""
        return self.protocol.min_pixels.get(self.benchmark.name, OWN_PIXELS)

    @property
    def n_pixels(self) -> int:
        """Least mask pixels for an image to serve a class."""
        return self.official_pixels if self.min_pixels is None else self.min_pixels

    @property
    def protocol_record(self) -> ProtocolRecord:
        """The protocol as a manifest states it."""
        return ProtocolRecord(name=self.protocol.name, version=self.protocol.version, min_pixels=self.n_pixels)

    @property
    def tracks(self) -> tuple[tuple[int, int], ...]:
        """All (shot, seed) asked for."""
        return tuple((shot, seed) for shot in sorted(set(self.shots)) for seed in sorted(set(self.seeds)))


@dataclass(frozen=True, kw_only=True)
class SetHeader:
    """What all tracks of a set share; two sets with one header may be extended into each other."""

    benchmark: str
    definition: BenchmarkRecord | None
    protocol: ProtocolRecord
    fold: int
    ignore_label: int | None
    source: SourceRecord
    mask_policy: MaskPolicy
    plan: EvaluationPlan

    @staticmethod
    def of(manifest: Manifest) -> SetHeader:
        """The header of a finished set."""
        return SetHeader(**{name: getattr(manifest, name) for name in SetHeader.__dataclass_fields__})


@dataclass(frozen=True, kw_only=True)
class FoldPlan:
    """One fold's set: what it will be, and which tracks it still needs.

    Attributes:
        path: the set's final folder.
        base: the finished set that is extended, or ``None`` for a new one.
        tracks: the tracks to add, with their manifest entries; none if the set is up to date.
        class_pools: the classes with the hashes of their eligible images; empty if the set is up to date.
    """

    path: Path
    header: SetHeader
    base: EpisodeSet | None
    tracks: tuple[tuple[Track, TrackRecord], ...]
    class_pools: tuple[ClassPool, ...]
    unofficial: tuple[str, ...]

    @property
    def images(self) -> set[tuple[int, str]]:
        """Class and id of every image the tracks to add use."""
        return {
            (episode.class_id, image_id)
            for track, _ in self.tracks
            for episode in track.episodes
            for image_id in (episode.query, *episode.supports)
        }


def eligible_pools(
    source: Source, request: Request, folds: Sequence[int], *, advance: Advance = no_progress
) -> dict[int, Pools]:
    """The eligible images of every class of ``folds``, by fold and class."""
    novel = {fold: request.benchmark.novel_classes(fold) for fold in folds}
    pools = source.pools(
        sorted({c for classes in novel.values() for c in classes}),
        min_pixels=request.n_pixels,
        advance=advance,
    )
    return {fold: {c: pools[c] for c in classes} for fold, classes in novel.items()}


def check_pools(pools: Mapping[int, Pools], request: Request, *, shots: Sequence[int], names: Sequence[str]) -> None:
    """Refuse classes with too few images for the largest of ``shots``, all folds' in one message."""
    need = max(shots) + 1
    short = {
        fold: [f"{names[c]} ({len(ids)})" for c, ids in classes.items() if len(ids) < need]
        for fold, classes in pools.items()
    }
    total = sum(map(len, short.values()))
    if request.allow_missing_classes:
        if empty := [fold for fold, classes in pools.items() if len(short[fold]) == len(classes)]:
            raise PoolError(
                f"fold {empty[0]} has no class with the {need} images that {need - 1}-shot episodes take",
                remedy="add images or ask for fewer shots",
            )
    elif total:
        listed = "; ".join(f"fold {fold}: {_some(found)}" for fold, found in short.items() if found)
        raise PoolError(
            f"{total} {'class has' if total == 1 else 'classes have'} fewer than the {need} images that "
            f"{need - 1}-shot episodes take, counting images with at least {request.n_pixels:,} mask pixels "
            f"— {listed}",
            remedy="add images, ask for fewer shots, or make an unofficial set with a smaller --min-pixels "
            "or with --allow-missing-classes",
        )


def _some(names: Sequence[str], most: int = 40) -> str:
    """Names in one line, the rest of a long list as a number."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def draw_tracks(
    pools: Pools, request: Request, fold: int, wanted: Sequence[tuple[int, int]]
) -> tuple[tuple[Track, TrackRecord], ...]:
    """Draw the wanted (shot, seed) tracks of a fold, leaving out classes with too few images."""
    benchmark, protocol = request.benchmark, request.protocol
    official = request.official_episodes
    drawn = []
    for shot, seed in wanted:
        present = {c: ids for c, ids in pools.items() if len(ids) > shot}
        absent = tuple(sorted(pools.keys() - present.keys()))
        track = protocol.sampler(
            present,
            benchmark=benchmark.name,
            fold=fold,
            shot=shot,
            seed=seed,
            episodes=request.n_episodes,
        )
        reasons = []
        if request.n_episodes != official:
            reasons.append(f"{request.n_episodes:,} episodes, the protocol's are {official:,}")
        if absent:
            reasons.append(f"{len(absent)} of {len(pools)} classes are absent for want of images")
        record = TrackRecord(
            shot=shot,
            seed=seed,
            episodes=request.n_episodes,
            digest=track.digest,
            absent_classes=absent,
            unofficial=tuple(reasons),
        )
        drawn.append((track, record))
    return tuple(drawn)


def draw_one(source: Source, request: Request, *, advance: Advance = no_progress) -> tuple[Track, TrackRecord]:
    """Draw the one track of a request for one fold, shot and seed, from annotations alone."""
    (fold,), (wanted,) = request.folds, request.tracks
    pools = eligible_pools(source, request, [fold], advance=advance)
    check_pools(pools, request, shots=[wanted[0]], names=source.class_names())
    return draw_tracks(pools[fold], request, fold, [wanted])[0]


def plan_folds(
    source: Source, request: Request, output: Path, *, overwrite: bool = False, advance: Advance = no_progress
) -> list[FoldPlan]:
    """Plan every fold asked for; nothing is written, and whatever can be refused is refused here.

    Raises:
        PoolError: classes with too few images.
        SourceError: image files that are not there.
        EpisodeSetError: a set of another origin, or a track of another length, is in the way.
    """
    origin = source.record()  # hashes the annotations: once, not for every fold
    headers = {fold: _header(source, origin, request, fold) for fold in request.folds}
    bases = {fold: _base(output, header, overwrite=overwrite) for fold, header in headers.items()}
    wanted = {fold: _wanted(base, request) for fold, base in bases.items()}
    open_folds = [fold for fold in request.folds if wanted[fold]]
    pools = eligible_pools(source, request, open_folds, advance=advance) if open_folds else {}
    if open_folds:
        shots = [shot for fold in open_folds for shot, _ in wanted[fold]]
        check_pools(pools, request, shots=shots, names=source.class_names())
    plans = [_plan(source, request, output, headers[f], bases[f], wanted[f], pools.get(f, {})) for f in request.folds]
    _require_files(source, plans)
    return plans


def _header(source: Source, origin: SourceRecord, request: Request, fold: int) -> SetHeader:
    request.benchmark.novel_classes(fold)  # refuses a fold that does not exist
    return SetHeader(
        benchmark=request.benchmark.name,
        definition=BenchmarkRecord.of(request.benchmark),
        protocol=request.protocol_record,
        fold=fold,
        ignore_label=source.ignore_label,
        source=origin,
        mask_policy=source.mask_policy,
        plan=EvaluationPlan(),
    )


def _base(output: Path, header: SetHeader, *, overwrite: bool) -> EpisodeSet | None:
    """The finished set to extend, if there is one of the same origin."""
    path = set_path(output, benchmark=header.benchmark, protocol=header.protocol.name, fold=header.fold)
    recover(path)
    if overwrite or not (path / MANIFEST).exists():
        return None
    base = EpisodeSet.open(path)
    there = SetHeader.of(base.manifest)
    changed = [name for name in SetHeader.__dataclass_fields__ if getattr(there, name) != getattr(header, name)]
    if changed:
        name = changed[0]
        raise EpisodeSetError(
            f"{path} was built with another {name} ({_brief(getattr(there, name))}; asked for is "
            f"{_brief(getattr(header, name))})",
            remedy="choose another --output, or pass --overwrite to replace it",
        )
    return base


def _brief(value: object) -> str:
    if isinstance(value, SourceRecord):
        return f"{value.split}, {value.files[0].name} {value.files[0].sha256[:12]}…" if value.files else value.split
    return str(value)


def _wanted(base: EpisodeSet | None, request: Request) -> list[tuple[int, int]]:
    """The tracks that ``base`` does not have yet."""
    there = {(t.shot, t.seed): t for t in base.manifest.tracks} if base else {}
    wanted = []
    for shot, seed in request.tracks:
        found = there.get((shot, seed))
        # A track without some classes satisfies only who allowed that; anyone else gets the refusal.
        if found is None or (found.absent_classes and not request.allow_missing_classes):
            wanted.append((shot, seed))
        elif base and found.episodes != request.n_episodes:
            raise EpisodeSetError(
                f"{base.path} has {found.episodes:,} {shot}-shot episodes of seed {seed}, asked for are "
                f"{request.n_episodes:,}",
                remedy=f"pass --episodes {found.episodes}, or --overwrite to build the set anew",
            )
    return wanted


def _plan(
    source: Source,
    request: Request,
    output: Path,
    header: SetHeader,
    base: EpisodeSet | None,
    wanted: Sequence[tuple[int, int]],
    pools: Pools,
) -> FoldPlan:
    names = source.class_names() if wanted else ()
    default = request.official_pixels
    reasons = list(source.unofficial()) if wanted else []
    if wanted and request.n_pixels != default:
        reasons.append(f"images need {request.n_pixels:,} mask pixels, the protocol's need {default:,}")
    return FoldPlan(
        path=set_path(output, benchmark=header.benchmark, protocol=header.protocol.name, fold=header.fold),
        header=header,
        base=base,
        tracks=draw_tracks(pools, request, header.fold, wanted),
        class_pools=tuple(
            ClassPool(id=c, name=names[c], images=len(ids), sha256=pool_digest(ids)) for c, ids in pools.items()
        ),
        unofficial=tuple(reasons),
    )


def _require_files(source: Source, plans: Sequence[FoldPlan]) -> None:
    used = {image_id for plan in plans for _, image_id in plan.images}
    if missing := source.missing(sorted(used)):
        shown = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
        raise SourceError(
            f"{len(missing):,} of the {len(used):,} image files needed are missing: {shown}",
            remedy="unpack the images beside the annotations, under the names they are published with",
        )

"""Deciding what to build: lists, tracks and what is already there, before a byte is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from fssbench.base.errors import EpisodeSetError, SourceError
from fssbench.base.listing import holds_something
from fssbench.base.progress import Advance, no_progress
from fssbench.base.records import Record
from fssbench.episodes.episodes import Track, pool_digest
from fssbench.episodes.lists import FoldLists
from fssbench.pipelines.episode_sets.drawing import Request, check_lists, draw_one, draw_tracks, fold_lists, some
from fssbench.pipelines.episode_sets.episode_set import MANIFEST, EpisodeSet, set_path
from fssbench.pipelines.episode_sets.staging import recover
from fssbench.pipelines.sources import Source
from fssbench.schemas.manifest import (
    BenchmarkRecord,
    ClassPool,
    EvaluationPlan,
    FileRecord,
    Manifest,
    MaskPolicy,
    ProtocolRecord,
    SourceRecord,
    TrackRecord,
)

__all__ = ["FoldPlan", "Request", "draw_one", "plan_folds"]


@dataclass(frozen=True, kw_only=True)
class SetHeader:
    """What all tracks of a set share; two sets with one header may be extended into each other."""

    benchmark: str
    definition: BenchmarkRecord | None
    protocol: ProtocolRecord
    fold: int
    ignore_label: int | None
    source: SourceRecord
    splits: tuple[FileRecord, ...]
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
        overwrite: whether a new one replaces a set that is there.
        tracks: the tracks to add, with their manifest entries; none if the set is up to date.
        class_pools: the classes with the hashes of their eligible images; empty if the set is up to date.
    """

    path: Path
    header: SetHeader
    base: EpisodeSet | None
    overwrite: bool
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


def plan_folds(
    source: Source, request: Request, output: Path, *, overwrite: bool = False, advance: Advance = no_progress
) -> list[FoldPlan]:
    """Plan every fold asked for; nothing is written, and whatever can be refused is refused here.

    Before that, what a killed run left is put in order (see `recover`).

    Raises:
        PoolError: classes with too few images.
        SourceError: image files that are not there, split files that are malformed, or images listed for a
            class that the source does not show in them.
        EpisodeSetError: a set of another origin, or a track of another length, is in the way.
        StorageError: another run is building such a set.
    """
    origin = source.record()  # hashes the annotations: once, not for every fold
    headers = {fold: _header(source, origin, request, fold) for fold in request.folds}
    bases = {fold: _base(output, header, overwrite=overwrite) for fold, header in headers.items()}
    wanted = {fold: _wanted(base, request) for fold, base in bases.items()}
    open_folds = [fold for fold in request.folds if wanted[fold]]
    lists = fold_lists(source, request, open_folds, advance=advance) if open_folds else {}
    if open_folds:
        shots = [shot for fold in open_folds for shot, _ in wanted[fold]]
        check_lists(lists, request, shots=shots, names=source.class_names())
    plans = [
        _plan(source, request, output, headers[f], bases[f], wanted[f], lists.get(f), overwrite=overwrite)
        for f in request.folds
    ]
    if request.splits is not None:
        _require_masks(source, plans, advance=advance)
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
        splits=request.files(fold),
        mask_policy=source.mask_policy,
        plan=EvaluationPlan(),
    )


def _base(output: Path, header: SetHeader, *, overwrite: bool) -> EpisodeSet | None:
    """The finished set to extend, if there is one of the same origin."""
    path = set_path(output, benchmark=header.benchmark, protocol=header.protocol.name, fold=header.fold)
    recover(path)
    if overwrite:
        return None
    if not (path / MANIFEST).exists():
        if path.is_file() or (path.is_dir() and holds_something(path)):
            raise EpisodeSetError(
                f"{path} is in the way: it is not an episode set, it has no {MANIFEST}",
                remedy="move it away, choose another --output, or pass --overwrite to replace it",
            )
        return None
    base = EpisodeSet.open(path)
    there = SetHeader.of(base.manifest)
    changed = [name for name in SetHeader.__dataclass_fields__ if getattr(there, name) != getattr(header, name)]
    if changed:
        name = changed[0]
        was, asked = _apart(getattr(there, name), getattr(header, name))
        raise EpisodeSetError(
            f"{path} was built with another {name.replace('_', ' ')} ({was}, not {asked})",
            remedy="choose another --output, or pass --overwrite to replace it",
        )
    return base


def _apart(was: object, asked: object) -> tuple[str, str]:
    """Two values in brief; of two records of a kind what they say differently."""
    if not isinstance(was, Record) or type(was) is not type(asked) or isinstance(was, SourceRecord):
        return _brief(was), _brief(asked)
    names = [name for name in type(was).model_fields if getattr(was, name) != getattr(asked, name)]

    def told(value: object) -> str:
        return ", ".join(f"{name.replace('_', ' ')} {getattr(value, name)}" for name in names)

    return told(was), told(asked)


def _brief(value: object) -> str:
    if isinstance(value, SourceRecord):
        return f"{value.split}, {value.files[0].name} {value.files[0].sha256[:12]}…" if value.files else value.split
    if isinstance(value, tuple):
        return ", ".join(f"{file.name} {file.sha256[:12]}…" for file in value) or "none"
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
                f"{base.path} has {found.episodes:,} {shot}-shot episodes of seed {seed}, not the "
                f"{request.n_episodes:,} asked for",
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
    lists: FoldLists | None,
    *,
    overwrite: bool,
) -> FoldPlan:
    path = set_path(output, benchmark=header.benchmark, protocol=header.protocol.name, fold=header.fold)
    if lists is None:
        return FoldPlan(path=path, header=header, base=base, overwrite=False, tracks=(), class_pools=(), unofficial=())
    names = source.class_names()
    return FoldPlan(
        path=path,
        header=header,
        base=base,
        overwrite=overwrite,
        tracks=draw_tracks(lists, request, header.fold, wanted),
        class_pools=tuple(
            ClassPool(id=c, name=names[c], images=len(ids), sha256=pool_digest(ids)) for c, ids in lists.pools.items()
        ),
        unofficial=(*source.unofficial(), *request.unofficial(header.fold, lists, source)),
    )


def _require_masks(source: Source, plans: Sequence[FoldPlan], *, advance: Advance) -> None:
    """Refuse episodes of split files that ask for a class in an image where the source has no pixel of it."""
    used = set(chain.from_iterable(plan.images for plan in plans))
    pools = source.pools(sorted({c for c, _ in used}), min_pixels=1, advance=advance)
    there = {c: frozenset(ids) for c, ids in pools.items()}
    if absent := sorted((image_id, c) for c, image_id in used if image_id not in there[c]):
        names = source.class_names()
        shown = some([f"{image_id} ({names[c]})" for image_id, c in absent], most=5)
        raise SourceError(
            f"the split files ask for {len(absent):,} of {len(used):,} images with a class that the source has no "
            f"mask of: {shown}",
            remedy="point --source at the data the split files were made of, whole and as published",
        )


def _require_files(source: Source, plans: Sequence[FoldPlan]) -> None:
    used = {image_id for plan in plans for _, image_id in plan.images}
    if missing := source.missing(sorted(used)):
        shown = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
        raise SourceError(
            f"{len(missing):,} of the {len(used):,} image files needed are missing: {shown}",
            remedy="unpack the images beside the annotations, under the names they are published with",
        )

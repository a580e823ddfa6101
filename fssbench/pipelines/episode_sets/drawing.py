"""What is asked for, and its episodes: lists of images, from split files or masks, and the tracks drawn from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fssbench.base.errors import PoolError, SourceError, UsageError
from fssbench.base.progress import Advance, no_progress
from fssbench.episodes.benchmarks import Benchmark
from fssbench.episodes.episodes import Track
from fssbench.episodes.lists import FoldLists, Pools
from fssbench.episodes.protocols import EvaluationProtocol, MaskRule, find_protocol
from fssbench.pipelines.sources import Source
from fssbench.pipelines.sources.hdmnet_splits import are_published
from fssbench.pipelines.sources.image_order import ImageOrder
from fssbench.pipelines.sources.splits import SplitFiles
from fssbench.schemas.manifest import FileRecord, MaskPolicy, ProtocolRecord, TrackRecord

__all__ = ["Request", "check_lists", "draw_alone", "draw_one", "draw_tracks", "fold_lists", "some"]

RULES: dict[MaskRule, str] = {"union": "unions of instances", "label-map": "label maps"}


MOST = {"seeds": 2**63 - 1, "shots": 2**31 - 1, "episodes": 10_000_000}
"""Numbers that the columns of a set's files hold, and episodes that a machine's memory does."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked of ``prepare``.

    Attributes:
        folds: 0-based folds.
        shots: numbers of supports; one track for each shot and seed.
        seeds: seeds of the tracks, or ``None`` for the protocol's own.
        episodes: episodes a track, or ``None`` for the protocol's own number.
        min_pixels: least mask pixels for an image to serve a class, or ``None`` for the protocol's.
        allow_missing_classes: leave out classes with too few images instead of refusing.
        splits: split files to draw from; without them the lists follow from the masks.
        order: the order of the lists that follow from the masks; without it the protocol's, as by ascending id.

    Raises:
        UsageError: the protocol is not defined for the benchmark, or the request contradicts itself.
    """

    benchmark: Benchmark
    protocol: EvaluationProtocol
    folds: tuple[int, ...]
    shots: tuple[int, ...] = (1,)
    seeds: tuple[int, ...] | None = None
    episodes: int | None = None
    min_pixels: int | None = None
    allow_missing_classes: bool = False
    splits: SplitFiles | None = None
    order: ImageOrder | None = None

    def __post_init__(self) -> None:
        self.protocol.require(self.benchmark)
        if self.splits is not None and self.min_pixels is not None:
            raise UsageError(
                "split files decide which images serve a class, so --min-pixels means nothing",
                remedy="leave one of them out",
            )
        asked = {"seeds": self.seeds or (), "shots": self.shots, "episodes": (self.n_episodes,)}
        for what, values in asked.items():
            if (most := max(values, default=0)) > MOST[what]:
                raise UsageError(f"a set takes {what} up to {MOST[what]:,}, got {most:,}")

    @property
    def n_episodes(self) -> int:
        """Episodes a track."""
        return self.episodes or self.protocol.episodes_of(self.benchmark)

    @property
    def n_pixels(self) -> int:
        """Least mask pixels for an image to serve a class."""
        return self.protocol.pixels_of(self.benchmark) if self.min_pixels is None else self.min_pixels

    @property
    def protocol_record(self) -> ProtocolRecord:
        """The protocol as a manifest states it."""
        return ProtocolRecord(
            name=self.protocol.name,
            version=self.protocol.version,
            min_pixels=self.n_pixels if self.splits is None else 1,  # split files decide, whatever the masks have
            lists="files" if self.splits is not None else "derived" if self.protocol.listed else "pools",
            loader_workers=self.protocol.loader_workers,
        )

    def files(self, fold: int) -> tuple[FileRecord, ...]:
        """The list files that the episodes of a fold depend on."""
        if self.splits is not None:
            return self.splits.records(fold)
        return () if self.order is None else (self.order.record,)

    @property
    def tracks(self) -> tuple[tuple[int, int], ...]:
        """All (shot, seed) asked for."""
        seeds = self.protocol.seeds if self.seeds is None else self.seeds
        return tuple((shot, seed) for shot in sorted(set(self.shots)) for seed in sorted(set(seeds)))

    def unofficial(self, fold: int, lists: FoldLists, source: Source | None) -> tuple[str, ...]:
        """What in the request itself makes a set of it unofficial, its lists being ``lists``."""
        official = find_protocol(self.protocol.name)
        reasons = [*self._unpublished(fold, lists, has_masks=source is not None)]
        if source is not None:
            reasons += self._masks(source.mask_policy)
        if self.n_pixels != (least := official.pixels_of(self.benchmark)):
            reasons.append(f"images need {self.n_pixels:,} mask pixels, the protocol's need {least:,}")
        if self.protocol.loader_workers != official.loader_workers:
            reasons.append(
                f"{self.protocol.loader_workers} loader workers, the protocol's are {official.loader_workers}"
            )
        return tuple(reasons)

    def _unpublished(self, fold: int, lists: FoldLists, *, has_masks: bool) -> tuple[str, ...]:
        """Why the lists are not those of the publication, or not known to be."""
        if self.splits is not None:
            blind = self.protocol.small_queries and not has_masks
            reason = "without masks a query is asked about the classes that list it, not about all that it shows"
            return (*self.splits.unofficial(fold), *((reason,) if blind else ()))
        if not self.protocol.listed or (self.protocol.ruled and are_published(lists, self.benchmark, fold)):
            return ()
        reason = "the lists are derived from the masks, not those of the publication"
        if not self.protocol.ruled:
            return (reason,)
        if self.order is None:
            return (f"{reason}: in ascending order of ids, for want of a file that says another",)
        return (reason, *self.order.unofficial())

    def _masks(self, policy: MaskPolicy) -> tuple[str, ...]:
        """Whether masks are made of annotations by another rule than the protocol's."""
        rule: MaskRule = "label-map" if policy.instances == "painted over" else "union"
        wanted = self.protocol.masks_of(self.benchmark)
        if policy.origin == "ready-made" or rule == wanted:  # of ready-made masks the source speaks itself
            return ()
        return (f"masks are {RULES[rule]}, the protocol's are {RULES[wanted]}",)


def fold_lists(
    source: Source | None, request: Request, folds: Sequence[int], *, advance: Advance = no_progress
) -> dict[int, FoldLists]:
    """The lists of ``folds``: those of the request's split files, or else what the source's masks say.

    Raises `SourceError` if split files do not go together with the source's masks.
    """
    novel = {fold: request.benchmark.novel_classes(fold) for fold in folds}
    classes = sorted({c for classes in novel.values() for c in classes})
    if request.splits is not None:
        files = {fold: request.splits.lists(fold) for fold in folds}
        if source is None or not request.protocol.small_queries:
            return files
        present = source.pools(classes, min_pixels=1, advance=advance)
        return {fold: _showing(lists, {c: present[c] for c in novel[fold]}) for fold, lists in files.items()}
    assert source is not None
    pools = source.pools(classes, min_pixels=request.n_pixels, advance=advance)
    present = source.pools(classes, min_pixels=1) if request.protocol.small_queries else pools
    lists = {
        fold: request.protocol.derive(
            {c: pools[c] for c in classes},
            present={c: present[c] for c in classes},
            benchmark=request.benchmark.name,
        )
        for fold, classes in novel.items()
    }
    if request.order is None:
        return lists
    return {fold: derived.in_order(request.order.images) for fold, derived in lists.items()}


def _showing(lists: FoldLists, present: Pools) -> FoldLists:
    """Lists of files whose queries are asked about every class that they show; refused if one shows none of its own."""
    there = {c: frozenset(ids) for c, ids in present.items()}
    if absent := sorted((image, c) for c, ids in lists.pools.items() for image in ids if image not in there[c]):
        image, class_id = absent[0]
        raise SourceError(
            f"the split files list {len(absent):,} images for a class that the source has no mask of there, as "
            f"{image} for class {class_id}",
            remedy="point --source at the data the split files were made of, whole and as published",
        )
    return lists.showing(present)


def check_lists(
    lists: Mapping[int, FoldLists], request: Request, *, shots: Sequence[int], names: Sequence[str]
) -> None:
    """Refuse classes with too few images for the largest of ``shots``, all folds' in one message."""
    shot = max(shots)
    need = request.protocol.images_needed(shot)
    few = {fold: [c for c, ids in of_fold.pools.items() if len(ids) < need] for fold, of_fold in lists.items()}
    total = sum(map(len, few.values()))
    if request.allow_missing_classes:
        if empty := [fold for fold, of_fold in lists.items() if len(few[fold]) == len(of_fold.pools)]:
            raise PoolError(
                f"fold {empty[0]} has no class with the {need} images that {shot}-shot episodes take",
                remedy="add images or ask for fewer shots",
            )
    elif total:
        most = max(3, 40 // len(few))
        listed = "; ".join(
            f"fold {fold}: {_with_sizes(lists[fold].pools, classes, names, most)}"
            for fold, classes in few.items()
            if classes
        )
        counted, instead = "in the split files", ""
        if request.splits is None:
            pixels = f"{request.n_pixels:,} mask pixel{'' if request.n_pixels == 1 else 's'}"
            counted, instead = f"with at least {pixels}", "with a smaller --min-pixels or "
        raise PoolError(
            f"{total} {'class has' if total == 1 else 'classes have'} fewer than the {need} images that "
            f"{shot}-shot episodes take, counting images {counted} — {listed}",
            remedy=f"add images, ask for fewer shots, or make an unofficial set {instead}with --allow-missing-classes",
        )


def _with_sizes(pools: Pools, classes: Sequence[int], names: Sequence[str], most: int) -> str:
    """Classes with the sizes of their pools; those that the data does not name as a number."""
    named = [c for c in classes if names[c] != f"class {c}"]
    shown = [some([f"{names[c]} ({len(pools[c])})" for c in named], most)] if named else []
    nameless = len(classes) - len(named)
    return ", ".join([*shown, *([f"{nameless} that the data does not name"] if nameless else [])])


def some(names: Sequence[str], most: int = 40) -> str:
    """Names in one line, the rest of a long list as a number."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def draw_tracks(
    lists: FoldLists, request: Request, fold: int, wanted: Sequence[tuple[int, int]]
) -> tuple[tuple[Track, TrackRecord], ...]:
    """Draw the wanted (shot, seed) tracks of a fold, leaving out classes with too few images."""
    benchmark, protocol = request.benchmark, request.protocol
    official = protocol.episodes_of(benchmark)
    drawn = []
    for shot, seed in wanted:
        need = protocol.images_needed(shot)
        absent = tuple(sorted(c for c, ids in lists.pools.items() if len(ids) < need))
        track = protocol.draw(
            lists.without(absent) if absent else lists,
            benchmark=benchmark.name,
            fold=fold,
            shot=shot,
            seed=seed,
            episodes=request.n_episodes,
        )
        reasons = []
        if request.n_episodes != official:
            reasons.append(f"{request.n_episodes:,} episodes, the protocol's are {official:,}")
        if not protocol.any_seed and seed not in protocol.seeds:
            reasons.append(f"seed {seed}, the protocol's is {' or '.join(map(str, protocol.seeds))}")
        if absent:
            reasons.append(f"{len(absent)} of {len(lists.pools)} classes are absent for want of images")
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


def draw_one(source: Source | None, request: Request, *, advance: Advance = no_progress) -> tuple[Track, TrackRecord]:
    """Draw the one track of a request for one fold, shot and seed, from lists and annotations alone.

    ``source`` may be ``None`` where the request has split files, which need no raw data.
    """
    track, record, _ = draw_alone(source, request, advance=advance)
    return track, record


def draw_alone(
    source: Source | None, request: Request, *, advance: Advance = no_progress
) -> tuple[Track, TrackRecord, tuple[str, ...]]:
    """As `draw_one`, with what in the request makes the track unofficial."""
    (fold,), (wanted,) = request.folds, request.tracks
    lists = fold_lists(source, request, [fold], advance=advance)
    names = _class_names(source, request.benchmark)
    check_lists(lists, request, shots=[wanted[0]], names=names)
    track, record = draw_tracks(lists[fold], request, fold, [wanted])[0]
    return track, record, request.unofficial(fold, lists[fold], source)


def _class_names(source: Source | None, benchmark: Benchmark) -> Sequence[str]:
    """A name for every class index, also without raw data."""
    if source is not None:
        return source.class_names()
    return benchmark.class_names or tuple(f"class {index}" for index in range(benchmark.n_classes))

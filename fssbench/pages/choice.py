"""Which episodes a figure shows: by index, class or size, and the same questions in tracks of several shots."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from fssbench.base.errors import UsageError
from fssbench.episodes.episodes import Track
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.episode_sets.loaded_track import LoadedTrack
from fssbench.pipelines.formats import masks
from fssbench.schemas.manifest import TrackRecord
from fssbench.schemas.result import read_result
from fssbench.scoring.groups import LARGE

__all__ = ["MOST", "Chosen", "choose", "choose_by_index", "tracks_of"]

SIZES = ("small", "large")
"""Of a query's object, as results tell them apart: see `fssbench.scoring.groups`."""

MOST = 200
"""Episodes on one picture: with five supports each it is 60 megapixels already."""

Chosen = dict[str, list[int]]
"""By the label of each track the indices of its chosen episodes, which ask the same in the same order."""


def choose(tracks: Sequence[LoadedTrack], *, class_name: str | None = None, size: str | None = None, n: int) -> Chosen:
    """The first ``n`` episodes of a class, by name or index, and of a size of the query's object, that all tracks ask.

    Raises `UsageError` if there is none.
    """
    first = tracks[0]
    if size not in (None, *SIZES):
        raise UsageError(f"a size must be {' or '.join(SIZES)}, got '{size}'", remedy=f"large is from {LARGE:.0%} on")
    classes = None if class_name is None else _classes(first, class_name)

    def fits(index: int) -> bool:
        if classes is not None and first.track.episodes[index].class_id not in classes:
            return False
        if size is None:
            return True
        meta = first.query_meta(index)
        return (masks.area(meta.mask) >= LARGE * meta.height * meta.width) == (size == "large")

    same = _same(tracks)
    found = list(islice((one for i, one in enumerate(same) if one and fits(i)), n))
    if not found:
        small = f"; small is below {LARGE:.0%} of the query image" if size else ""
        raise UsageError(
            f"{_names(tracks)} asks no such episode{small}", remedy="leave out --size or --class, or name other --shot"
        )
    return _by_track(tracks, found)


def tracks_of(
    episode_set: EpisodeSet, *, shots: Sequence[int] = (), seed: int | None = None, results: Sequence[Path] = ()
) -> list[LoadedTrack]:
    """The tracks of results and of numbers of supports, by ascending shot; the set's first if nothing is named.

    Args:
        seed: of those that are named by their shots; ``None`` for that of the results, or the set's first.
        results: a track is cut to the episodes that all of its results have.

    Raises:
        EpisodeSetError: the set has no such track.
        ResultError: a result is damaged.
    """
    known = [read_result(path).episodes for path in results]
    cut: dict[tuple[int, int], int | None] = {}
    for one in known:
        key = (one.shot, one.seed)
        cut[key] = min(one.n_episodes, cut.get(key) or one.n_episodes)
    seed = known[0].seed if known and seed is None else seed
    wanted: Sequence[int | None] = shots or ([] if known else [None])
    for shot in wanted:
        record = _record(episode_set, shot, seed)
        cut.setdefault((record.shot, record.seed), None)
    return [LoadedTrack(episode_set, shot=shot, seed=one, n=n) for (shot, one), n in sorted(cut.items())]


def _record(episode_set: EpisodeSet, shot: int | None, seed: int | None) -> TrackRecord:
    """The first track with this shot and seed, where they were given."""
    for track in episode_set.manifest.tracks:
        if shot in (None, track.shot) and seed in (None, track.seed):
            return track
    first = episode_set.manifest.tracks[0]
    return episode_set.record(shot=shot or first.shot, seed=first.seed if seed is None else seed)


def choose_by_index(tracks: Sequence[LoadedTrack], indices: Sequence[int]) -> Chosen:
    """Episodes of the first track by their index, and those of the others that ask the same.

    Raises `UsageError` if a track has no such episode.
    """
    first = tracks[0].track
    if len(indices) > MOST:
        raise UsageError(f"--index names {len(indices):,} episodes, a picture has room for {MOST}")
    if beyond := [i for i in indices if i >= len(first.episodes)]:
        raise UsageError(
            f"{first.name} has no episode {beyond[0]:,}", remedy=f"indices are 0 to {len(first.episodes) - 1:,}"
        )
    same = list(_same(tracks))
    found = [one for i in sorted(indices) if (one := same[i])]
    if len(found) < len(indices):
        missing = next(i for i in sorted(indices) if not same[i])
        raise UsageError(
            f"no episode of {_names(tracks[1:])} asks for the query of episode {missing:,} of {first.name}",
            remedy="choose other episodes, or let --class or --episodes choose those that all tracks ask",
        )
    return _by_track(tracks, found)


def _classes(track: LoadedTrack, class_name: str) -> list[int]:
    """The indices of the classes called so, of those that the track asks for."""
    there = sorted({episode.class_id for episode in track.track.episodes})
    if wanted := [c for c in there if class_name in (track.classes[c], str(c))]:
        return wanted
    listed = ", ".join(track.classes[c] for c in there)
    raise UsageError(f"{track.track.name} has no episode of class '{class_name}'; it has {listed}")


def _same(tracks: Sequence[LoadedTrack]) -> Iterator[tuple[int, ...] | None]:
    """For each episode of the first track the indices, track by track, of those with its query; else ``None``."""
    first, *others = [one.track for one in tracks]
    by_query = [_by_query(track) for track in others]
    for index, episode in enumerate(first.episodes):
        found = [index]
        for track, places in zip(others, by_query, strict=True):
            there = places.get((episode.class_id, episode.query), [])
            # Of several, the one that shows the same supports and more.
            found += sorted(there, key=lambda i: not _begin_alike(episode.supports, track.episodes[i].supports))[:1]
        yield tuple(found) if len(found) == len(tracks) else None


def _by_query(track: Track) -> dict[tuple[int, str], list[int]]:
    found: dict[tuple[int, str], list[int]] = defaultdict(list)
    for index, episode in enumerate(track.episodes):
        found[episode.class_id, episode.query].append(index)
    return dict(found)


def _begin_alike(one: Sequence[str], other: Sequence[str]) -> bool:
    return all(a == b for a, b in zip(one, other, strict=False))


def _by_track(tracks: Sequence[LoadedTrack], found: Sequence[tuple[int, ...]]) -> Chosen:
    return {track.track.name: [one[n] for one in found] for n, track in enumerate(tracks)}


def _names(tracks: Sequence[LoadedTrack]) -> str:
    return " and ".join(track.track.name for track in tracks)

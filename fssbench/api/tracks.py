"""Which tracks are asked: every set is opened and every track looked up before a model is built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from fssbench.api.places import benchmark_and_root
from fssbench.base.errors import UsageError
from fssbench.episodes.protocols import find_protocol
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet, locate_set
from fssbench.pipelines.episode_sets.loaded_track import LoadedTrack
from fssbench.pipelines.transport import Place

__all__ = ["AskedTrack", "asked_tracks"]


@dataclass(frozen=True, kw_only=True)
class AskedTrack:
    """A track of a set, and how many of its episodes are asked.

    Attributes:
        root: where the set was looked up.
        episodes: the first so many, or ``None`` for all.
    """

    episode_set: EpisodeSet
    root: Place
    shot: int
    seed: int
    episodes: int | None

    @property
    def fold(self) -> int:
        """Whose novel classes are asked for."""
        return self.episode_set.manifest.fold


def asked_tracks(
    on: str | LoadedTrack | Sequence[LoadedTrack],
    *,
    data: Place | str | Path | None = None,
    protocol: str = "strict",
    folds: Sequence[int] | None = None,
    shots: Sequence[int] = (1,),
    seeds: Sequence[int] | None = None,
    episodes: int | None = None,
    limit: int | None = None,
) -> tuple[AskedTrack, ...]:
    """All tracks that are asked.

    Args:
        on: a benchmark, whose sets are looked up in ``data``; or tracks that are open, of which only ``episodes`` and
            ``limit`` say more.
        episodes: the first so many of each, which must have as many.
        limit: at most so many of each.

    Raises:
        UsageError: there is no such benchmark, protocol or fold, or a track has fewer episodes.
        EpisodeSetError: a set is missing or damaged, or has no such track.
    """
    if not isinstance(on, str):
        tracks = [on] if isinstance(on, LoadedTrack) else on
        found = [(one.episode_set, one.episode_set.place, one.shot, one.seed, len(one)) for one in tracks]
    else:
        benchmark, root = benchmark_and_root(on, data)
        rules = find_protocol(protocol)
        rules.require(benchmark)
        chosen = range(len(benchmark.folds)) if folds is None else folds
        for fold in chosen:
            benchmark.novel_classes(fold)  # refuses a fold that does not exist
        sets = [locate_set(root, benchmark=benchmark, protocol=protocol, fold=fold) for fold in chosen]
        found = [
            (one, root, shot, seed, one.record(shot=shot, seed=seed).episodes)
            for one, shot, seed in product(sets, shots, seeds or rules.seeds)
        ]
    return tuple(
        AskedTrack(
            episode_set=one,
            root=place,
            shot=shot,
            seed=seed,
            episodes=_episodes(one, shot, seed, there=there, episodes=episodes, limit=limit),
        )
        for one, place, shot, seed, there in found
    )


def _episodes(
    episode_set: EpisodeSet, shot: int, seed: int, *, there: int, episodes: int | None, limit: int | None
) -> int | None:
    """How many episodes of a track to ask; ``None`` for all of the set's."""
    if episodes is not None and episodes > there:
        raise UsageError(
            f"{episode_set.place} has {there:,} {shot}-shot episodes of seed {seed}, not the {episodes:,} asked for",
            remedy=f"pass --episodes {there} or less, or prepare the set with --episodes {episodes} --overwrite",
        )
    wanted = min(episodes or there, limit or there)
    return None if wanted == episode_set.record(shot=shot, seed=seed).episodes else wanted

"""Opening a track of episodes."""

from __future__ import annotations

from pathlib import Path

from fssbench.api.places import benchmark_and_root
from fssbench.episodes.protocols import find_protocol
from fssbench.pipelines.episode_sets.episode_set import locate_set
from fssbench.pipelines.episode_sets.loaded_track import LoadedTrack

__all__ = ["load"]


def load(
    benchmark: str,
    *,
    data: str | Path | None = None,
    protocol: str = "strict",
    fold: int = 0,
    shot: int = 1,
    seed: int | None = None,
) -> LoadedTrack:
    """Open the episodes of one fold, shot and seed.

    Args:
        benchmark: its name or alias, such as ``coco``.
        data: where episode sets lie, what `prepare` was given as ``output``: a folder, an address such as
            ``https://host/sets``, or the folder of one set; ``None`` for the home.
        protocol: how the episodes were drawn.
        fold: whose novel classes are asked for.
        shot: supports of an episode.
        seed: ``None`` for the protocol's first.

    Raises:
        UsageError: there is no such benchmark, protocol or fold.
        EpisodeSetError: the set is not there or damaged, or has no such track.
    """
    found, root = benchmark_and_root(benchmark, data)
    rules = find_protocol(protocol)
    rules.require(found)
    found.novel_classes(fold)  # refuses a fold that does not exist
    episode_set = locate_set(root, benchmark=found, protocol=protocol, fold=fold)
    return LoadedTrack(episode_set, shot=shot, seed=rules.seeds[0] if seed is None else seed)

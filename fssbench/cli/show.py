"""``fssbench show``: episodes of a set as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fssbench.base.errors import UsageError
from fssbench.cli.console import JsonFlag, integers, print_json, progress
from fssbench.cli.sets import SetArgument, open_set

if TYPE_CHECKING:
    from fssbench.episodes.episodes import Track
    from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
    from fssbench.schemas.manifest import TrackRecord

__all__ = ["show"]

EPISODES = 12
MOST = 200
"""Episodes on one picture: with five supports each it is 60 megapixels already."""


def show(
    path: SetArgument,
    shot: Annotated[
        int | None, typer.Option("--shot", "-k", min=1, help="Number of supports. [default: the set's least]")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="The seed. [default: the set's least]")] = None,
    episodes: Annotated[
        int | None, typer.Option("--episodes", "-n", min=1, max=MOST, help=f"How many. [default: {EPISODES}]")
    ] = None,
    class_name: Annotated[
        str | None, typer.Option("--class", "-c", help="Only episodes of this class, by name or index.")
    ] = None,
    index: Annotated[
        str | None, typer.Option("--index", "-i", help="These episodes, by index, joined by commas.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The PNG to write, or its folder. [default: SET-episodes.png]"),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Draw episodes: every support and query with its mask, ignored pixels, class and image ids."""
    if index is not None and (episodes, class_name) != (None, None):
        raise UsageError("--index says which episodes to draw, so --episodes and --class mean nothing beside it")
    episode_set = open_set(path)
    record = _track(episode_set, shot, seed)
    track = episode_set.tracks[record.label]
    if index is None:
        chosen = _first(episode_set, track, episodes or EPISODES, class_name)
    else:
        chosen = _named(track, integers(index, option="--index", least=0))
    picture = _picture(episode_set, record, output)

    from fssbench.pages.contact_sheet import draw_episodes, require_own

    require_own(picture)
    with progress("reading", len(chosen), unit="episodes") as advance:
        draw_episodes(picture, episode_set, record, chosen, advance=advance)
    _report(episode_set, track, chosen, picture, as_json)


def _track(episode_set: EpisodeSet, shot: int | None, seed: int | None) -> TrackRecord:
    """The first track with this shot and seed, where they were given."""
    for track in episode_set.manifest.tracks:
        if shot in (None, track.shot) and seed in (None, track.seed):
            return track
    first = episode_set.manifest.tracks[0]
    return episode_set.record(shot=shot or first.shot, seed=first.seed if seed is None else seed)


def _first(episode_set: EpisodeSet, track: Track, n: int, class_name: str | None) -> list[int]:
    """The indices of the first ``n`` episodes, of one class if it is named."""
    if class_name is None:
        return list(range(min(n, len(track.episodes))))
    names = {pool.id: pool.name for pool in episode_set.manifest.classes}
    wanted = {c for c, name in names.items() if class_name in (name, str(c))}
    chosen = [i for i, episode in enumerate(track.episodes) if episode.class_id in wanted]
    if not chosen:
        there = ", ".join(names[c] for c in sorted({episode.class_id for episode in track.episodes}))
        raise UsageError(f"{track.name} has no episode of class '{class_name}'; it has {there}")
    return chosen[:n]


def _named(track: Track, indices: tuple[int, ...]) -> list[int]:
    if beyond := [i for i in indices if i >= len(track.episodes)]:
        raise UsageError(
            f"{track.name} has no episode {beyond[0]:,}", remedy=f"indices are 0 to {len(track.episodes) - 1:,}"
        )
    if len(indices) > MOST:
        raise UsageError(f"--index names {len(indices):,} episodes, a picture has room for {MOST}")
    return sorted(indices)


def _picture(episode_set: EpisodeSet, record: TrackRecord, output: Path | None) -> Path:
    """Where to write: never into the set, unless that is asked for."""
    manifest = episode_set.manifest
    name = f"{manifest.benchmark}-{manifest.protocol.name}-fold{manifest.fold}-{record.label}-episodes.png"
    if output is None or output.is_dir():
        return (output or Path()) / name
    if output.suffix.lower() != ".png":
        raise UsageError(f"--output must end in .png, got '{output}'", remedy="pictures are PNG files")
    return output


def _report(episode_set: EpisodeSet, track: Track, chosen: list[int], picture: Path, as_json: bool) -> None:
    names = {pool.id: pool.name for pool in episode_set.manifest.classes}
    if as_json:
        episodes = [
            {
                "index": i,
                "class_id": track.episodes[i].class_id,
                "class": names[track.episodes[i].class_id],
                "query": track.episodes[i].query,
                "supports": list(track.episodes[i].supports),
            }
            for i in chosen
        ]
        print_json({"picture": str(picture), "shot": track.shot, "seed": track.seed, "episodes": episodes})
        return
    print(f"{len(chosen)} of {len(track.episodes):,} {track.shot}-shot episodes, seed {track.seed}: {picture}")

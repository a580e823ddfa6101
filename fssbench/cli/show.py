"""``fssbench show``: episodes of a set as a picture, and what models make of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fssbench.base.errors import UsageError
from fssbench.cli import complete
from fssbench.cli.console import JsonFlag, percent, print_json, progress
from fssbench.cli.many import Numbers, many, several
from fssbench.cli.model_options import (
    BackboneOption,
    BackboneWeightsOption,
    OptionsFileOption,
    PairsOption,
    given_options,
    resolve_options,
)
from fssbench.cli.sets import SetArgument, open_set

if TYPE_CHECKING:
    from fssbench.engine.model import LoadedModel
    from fssbench.episodes.episodes import Track
    from fssbench.models import ModelSpec
    from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
    from fssbench.pipelines.episode_sets.loaded_track import LoadedTrack

__all__ = ["show"]

EPISODES = 12
MOST = 200
"""Episodes on one picture: with five supports each it is 60 megapixels already."""


def show(
    path: SetArgument,
    shot: Annotated[
        list[Numbers] | None,
        many("--shot", "--shots", "-k", least=1, help="Supports; several with --model. [default: the set's fewest]"),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="The seed. [default: the set's lowest]")] = None,
    episodes: Annotated[
        int | None, typer.Option("--episodes", "-n", min=1, max=MOST, help=f"How many. [default: {EPISODES}]")
    ] = None,
    class_name: Annotated[
        str | None, typer.Option("--class", "-c", help="Only episodes of this class, by name or index.")
    ] = None,
    size: Annotated[
        str | None,
        typer.Option("--size", help="Only queries whose object is small or large, by the rule that results use."),
    ] = None,
    index: Annotated[list[Numbers] | None, many("--index", "-i", help="These episodes, by index.")] = None,
    result: Annotated[
        list[Path] | None,
        typer.Option("--result", "-r", help="A result with its masks (eval --save-predictions); repeatable."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            help="A model to ask, by name or path/to/file.py:Name; repeatable.",
            autocompletion=complete.models,
        ),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            "--weights", help="none, or the PATH of a checkpoint; one for each --model. [default: found in the home]"
        ),
    ] = None,
    backbone: BackboneOption = None,
    backbone_weights: BackboneWeightsOption = None,
    option: PairsOption = None,
    options_file: OptionsFileOption = None,
    device: Annotated[str, typer.Option("--device", help="Where models run: auto, cpu, cuda, cuda:1, …")] = "auto",
    maps: Annotated[
        bool, typer.Option("--maps", help="Draw what models compare, and their supports' features, below each episode.")
    ] = False,
    channel: Annotated[
        int | None, typer.Option("--channel", min=0, help="One channel of features. [default: the mean of all]")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The PNG to write, or its folder. [default: SET-episodes.png]"),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Draw episodes: every support and query with its mask, ignored pixels, class and image ids.

    With results or models their masks stand beside the truth, each with its IoU: several models, or one model with
    several numbers of supports, on the same episodes.
    """
    indices = several(index)
    if indices is not None and (episodes, class_name, size) != (None, None, None):
        raise UsageError("--index says which episodes to draw, so --episodes, --class and --size mean nothing here")
    _require_models(shot=shot, result=result, model=model, weights=weights, maps=maps, channel=channel)
    episode_set = open_set(path)

    from fssbench.pages.choice import choose, choose_by_index, tracks_of
    from fssbench.pages.contact_sheet import draw_episodes, require_own

    tracks = tracks_of(episode_set, shots=several(shot) or (), seed=seed, results=result or ())
    if indices is None:
        chosen = choose(tracks, class_name=class_name, size=size, n=episodes or EPISODES)
    else:
        chosen = choose_by_index(tracks, indices)
    track = tracks[0].track
    picture = _picture(episode_set, track, output, what="answers" if result or model else "episodes")
    require_own(picture)
    if not result and not model:
        record = episode_set.record(shot=track.shot, seed=track.seed)
        with progress("reading", len(chosen[track.name]), unit="episodes") as advance:
            draw_episodes(picture, episode_set, record, chosen[track.name], advance=advance)
        _report(tracks[0], chosen[track.name], picture, {}, as_json)
        return

    from fssbench.pages.chosen import columns_of, draw_chosen
    from fssbench.results.environment import pick_device

    def options(spec: ModelSpec) -> dict[str, Any]:
        given = given_options(spec, option, options_file)
        return resolve_options(spec, given, backbone=backbone, backbone_weights=backbone_weights)

    loaded = _loaded(model or (), weights or (), options, episode_set)
    columns = columns_of(result or (), loaded, tracks=tracks, chosen=chosen, device=pick_device(device))
    ious = draw_chosen(picture, columns, episode_set=episode_set, maps=maps, channel=channel)
    _report(tracks[0], chosen[track.name], picture, ious, as_json)


def _require_models(**given: Any) -> None:
    """Refuse options that mean nothing without others."""
    models, weights = len(given["model"] or ()), len(given["weights"] or ())
    if weights and weights != models:
        raise UsageError(
            f"there are {weights} --weights for {models} --model", remedy="give one for each, in the same order"
        )
    if given["maps"] and not models:
        raise UsageError("--maps draws the maps of a model, and none was named", remedy="pass it with --model")
    if given["channel"] is not None and not given["maps"]:
        raise UsageError("--channel chooses one channel of the maps that --maps draws", remedy="pass --maps too")
    if given["shot"] and given["result"] and not models:
        raise UsageError("a result fixes the number of supports", remedy="leave out --shot")
    if len(given["shot"] or ()) > 1 and not models:
        raise UsageError("several --shot need a --model", remedy="pass one, or a --model")


def _loaded(
    models: Sequence[str],
    weights: Sequence[str],
    options: Callable[[ModelSpec], dict[str, Any]],
    episode_set: EpisodeSet,
) -> Iterator[LoadedModel]:
    """The models, one after the other."""
    from fssbench.base.home import Home
    from fssbench.engine.model import load_model
    from fssbench.models import full_name, model_spec

    for n, name in enumerate(map(full_name, models)):
        yield load_model(
            name,
            options(model_spec(name)),
            weights=weights[n] if weights else None,
            benchmark=episode_set.benchmark,
            fold=episode_set.manifest.fold,
            home=Home.find(),
        )


def _picture(episode_set: EpisodeSet, track: Track, output: Path | None, *, what: str) -> Path:
    """Where to write: never into the set, unless that is asked for."""
    manifest = episode_set.manifest
    name = f"{manifest.benchmark}-{manifest.protocol.name}-fold{manifest.fold}-{track.name}-{what}.png"
    if output is None or output.is_dir():
        return (output or Path()) / name
    if output.suffix.lower() != ".png":
        raise UsageError(f"--output must end in .png, got '{output}'", remedy="pictures are PNG files")
    return output


def _report(
    track: LoadedTrack,
    chosen: Sequence[int],
    picture: Path,
    ious: Mapping[str, Sequence[float | None]],
    as_json: bool,
) -> None:
    if not as_json:
        print(f"{len(chosen)} of {len(track):,} {track.shot}-shot episodes, seed {track.seed}: {picture}")
        for name, found in ious.items():
            print(f"  {name}: IoU {', '.join(percent(value) for value in found)}")
        return
    asked = [(i, track.track.episodes[i]) for i in chosen]
    episodes = [
        {
            "index": i,
            "class_id": episode.class_id,
            "class": track.classes[episode.class_id],
            "query": episode.query,
            "supports": list(episode.supports),
            **({"iou": {name: found[n] for name, found in ious.items()}} if ious else {}),
        }
        for n, (i, episode) in enumerate(asked)
    ]
    print_json({"picture": str(picture), "shot": track.shot, "seed": track.seed, "episodes": episodes})

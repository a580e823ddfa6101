"""``fssbench score``: figures from masks, without a model; and whether a result is what it says."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fssbench.base.errors import UsageError
from fssbench.cli.console import TERMINAL, DataOption, JsonFlag, print_json, progress, warn

if TYPE_CHECKING:
    from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
    from fssbench.results.rescore import Predictions
    from fssbench.schemas.result import EpisodesRecord, Result
    from fssbench.schemas.samples import ImageMeta

__all__ = ["score"]

NAME = re.compile(r"[A-Za-z0-9][\w .+@-]*")


def score(
    path: Annotated[
        Path,
        typer.Argument(
            help="Predictions: what eval --save-predictions left, a folder of PNGs named by episode index, or a "
            ".jsonl file of run-length encodings. With --check a result, or a folder with results below it."
        ),
    ],
    data: DataOption = None,
    check: Annotated[
        bool, typer.Option("--check", help="Compute everything a result says again, and list all that differs.")
    ] = False,
    name: Annotated[
        str | None, typer.Option("--name", help="What to call the model behind another tool's masks.")
    ] = None,
    benchmark: Annotated[
        str | None, typer.Option("--benchmark", "-b", help="Of another tool's masks. [default: the set's, else coco]")
    ] = None,
    protocol: Annotated[
        str | None, typer.Option("--protocol", "-p", help="Likewise. [default: the set's, else strict]")
    ] = None,
    fold: Annotated[int | None, typer.Option("--fold", "-f", help="Likewise. [default: the set's, else 0]")] = None,
    shot: Annotated[int, typer.Option("--shot", "-k", min=1, help="Likewise.")] = 1,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Likewise.")] = 0,
    episodes: Annotated[
        int | None, typer.Option("--episodes", "-n", min=1, help="The masks are of the first N. [default: all]")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Where the result goes. [default: beside what eval left, else results in the home]",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a result that says something else.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Score predicted masks without a model, or check a result against all that it rests on."""
    if check:
        from fssbench.api.check import check_all, require_sound
        from fssbench.cli.checking import say, verdict

        checked = check_all(path, data=data, report=TERMINAL)
        if as_json:
            print_json([verdict(one) for one in checked])
        else:
            for one in checked:
                say(one)
        require_sound(checked)
        return
    from fssbench.api.check import locate
    from fssbench.base.home import Home
    from fssbench.results.outcome import episodes_record, result_path
    from fssbench.results.predictions import INDEX, StoredPredictions
    from fssbench.results.rescore import Predictions, rescore, settle
    from fssbench.schemas.result import Request

    stored = (path / INDEX).is_file()
    if stored:
        asked = StoredPredictions.open(path).manifest.episodes
        episode_set = locate(data, asked.benchmark, asked.protocol, asked.fold)
    else:
        episode_set = locate(data, benchmark, protocol, fold)
        n = episodes or episode_set.record(shot=shot, seed=seed).episodes
        asked = episodes_record(episode_set, shot=shot, seed=seed, n_episodes=n)
    track_record = episode_set.record(shot=asked.shot, seed=asked.seed)
    track = episode_set.tracks[track_record.label].first(asked.n_episodes)
    with progress("reading truths", None):
        queries = episode_set.queries(track)
    if stored:
        predictions = Predictions.stored(path, episode_set)
    else:
        predictions = _foreign(path, episode_set, queries, name=name, episodes=asked)
    command = Request(
        asked=("fssbench", *sys.argv[1:]),
        resolved={"predictions": str(path), "data": str(episode_set.place), "fold": asked.fold, "shot": asked.shot}
        | {"seed": asked.seed, "episodes": asked.n_episodes},
    )
    with progress("scoring", asked.n_episodes, unit="episodes") as advance:
        outcome = rescore(predictions, episode_set, track, queries, command=command, advance=advance)
    if stored and output is None:
        folder = path.resolve()  # "." has no name
        target = folder.with_name(folder.name.removesuffix(".predictions") + ".json")
    else:
        target = result_path(output or Home.find().results, asked, predictions.model)
    result, what = settle(outcome, target, overwrite=overwrite)
    if as_json:
        print_json({"path": str(target), "outcome": what, "result": result.model_dump(mode="json")})
    else:
        _report(result, target, what)
    if result.unofficial:
        warn(f"not official: {'; '.join(result.unofficial)}")


def _foreign(
    path: Path, episode_set: EpisodeSet, queries: dict[int, ImageMeta], *, name: str | None, episodes: EpisodesRecord
) -> Predictions:
    from fssbench.results.rescore import Predictions

    name = name or path.stem
    if not NAME.fullmatch(name):
        raise UsageError(
            f"a model cannot be called '{name}'", remedy="pass --name with letters, digits, dots and dashes"
        )
    with progress("reading masks", episodes.n_episodes, unit="masks") as advance:
        return Predictions.foreign(path, episode_set, queries, name=name, episodes=episodes, advance=advance)


def _report(result: Result, path: Path, what: str) -> None:
    from fssbench.results.evaluation import figure_text

    episodes = result.episodes
    said = {
        "written": "written",
        "agrees": "was there already, with the same counts",
        "restored": "was there already; its counts are restored",
    }
    print(
        f"{result.model.name} on {episodes.benchmark} {episodes.protocol} fold {episodes.fold}, {episodes.shot}-shot, "
        f"seed {episodes.seed}, {episodes.n_episodes:,} episodes"
    )
    for policy in result.policies:
        headline = " (headline)" if policy.policy == result.headline else ""
        print(f"  {policy.policy:<20} mIoU {figure_text(policy.miou)}, FB-IoU {figure_text(policy.fb_iou)}{headline}")
    print(f"  {path} ({said[what]})")

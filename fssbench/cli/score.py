"""``fssbench score``: figures from masks, without a model; and whether a result is what it says."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fssbench.cli.console import DataOption, JsonFlag, Place, figure, print_json, progress, warn
from fssbench.errors import ResultError, UsageError

if TYPE_CHECKING:
    from fssbench.engine.check import Checked
    from fssbench.engine.rescore import Predictions
    from fssbench.pipelines.episode_set import EpisodeSet
    from fssbench.pipelines.samples import ImageMeta
    from fssbench.results import EpisodesRecord, Result

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
        _check(path, data, as_json=as_json)
        return
    from fssbench.engine.outcome import episodes_record, result_path
    from fssbench.engine.predictions import INDEX, StoredPredictions
    from fssbench.engine.rescore import Predictions, rescore, settle
    from fssbench.home import Home
    from fssbench.results import Request

    stored = (path / INDEX).is_file()
    if stored:
        asked = StoredPredictions.open(path).manifest.episodes
        episode_set = _locate(data, asked.benchmark, asked.protocol, asked.fold)
    else:
        episode_set = _locate(data, benchmark, protocol, fold)
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
        target = result_path(output or Home.find().results, episode_set, track_record, predictions.model)
    result, what = settle(outcome, target, overwrite=overwrite)
    if as_json:
        print_json({"path": str(target), "outcome": what, "result": result.model_dump(mode="json")})
    else:
        _report(result, target, what)
    if result.unofficial:
        warn(f"not official: {'; '.join(result.unofficial)}")


def _locate(data: Place | None, benchmark: str | None, protocol: str | None, fold: int | None) -> EpisodeSet:
    """The set asked for; if ``data`` is a set itself, what was not asked for is as it has it."""
    from fssbench.home import Home
    from fssbench.pipelines.episode_set import MANIFEST, EpisodeSet, benchmark_below, locate_set

    root = data or Home.find().episodes
    if (root / MANIFEST).is_file():
        there = EpisodeSet.open(root).manifest
        benchmark, protocol = benchmark or there.benchmark, protocol or there.protocol.name
        fold = there.fold if fold is None else fold
    found = benchmark_below(root, benchmark or "coco")
    return locate_set(root, benchmark=found, protocol=protocol or "strict", fold=fold or 0)


def _foreign(
    path: Path, episode_set: EpisodeSet, queries: dict[int, ImageMeta], *, name: str | None, episodes: EpisodesRecord
) -> Predictions:
    from fssbench.engine.rescore import Predictions

    name = name or path.stem
    if not NAME.fullmatch(name):
        raise UsageError(
            f"a model cannot be called '{name}'", remedy="pass --name with letters, digits, dots and dashes"
        )
    with progress("reading masks", episodes.n_episodes, unit="masks") as advance:
        return Predictions.foreign(path, episode_set, queries, name=name, episodes=episodes, advance=advance)


def _report(result: Result, path: Path, what: str) -> None:
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
        print(f"  {policy.policy:<20} mIoU {figure(policy.miou)}, FB-IoU {figure(policy.fb_iou)}{headline}")
    print(f"  {path} ({said[what]})")


def _check(path: Path, data: Place | None, *, as_json: bool) -> None:
    """Check one result, or all below a folder; `ResultError` at the end if anything is wrong."""
    from fssbench.engine.check import check_result
    from fssbench.engine.load import results_below

    files = results_below(path) if path.is_dir() else [path]
    checked = []
    with progress("checking", len(files), unit="results") as advance:
        for file in files:
            checked.append(
                check_result(file, find_set=lambda asked: _locate(data, asked.benchmark, asked.protocol, asked.fold))
            )
            advance(1)
    if as_json:
        print_json([_verdict(one) for one in checked])
    else:
        for one in checked:
            _say(one)
    if wrong := sum(bool(one.problems) for one in checked):
        total = sum(len(one.problems) for one in checked)
        raise ResultError(
            f"{wrong} of {len(checked)} results {'is' if wrong == 1 else 'are'} not what "
            f"{'it says' if wrong == 1 else 'they say'} ({total} discrepanc{'y' if total == 1 else 'ies'})",
            remedy="score the predictions again, or evaluate again with --overwrite",
        )


def _verdict(one: Checked) -> dict[str, Any]:
    return {
        "path": str(one.path),
        "sound": not one.problems,
        "problems": one.problems,
        "unchecked": one.unchecked,
    }


def _say(one: Checked) -> None:
    if one.problems:
        print(f"WRONG {one.path}: {len(one.problems)} discrepanc{'y' if len(one.problems) == 1 else 'ies'}")
        print("\n".join(f"  {problem}" for problem in one.problems))
    else:
        print(f"sound {one.path}")
    for what in one.unchecked:
        print(f"  not checked: {what}")

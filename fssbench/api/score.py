"""Figures from masks that are there, without the model that made them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fssbench.api.check import locate
from fssbench.base.errors import UsageError
from fssbench.base.home import Home
from fssbench.base.progress import SILENT, Report
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.transport import Place
from fssbench.results.outcome import episodes_record, result_path
from fssbench.results.predictions import INDEX, StoredPredictions
from fssbench.results.rescore import Predictions, rescore, settle
from fssbench.schemas.result import EpisodesRecord, Request, Result
from fssbench.schemas.samples import ImageMeta

__all__ = ["Scored", "score"]

NAME = re.compile(r"[A-Za-z0-9][\w .+@-]*")


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A result of masks, where it lies, and what became of it there.

    Attributes:
        outcome: ``written``; ``agrees`` with what was there; or ``restored``: its table of counts was written again.
    """

    result: Result
    path: Path
    outcome: Literal["written", "agrees", "restored"]


def score(
    predictions: Path,
    *,
    data: Place | None = None,
    name: str | None = None,
    benchmark: str | None = None,
    protocol: str | None = None,
    fold: int | None = None,
    shot: int = 1,
    seed: int = 0,
    episodes: int | None = None,
    output: Path | None = None,
    overwrite: bool = False,
    asked: Sequence[str] = ("fssbench.api.score",),
    report: Report = SILENT,
) -> Scored:
    """Score predicted masks.

    Args:
        predictions: what ``eval --save-predictions`` left, which says what it answers; a folder of PNGs named by
            episode index; or a ``.jsonl`` file of run-length encodings.
        data: where episode sets lie; ``None`` for the home.
        name: what to call the model behind another tool's masks; ``None`` for the file's name.
        benchmark: of another tool's masks; ``None`` for the set's, else COCO-20i. So with the arguments that follow.
        episodes: the masks are of the first so many; ``None`` for all.
        output: results are written below it; ``None`` for beside what ``eval`` left, else the home.
        overwrite: replace a result that says something else.
        asked: the command or call, for the record.
        report: where to show progress.

    Raises:
        ResultError: predictions are damaged, or a result with other counts is in the way.
        MetricError: a mask cannot be scored, is missing, or is there twice.
        EpisodeSetError: the set is missing or damaged.
    """
    stored = (predictions / INDEX).is_file()
    if stored:
        what = StoredPredictions.open(predictions).manifest.episodes
        episode_set = locate(data, what.benchmark, what.protocol, what.fold)
    else:
        episode_set = locate(data, benchmark, protocol, fold)
        n = episodes or episode_set.record(shot=shot, seed=seed).episodes
        what = episodes_record(episode_set, shot=shot, seed=seed, n_episodes=n)
    track = episode_set.tracks[episode_set.record(shot=what.shot, seed=what.seed).label].first(what.n_episodes)
    with report.progress("reading truths", None):
        queries = episode_set.queries(track)
    found = (
        Predictions.stored(predictions, episode_set)
        if stored
        else _foreign(predictions, episode_set, queries, name=name or predictions.stem, episodes=what, report=report)
    )
    resolved = {"predictions": str(predictions), "data": str(episode_set.place), "fold": what.fold, "shot": what.shot}
    command = Request.of(asked, {**resolved, "seed": what.seed, "episodes": what.n_episodes})
    with report.progress("scoring", what.n_episodes, unit="episodes") as advance:
        outcome = rescore(found, episode_set, track, queries, command=command, advance=advance)
    if stored and output is None:
        folder = predictions.resolve()  # "." has no name
        path = folder.with_name(folder.name.removesuffix(".predictions") + ".json")
    else:
        path = result_path(output or Home.find().results, what, found.model)
    result, became = settle(outcome, path, overwrite=overwrite)
    return Scored(result=result, path=path, outcome=became)


def _foreign(
    path: Path,
    episode_set: EpisodeSet,
    queries: Mapping[int, ImageMeta],
    *,
    name: str,
    episodes: EpisodesRecord,
    report: Report,
) -> Predictions:
    """Masks that another tool left."""
    if not NAME.fullmatch(name):
        raise UsageError(
            f"a model cannot be called '{name}'", remedy="pass --name with letters, digits, dots and dashes"
        )
    with report.progress("reading masks", episodes.n_episodes, unit="masks") as advance:
        return Predictions.foreign(path, episode_set, queries, name=name, episodes=episodes, advance=advance)

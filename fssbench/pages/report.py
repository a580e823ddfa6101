"""One model's results as one HTML file, pictures and all."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

from fssbench.base.errors import ResultError, UsageError
from fssbench.base.files import write_atomic
from fssbench.base.progress import Advance, no_progress
from fssbench.leaderboard.build import board_of
from fssbench.leaderboard.gathered import Gathered
from fssbench.pages.curves import Curves, read_curves
from fssbench.pages.examples import read_picture
from fssbench.pages.render import asset, environment, one_file_policy
from fssbench.pages.view import View
from fssbench.results.check import check_result
from fssbench.results.load import results_below
from fssbench.schemas.leaderboard import Entry
from fssbench.schemas.result import read_result

__all__ = ["choose_results", "render_report", "write_report"]


def choose_results(path: Path, *, shot: int | None = None) -> list[Path]:
    """The result file, or those of one number of shots below a folder.

    Raises:
        UsageError: there are several numbers of shots and none was chosen, or there is none of those chosen.
        ResultError: there are no results, or one is damaged.
    """
    found = [path] if path.is_file() else results_below(path)
    shots = {file: read_result(file).episodes.shot for file in found}
    if shot is None and len(set(shots.values())) > 1:
        there = ", ".join(f"{k}-shot" for k in sorted(set(shots.values())))
        raise UsageError(f"{path} holds {there} results", remedy="choose with --shot, or pass a result file")
    chosen = [file for file in found if shot in (None, shots[file])]
    if not chosen:
        raise UsageError(f"{path} holds no {shot}-shot results")
    return chosen


def write_report(
    path: Path, results: Sequence[Path], *, trainings: Sequence[Path] = (), advance: Advance = no_progress
) -> Entry:
    """Write the report on some results of one model, after checking them; returns what it is about.

    Args:
        trainings: folders of trainings whose curves are shown over one another.
        advance: called with 1 for every result checked.

    Raises:
        TrainingError: a folder holds no training.
        ResultError: a result is not sound, or they are not all of one model, benchmark and protocol.
    """
    curves = read_curves(trainings) if trainings else None
    items = []
    for result in results:
        items.append(Gathered.of(check_result(result), result.parent))
        advance(1)
    entries = board_of(items).entries
    if len(entries) > 1:
        labels = " and ".join(f"{entry.label} on {entry.benchmark} {entry.protocol}" for entry in entries[:2])
        raise ResultError(
            f"the results are of {len(entries)} entries, such as {labels}",
            remedy="pass the folder of one model, or make a page of all with fssbench leaderboard page",
        )
    write_atomic(path, render_report(entries[0], View(tuple(sorted(items, key=lambda item: item.run))), curves))
    return entries[0]


def render_report(entry: Entry, view: View, curves: Curves | None = None) -> str:
    """The report's HTML, which needs no other file."""
    style, script = asset("style.css"), asset("page.js")
    return (
        environment()
        .get_template("report.html")
        .render(
            entry=entry,
            view=view,
            curves=curves,
            shown=view.examples(_within),
            style=style,
            script=script,
            policy=one_file_policy(style=style, script=script),
        )
    )


def _within(run: Gathered, file: str) -> str:
    """A picture as part of the page that shows it."""
    return f"data:image/jpeg;base64,{base64.b64encode(read_picture(run.path, file)).decode()}"

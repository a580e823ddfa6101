"""Results gathered, grouped by what may be compared, ranked and verified."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fssbench.base.callable_module import make_callable
from fssbench.base.progress import SILENT, Report

if TYPE_CHECKING:
    from fssbench.leaderboard.board import Leaderboard

__all__ = ["leaderboard"]


def leaderboard(*folders: str | Path, reported: bool = False, report: Report = SILENT) -> Leaderboard:
    """Gather all results below one folder or several, each computed again; what ``fssbench.leaderboard(…)`` calls.

    Ranks are given only among entries of the very same episodes.

    Args:
        folders: what `evaluate` was given as ``output``.
        reported: with the numbers that papers report, never ranked.
        report: where to show progress and what was left out.

    Raises:
        ResultError: a result is not what its counts give, two are the same run of one model, or there is nothing to
            gather.
    """
    from fssbench.leaderboard.build import build_leaderboard
    from fssbench.leaderboard.published import published_entries

    with report.progress("computing every figure again", None, unit="results") as bar:
        rows = published_entries() if reported else ()
        return build_leaderboard(*map(Path, folders), reported=rows, advance=bar, note=report.note)


make_callable(__name__, leaderboard)

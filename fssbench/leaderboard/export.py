"""Leaderboards in other formats, and parts of them."""

from __future__ import annotations

from collections.abc import Callable

from fssbench.base.errors import UsageError
from fssbench.episodes.benchmarks import find_benchmark
from fssbench.leaderboard.board import Leaderboard
from fssbench.leaderboard.cited import board_bibtex
from fssbench.leaderboard.flat import to_csv, to_parquet
from fssbench.leaderboard.readable import readable
from fssbench.leaderboard.typeset import latex, markdown
from fssbench.schemas.leaderboard import Entry, ReportedEntry

__all__ = ["FORMATS", "export", "selected"]

FORMATS: dict[str, Callable[[Leaderboard], bytes]] = {
    "markdown": lambda board: markdown(list(readable(board))),
    "latex": lambda board: latex(list(readable(board))),
    "csv": lambda board: to_csv(board.to_pandas()),
    "parquet": lambda board: to_parquet(board.to_pandas()),
    "bibtex": board_bibtex,
}


def export(board: Leaderboard, form: str) -> bytes:
    """The leaderboard in one of `FORMATS`, the same bytes for the same leaderboard.

    Raises:
        UsageError: there is no such format.
    """
    if form not in FORMATS:
        raise UsageError(f"a leaderboard cannot be exported as {form}", remedy=f"formats are {', '.join(FORMATS)}")
    return FORMATS[form](board)


def selected(
    board: Leaderboard, *, benchmark: str | None = None, shot: int | None = None, ablations: bool = False
) -> Leaderboard:
    """The entries of one benchmark, by its name or alias, and of one number of shots.

    Args:
        ablations: keep reported rows that only show what a part of a method is worth.
    """
    name = benchmark
    named = {*(entry.benchmark for entry in board.entries), *(row.benchmark for row in board.reported)}
    if benchmark is not None and benchmark not in named:
        name = find_benchmark(benchmark).name

    def wanted(entry: Entry | ReportedEntry) -> bool:
        return name in (None, entry.benchmark) and shot in (None, entry.shot)

    return board.model_copy(
        update={
            "entries": tuple(entry for entry in board.entries if wanted(entry)),
            "reported": tuple(row for row in board.reported if wanted(row) and (ablations or not row.ablation)),
        }
    )

"""Leaderboards as tables on the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from fssbench.cli.console import percent

if TYPE_CHECKING:
    from rich.table import Table

    from fssbench.schemas.leaderboard import DifferenceRecord, Entry, Leaderboard, ReportedEntry, Score, ShiftInterval
    from fssbench.schemas.result import IntervalRecord

__all__ = ["print_leaderboard", "print_reported"]

WIDTH = 100
"""Of tables that go to a file, or to whatever else is no terminal."""


def print_leaderboard(board: Leaderboard) -> None:
    """Print one table for each benchmark, protocol, number of shots and sample of episodes."""
    from rich.console import Console

    console = Console()
    console = Console(width=max(console.width, WIDTH)) if not console.is_terminal else console
    for entries in board.groups():
        console.print(_ranking(entries))
        reasons = dict.fromkeys(r for entry in entries for r in (*entry.unofficial, entry.miou.reason) if r)
        if reasons:
            console.print(f"* not official: {'; '.join(reasons)}", highlight=False, markup=False)
    if sure := [entry for entry in board.entries if entry.miou.other_images or entry.miou.other_episodes]:
        weaker = "; †: over other episodes, as there are too few images" if any(_weaker(e.miou) for e in sure) else ""
        print(f"[low, high]: 95 % interval over other images{weaker}\n")


def print_reported(groups: Iterable[tuple[ReportedEntry, ...]], *, most: int | None = None) -> None:
    """Print one table for each group of reported rows, of each no more than the first ``most``."""
    from rich.console import Console

    console = Console()
    console = Console(width=max(console.width, WIDTH)) if not console.is_terminal else console
    for group in groups:
        console.print(_printed(group[:most]))
        if most is not None and len(group) > most:
            print(f"and {len(group) - most} more\n")


def _table(title: str, folds: Iterable[int], *, ranks: bool) -> Table:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False, title_justify="left")
    table.title = escape(title)
    if ranks:
        table.add_column("#", justify="right", no_wrap=True)
    table.add_column("model")
    for name in (*(f"fold {fold}" for fold in folds), "mean", "FB-IoU"):
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _ranking(entries: tuple[Entry, ...]) -> Table:
    from rich.markup import escape

    first = entries[0]
    folds = sorted({fold.fold for entry in entries for fold in entry.folds})
    asked = f"{first.benchmark} · {first.protocol}/{first.protocol_version} · {first.shot}-shot"
    table = _table(f"{asked} · {first.policy} · mIoU in %", folds, ranks=True)
    for name in ("behind", "ep/s"):
        table.add_column(name, justify="right", no_wrap=True)
    for entry in entries:
        by_fold = {fold.fold: percent(fold.miou.value) for fold in entry.folds}
        table.add_row(
            str(entry.rank or "—"),
            escape(entry.label) + ("" if entry.official else " *"),
            *(by_fold.get(fold, "—") for fold in folds),
            _with_interval(entry.miou),
            _with_interval(entry.fb_iou),
            _behind(entry.difference),
            "—" if entry.episodes_per_second is None else f"{entry.episodes_per_second:.1f}",
        )
    return table


def _printed(rows: tuple[ReportedEntry, ...]) -> Table:
    from rich.markup import escape

    first = rows[0]
    protocol = f"protocol {first.protocol}" if first.protocol else "protocol not known"
    ignored = "" if first.ignore_label else ", ignored pixels counted as background"
    title = f"{first.benchmark} · {first.shot}-shot · as reported, {protocol}{ignored} · mIoU in %"
    table = _table(title, range(len(first.folds)), ranks=False)
    table.add_column("printed in")
    for row in rows:
        figures = (*row.folds, row.miou, row.fb_iou)
        # With the one decimal that papers print.
        cells = ("—" if value is None else f"{100 * value:.1f}" for value in figures)
        table.add_row(escape(row.label), *cells, escape(row.printed_in))
    return table


def _with_interval(score: Score) -> str:
    """A mean, and below it where it might lie: with other images, or if that cannot be said, other episodes."""
    if score.value is None:
        return "—"
    return f"{percent(score.value)}{_between(score.other_images, score.other_episodes, sign='')}"


def _weaker(score: Score) -> bool:
    return score.other_images is None and score.other_episodes is not None


def _behind(difference: DifferenceRecord) -> str:
    """How far an entry is from the leader, and where that might lie."""
    if difference.value is None:
        return ""
    between = _between(difference.other_images, difference.other_episodes, sign="+")
    return f"{100 * difference.value:+.2f}{between}"


def _between(
    images: IntervalRecord | ShiftInterval | None, episodes: IntervalRecord | ShiftInterval | None, *, sign: str
) -> str:
    interval = images or episodes
    if interval is None:
        return ""
    low, high = (f"{100 * bound:{sign}.1f}" for bound in (interval.low, interval.high))
    return f"\n[dim]\\[{low}, {high}]{'' if images else '†'}[/dim]"

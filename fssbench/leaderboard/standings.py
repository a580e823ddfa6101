"""Rankings and reported rows as tables to print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from fssbench.leaderboard.flat import sure_of
from fssbench.schemas.leaderboard import REGIME_NAMES

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from fssbench.schemas.leaderboard import DifferenceRecord, Entry, ReportedEntry, Score, ShiftInterval
    from fssbench.schemas.result import IntervalRecord

__all__ = ["digests", "percent", "print_rankings", "print_reported"]

WIDTH = 100
"""Of tables that go to a file, or to whatever else is no terminal."""


def print_rankings(groups: Iterable[tuple[Entry, ...]], *, console: Console | None = None) -> None:
    """Print one table for each benchmark, protocol, number of shots and sample of episodes."""
    console = _wide(console)
    groups, scores = list(groups), []
    times = Counter(_asked(entries[0]) for entries in groups)
    for entries in groups:
        first = entries[0]
        console.print(_ranking(entries, which=digests(first) if times[_asked(first)] > 1 else ""))
        scores += [entry.miou for entry in entries]
        reasons = dict.fromkeys(r for entry in entries for r in (*entry.unofficial, entry.miou.reason) if r)
        if reasons:
            console.print(f"* not official: {'; '.join(reasons)}", highlight=False, markup=False)
    if sure := [score for score in scores if sure_of(score)]:
        weaker = "; †: over other episodes, as there are too few images" if any(map(_weaker, sure)) else ""
        _say(f"[low, high]: 95 % interval over other images{weaker}\n", console)


def print_reported(
    groups: Iterable[tuple[ReportedEntry, ...]], *, most: int | None = None, console: Console | None = None
) -> None:
    """Print one table for each group of reported rows, of each no more than the first ``most``."""
    console = _wide(console)
    for group in groups:
        console.print(_printed(group[:most]))
        if most is not None and len(group) > most:
            _say(f"and {len(group) - most} more\n", console)


def _wide(console: Console | None) -> Console:
    """A console, standard output if none is given; as wide as tables need, unless it is a terminal."""
    from rich.console import Console

    console = console or Console()
    if not console.is_terminal:
        console.width = max(console.width, WIDTH)
    return console


def _say(text: str, console: Console) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


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


def digests(entry: Entry) -> str:
    """What sets rankings apart that are alike otherwise: on which episodes, and on which masks and images."""
    truth = "not told" if entry.truth_digest is None else entry.truth_digest[:8]
    return f"episodes {entry.episodes_digest[:8]}, truth {truth}"


def _asked(entry: Entry) -> str:
    asked = f"{entry.benchmark} · {entry.protocol}/{entry.protocol_version} · {entry.shot}-shot · {entry.policy}"
    return f"{asked} · {REGIME_NAMES[entry.regime]}"


def _ranking(entries: tuple[Entry, ...], *, which: str) -> Table:
    from rich.markup import escape

    first = entries[0]
    folds = sorted({fold.fold for entry in entries for fold in entry.folds})
    table = _table(" · ".join(filter(None, (_asked(first), which, "mIoU in %"))), folds, ranks=True)
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


def percent(value: float | None, *, without: str = "—") -> str:
    """A figure in percent; ``without`` stands for one that is undefined."""
    return without if value is None else f"{100 * value:.2f}"


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

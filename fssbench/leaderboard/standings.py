"""Rankings and reported rows as tables to print: where room is short columns go, but never a rank or a name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fssbench.leaderboard.at_hand import at_hand
from fssbench.leaderboard.flat import sure_of
from fssbench.schemas.leaderboard import REGIME_NAMES

if TYPE_CHECKING:
    from rich.console import Console, JustifyMethod
    from rich.table import Table

    from fssbench.schemas.leaderboard import DifferenceRecord, Entry, ReportedEntry, Score, ShiftInterval
    from fssbench.schemas.result import IntervalRecord

__all__ = ["as_reported", "between", "digests", "one_decimal", "percent", "print_rankings", "print_reported"]

WIDTH = 100
"""Of tables that go to a file, or to whatever else is not a terminal."""
LEAST = 18
"""Of a column that wraps."""


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: its heading.
        cells: in Rich's markup, one a row; a line break starts a second line.
        sacrifice: when it goes where room is short, columns of one number together and the lowest first; 0: never.
        justify: ``left`` for words.
        wraps: whether a cell may go on below itself.
    """

    name: str
    cells: tuple[str, ...]
    sacrifice: int = 0
    justify: JustifyMethod = "right"
    wraps: bool = False


def print_rankings(groups: Iterable[tuple[Entry, ...]], *, console: Console | None = None) -> None:
    """Print one table for each benchmark, protocol, number of shots and sample of episodes."""
    console = _wide(console)
    groups, scores = list(groups), []
    times = Counter(_asked(entries[0]) for entries in groups)
    for entries in groups:
        first = entries[0]
        which = digests(first) if times[_asked(first)] > 1 else ""
        _print(" · ".join(filter(None, (_asked(first), which, "mIoU in %"))), _ranking(entries), console)
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
        first = group[0]
        regime = "" if first.regime == "base classes" else f" · {REGIME_NAMES[first.regime]}"
        title = f"{first.benchmark} · {first.shot}-shot · {as_reported(first)}{regime} · mIoU in %"
        _print(title, _printed(group[:most]), console)
        if most is not None and len(group) > most:
            _say(f"and {len(group) - most} more\n", console)


def as_reported(row: ReportedEntry) -> str:
    """How papers scored a row, in words."""
    protocol = f"protocol {row.protocol}" if row.protocol else "protocol not known"
    scored = "" if row.ignore_label else ", ignored pixels counted as background"
    return f"{'ablations ' if row.ablation else ''}as reported, {protocol}{scored}"


def _wide(console: Console | None) -> Console:
    """A console, standard output if none is given; as wide as tables need, unless it is a terminal."""
    from rich.console import Console

    console = console or Console()
    if not console.is_terminal:
        console.width = max(console.width, WIDTH)
    return console


def _say(text: str, console: Console) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _print(title: str, columns: Sequence[Column], console: Console) -> None:
    """A title and its table, of as many columns as there is room for; a note names those that there is none for."""
    _say(title, console)
    fitting = _fitting(columns, console)
    console.print(_table(fitting))
    names = [column.name for column in fitting]
    if gone := [column.name for column in columns if column.name not in names]:
        _say(f"a wider terminal shows {', '.join(gone)} too", console)


def _fitting(columns: Sequence[Column], console: Console) -> list[Column]:
    """The columns that there is room for; if there is none for a name and a mean, the name goes on below itself."""
    endless = console.options.update(max_width=10_000)
    left = list(columns)
    while True:
        whole = _table(column for column in left if not column.wraps).__rich_measure__(console, endless).maximum
        if whole + LEAST * any(column.wraps for column in left) <= console.width:
            return left
        weakest = min((column.sacrifice for column in left if column.sacrifice), default=0)
        if not weakest:
            return [replace(column, wraps=column.justify == "left") for column in left]
        left = [column for column in left if column.sacrifice != weakest]


def _table(columns: Iterable[Column]) -> Table:
    from rich import box
    from rich.table import Table

    columns = tuple(columns)
    table = Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    for column in columns:
        table.add_column(column.name, justify=column.justify, no_wrap=not column.wraps)
    for cells in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*cells)
    return table


def digests(entry: Entry) -> str:
    """What sets rankings apart that are alike otherwise: on which episodes, and on which masks and images."""
    truth = "not told" if entry.truth_digest is None else entry.truth_digest[:8]
    return f"episodes {entry.episodes_digest[:8]}, truth {truth}"


def _asked(entry: Entry) -> str:
    asked = f"{entry.benchmark} · {entry.protocol}/{entry.protocol_version} · {entry.shot}-shot · {entry.policy}"
    return f"{asked} · {REGIME_NAMES[entry.regime]}"


def _ranking(entries: tuple[Entry, ...]) -> list[Column]:
    from rich.markup import escape

    folds = sorted({fold.fold for entry in entries for fold in entry.folds})
    by_fold = [{fold.fold: percent(fold.miou.value) for fold in entry.folds} for entry in entries]
    speeds = (entry.episodes_per_second for entry in entries)
    priors = tuple(escape(entry.model.prior) or "—" for entry in entries)
    return [
        Column("#", tuple(str(entry.rank or "—") for entry in entries)),
        Column("model", tuple(escape(e.label) + ("" if e.official else " *") for e in entries), justify="left"),
        *(Column(f"fold {fold}", tuple(found.get(fold, "—") for found in by_fold), 3) for fold in folds),
        Column("mean", tuple(_mean(entry) for entry in entries)),
        Column("FB-IoU", tuple(_with_interval(entry.fb_iou) for entry in entries), 2),
        Column("behind", tuple(_behind(entry.difference) for entry in entries), 4),
        *(
            [Column("pre-trained on", priors, justify="left", wraps=True)]
            if any(e.model.saw_the_test for e in entries)
            else []
        ),
        Column("ep/s", tuple("—" if speed is None else f"{speed:.1f}" for speed in speeds), 1),
    ]


def _printed(rows: tuple[ReportedEntry, ...]) -> list[Column]:
    from rich.markup import escape

    def figures(values: Iterable[float | None]) -> tuple[str, ...]:
        return tuple(map(one_decimal, values))

    return [
        Column("model", tuple(escape(row.label) for row in rows), justify="left"),
        *(Column(f"fold {i}", figures(row.folds[i] for row in rows), 3) for i in range(len(rows[0].folds))),
        Column("mean", figures(row.miou for row in rows)),
        Column("FB-IoU", figures(row.fb_iou for row in rows), 1),
        Column("printed in", tuple(escape(row.printed_in) for row in rows), 2, justify="left", wraps=True),
    ]


def percent(value: float | None, *, without: str = "—") -> str:
    """A figure in percent; ``without`` stands for one that is undefined."""
    return without if value is None else f"{100 * value:.2f}"


def one_decimal(value: float | None, *, without: str = "—") -> str:
    """A figure in percent as papers print it; ``without`` stands for one that is not known."""
    return without if value is None else f"{100 * value:.1f}"


def between(score: Score, *, without: str = "—") -> str:
    """A figure in percent, and behind it where it might lie."""
    sure = sure_of(score)
    return percent(score.value, without=without) + (f" [{100 * sure.low:.1f}, {100 * sure.high:.1f}]" if sure else "")


def _mean(entry: Entry) -> str:
    """The mean with its interval; of an entry that has none, what there is, unless a fold's column says it."""
    part = at_hand(entry)
    if part is None or part.of == f"fold {entry.folds[0].fold}":
        return _with_interval(entry.miou)
    return f"—\n{percent(part.value)} over {part.of}"


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

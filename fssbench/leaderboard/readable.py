"""Leaderboards to read: one table a group, as Markdown or LaTeX, figures in percent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from fssbench.leaderboard.board import Leaderboard
from fssbench.leaderboard.standings import between, digests, one_decimal, percent
from fssbench.schemas.leaderboard import REGIME_NAMES, Entry

__all__ = ["to_latex", "to_markdown"]


@dataclass(frozen=True)
class Readable:
    """One group as a table of text."""

    title: str
    head: tuple[str, ...]
    body: tuple[tuple[str, ...], ...]


def readable(board: Leaderboard) -> Iterator[Readable]:
    """Every group as a table of figures in percent, measured ones first."""
    groups = list(board.groups())
    times = Counter(_asked(entries[0]) for entries in groups)
    for entries in groups:
        first = entries[0]
        which = f", {digests(first)}" if times[_asked(first)] > 1 else ""
        folds = sorted({fold.fold for entry in entries for fold in entry.folds})
        yield Readable(
            f"{_asked(first)}{which}",
            ("rank", "model", "regime", *(f"fold {fold}" for fold in folds), "mIoU", "FB-IoU", "behind", "official"),
            tuple(_cells(entry, folds) for entry in entries),
        )
    for group in board.reported_groups():
        row = group[0]
        protocol = row.protocol or "protocol not known"
        ignored = "" if row.ignore_label else ", ignored pixels counted as background"
        yield Readable(
            f"{row.benchmark}, {row.shot}-shot, as reported: {protocol}{ignored}",
            ("model", *(f"fold {fold}" for fold in range(len(row.folds))), "mIoU", "FB-IoU", "printed in"),
            tuple(
                (one.label, *(one_decimal(f, without="") for f in (*one.folds, one.miou, one.fb_iou)), one.printed_in)
                for one in group
            ),
        )


def _asked(entry: Entry) -> str:
    asked = f"{entry.benchmark}, {entry.protocol}/{entry.protocol_version}, {entry.shot}-shot, {entry.policy}"
    return f"{asked}, {REGIME_NAMES[entry.regime]}"


def _cells(entry: Entry, folds: Iterable[int]) -> tuple[str, ...]:
    by_fold = {fold.fold: percent(fold.miou.value, without="") for fold in entry.folds}
    behind = entry.difference
    sure = behind.other_images or behind.other_episodes
    bounds = f" [{100 * sure.low:+.1f}, {100 * sure.high:+.1f}]" if sure else ""
    return (
        str(entry.rank or ""),
        entry.label,
        entry.regime,
        *(by_fold.get(fold, "") for fold in folds),
        between(entry.miou, without=""),
        between(entry.fb_iou, without=""),
        "" if behind.value is None else f"{100 * behind.value:+.2f}{bounds}",
        "yes" if entry.official else "no",
    )


def to_markdown(board: Leaderboard) -> bytes:
    """Headings and tables, as GitHub draws them."""

    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cell.translate(MARKDOWN) for cell in cells)} |"

    text = ""
    for table in readable(board):
        rule = "".join("|---" if name in WORDS else "|--:" for name in table.head)
        lines = (line(table.head), f"{rule}|", *map(line, table.body))
        text += f"### {table.title.translate(MARKDOWN)}\n\n" + "\n".join(lines) + "\n\n"
    return text.rstrip("\n").encode() + b"\n"


def to_latex(board: Leaderboard) -> bytes:
    """Bare tabulars, each below a comment that says what it is."""

    def line(cells: Sequence[str]) -> str:
        return " & ".join(cell.translate(LATEX) for cell in cells) + r" \\"

    text = "% needs \\usepackage{booktabs}\n"
    for table in readable(board):
        columns = "".join("l" if name in WORDS else "r" for name in table.head)
        lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", line(table.head), r"\midrule"]
        lines += [*map(line, table.body), r"\bottomrule", r"\end{tabular}"]
        text += f"\n% {' '.join(table.title.split())}\n" + "\n".join(lines) + "\n"
    return text.encode()


WORDS = ("model", "regime", "official", "printed in")
"""Columns that are no numbers."""

# What a model is called is whatever somebody called it.
MARKDOWN = str.maketrans({c: f"\\{c}" for c in "\\|`*_[]<>#~"} | {"\n": " ", "\r": " "})
LATEX = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"\n": " ", "\r": " "}
)

"""Leaderboards as tables of a paper: what was measured, and below it what papers report of the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from fssbench.leaderboard.board import Leaderboard
from fssbench.leaderboard.cited import keys, of_model, of_printed, year_of
from fssbench.leaderboard.flat import sure_of
from fssbench.leaderboard.standings import as_reported, digests, one_decimal, percent
from fssbench.leaderboard.typeset import Cell, Part, Typeset, signed
from fssbench.schemas.leaderboard import REGIME_NAMES, Entry, ReportedEntry, Score

__all__ = ["readable"]

WORDS = ("model", "source")
SPREAD = "±: the farther end of the 95 % interval over other images, or other episodes where images are too few."
BOLD = "Bold: the best mean, and those whose paired difference from it may be none, by the same interval."
REPORTED = "†: as the papers named print it; nobody recomputed it, and the episodes are others."
UNOFFICIAL = "*: not official."


def readable(board: Leaderboard) -> Iterator[Typeset]:
    """A table for each ranking, with what papers report of that benchmark and shots; without any, that alone."""
    groups = list(board.groups())
    times = Counter(_asked(entries[0]) for entries in groups)
    for entries in groups:
        first = entries[0]
        beside = [
            group
            for group in board.reported_groups()
            if (group[0].benchmark, group[0].shot) == (first.benchmark, first.shot)
        ]
        which = f", {digests(first)}" if times[_asked(first)] > 1 else ""
        yield _table(f"{_asked(first)}{which}", entries, beside)
    if not groups:
        for group in board.reported_groups():
            yield _table(f"{group[0].benchmark}, {group[0].shot}-shot", (), [group])


def _table(title: str, entries: Sequence[Entry], beside: Sequence[Sequence[ReportedEntry]]) -> Typeset:
    folds = sorted(
        {fold.fold for entry in entries for fold in entry.folds}
        | {fold for group in beside for row in group for fold in range(len(row.folds))}
    )
    measured = [Part(rows=[_measured(entry, folds) for entry in entries])] if entries else []
    notes = [
        SPREAD if any(sure_of(entry.miou) for entry in entries) else "",
        BOLD if entries else "",
        UNOFFICIAL if any(not entry.official for entry in entries) else "",
        REPORTED if beside else "",
        *dict.fromkeys(
            f"{entry.label}: pre-trained on {entry.model.prior}." for entry in entries if entry.model.saw_the_test
        ),
    ]
    return Typeset(
        title=title,
        head=("rank", "model", *(f"fold {fold}" for fold in folds), "mIoU", "FB-IoU", "behind", "source"),
        words=WORDS,
        parts=[
            *measured,
            *(Part(heading=_heading(group), rows=[_reported(row, folds) for row in group]) for group in beside),
        ],
        notes=[note for note in notes if note],
    )


def _asked(entry: Entry) -> str:
    asked = f"{entry.benchmark}, {entry.protocol}/{entry.protocol_version}, {entry.shot}-shot, {entry.policy}"
    return f"{asked}, {REGIME_NAMES[entry.regime]}"


def _heading(group: Sequence[ReportedEntry]) -> str:
    first = group[0]
    regime = "" if first.regime == "base classes" else f", {REGIME_NAMES[first.regime]}"
    return f"{as_reported(first)}{regime}"


def _measured(entry: Entry, folds: Iterable[int]) -> list[Cell]:
    by_fold = {fold.fold: percent(fold.miou.value, without="") for fold in entry.folds}
    best = entry.rank is not None and not _separable(entry)
    behind, sure = entry.difference, sure_of(entry.difference)
    bounds = f" [{signed(sure.low, 1)}, {signed(sure.high, 1)}]" if sure else ""
    return [
        Cell(text=str(entry.rank or "")),
        Cell(text=entry.label + ("" if entry.official else "*"), cites=keys(of_model(entry.model.name))),
        *(Cell(text=by_fold.get(fold, "")) for fold in folds),
        Cell(text=percent(entry.miou.value, without=""), spread=_spread(entry.miou), bold=best),
        Cell(text=percent(entry.fb_iou.value, without=""), spread=_spread(entry.fb_iou)),
        Cell(text="" if behind.value is None else f"{signed(behind.value, 2)}{bounds}"),
        Cell(text=entry.source),
    ]


def _separable(entry: Entry) -> bool:
    """Whether an entry's mean is below the best one's by more than chance, or nobody can say."""
    if entry.rank == 1:
        return False
    sure = sure_of(entry.difference)
    return sure is None or not sure.low <= 0 <= sure.high


def _spread(score: Score) -> str:
    """How far a figure may be off, in points: the farther end of its interval."""
    sure = sure_of(score)
    if sure is None or score.value is None:
        return ""
    return f"{100 * max(sure.high - score.value, score.value - sure.low):.1f}"


def _reported(row: ReportedEntry, folds: Iterable[int]) -> list[Cell]:
    def figure(value: float | None) -> Cell:
        return Cell(text=one_decimal(value, without=""))

    sources = dict.fromkeys(f"{one.paper} {year_of(one)}".strip() for one in row.printed)
    return [
        Cell(text=""),
        Cell(text=f"{row.label}†"),
        *(figure(row.folds[fold] if fold < len(row.folds) else None) for fold in folds),
        figure(row.miou),
        figure(row.fb_iou),
        Cell(text=""),
        Cell(text=", ".join(sources), cites=keys(of_printed(row.printed))),
    ]

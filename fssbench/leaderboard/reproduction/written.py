"""Measured figures beside reported ones, as a table of a paper."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from fssbench.leaderboard.cited import bibtex, keys, of_model
from fssbench.leaderboard.reported import Paper, Table
from fssbench.leaderboard.reproduction.measured import Figure, Measured
from fssbench.leaderboard.typeset import Cell, Part, Typeset, latex, markdown

__all__ = ["written"]

COLUMNS = (
    "method",
    "backbone",
    "benchmark",
    "protocol",
    "shot",
    "figure",
    "measured",
    "reported",
    "difference",
    "low",
    "high",
)
SPREAD = "±: the farther end of the 95 % interval, in points."
REPORTED = "†: as the paper prints it."
BOLD = "Bold: measured, and what is reported lies within its interval."


def written(paper: Paper, table: Table, measured: Sequence[Measured], form: str) -> bytes:
    """What was measured of a table's rows, as ``latex``, ``markdown``, ``csv`` or ``bibtex``."""
    if form == "csv":
        return _csv(measured)
    if form == "bibtex":
        ours = [own for one in measured if one.row.ours for own in of_model(one.row.ours.model)]
        return bibtex([paper, *ours])
    tables = [_typeset(paper, table, measured)]
    return latex(tables) if form == "latex" else markdown(tables)


def _typeset(paper: Paper, table: Table, measured: Sequence[Measured]) -> Typeset:
    folds = max((len(one.folds) for one in measured), default=0)
    return Typeset(
        title=f"{paper.name} {table.number}: {table.title}, measured beside reported, mIoU in %",
        head=("method", "shots", *(f"fold {fold}" for fold in range(folds)), "mean", "FB-IoU"),
        words=("method",),
        parts=[Part(rows=_rows(paper, one, folds)) for one in measured],
        notes=(SPREAD, REPORTED, BOLD),
    )


def _rows(paper: Paper, one: Measured, folds: int) -> list[list[Cell]]:
    """A row as it is reported, and as it was measured."""
    row, absent = one.row, [None] * (folds - len(one.folds))
    figures = [*one.folds, *absent, one.mean, one.fb_iou]
    name = " ".join(filter(None, (row.label, row.backbone)))
    reported = [Cell(text="" if f is None or f.reported is None else f"{f.reported:.1f}") for f in figures]
    found = [Cell(text="") if f is None else _measured(f) for f in figures]
    return [
        [Cell(text=f"{name}†", cites=keys([paper])), Cell(text=str(row.shot)), *reported],
        [Cell(text="measured" if one.results else "not measured"), Cell(text=""), *found],
    ]


def _measured(figure: Figure) -> Cell:
    if figure.value is None:
        return Cell(text="")
    spread = ""
    if figure.interval:
        low, high = figure.interval
        spread = f"{max(high - figure.value, figure.value - low):.1f}"
    return Cell(text=f"{figure.value:.2f}", spread=spread, bold=bool(figure.inside))


def _csv(measured: Sequence[Measured]) -> bytes:
    """A line a figure; empty where there is none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in measured:
        row = one.row
        asked = (row.label, row.backbone, row.benchmark, row.protocol, row.shot)
        for name, figure in _figures(one):
            low, high = figure.interval or (None, None)
            writer.writerow([*asked, name, figure.value, figure.reported, figure.difference, low, high])
    return text.getvalue().encode()


def _figures(one: Measured) -> Iterator[tuple[str, Figure]]:
    yield from ((f"fold {number}", figure) for number, figure in enumerate(one.folds))
    yield from (("mean", one.mean), ("FB-IoU", one.fb_iou))

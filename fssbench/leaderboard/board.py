"""A leaderboard: what is stored as JSON, read as tables, and worked with in pandas."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import model_validator

from fssbench.base.errors import ResultError
from fssbench.base.records import Record, read_record
from fssbench.leaderboard.flat import rows, table
from fssbench.leaderboard.standings import print_rankings
from fssbench.schemas.leaderboard import Entry, ReportedEntry

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Leaderboard", "read_leaderboard"]

SHOWN = [
    "benchmark",
    "protocol",
    "shot",
    "regime",
    "rank",
    "model",
    "miou",
    "miou_low",
    "miou_high",
    "fb_iou",
    "official",
]
"""Columns that a notebook shows."""


class Leaderboard(Record):
    """All entries, best first within each group; and what papers report, apart from them."""

    schema_version: Literal[2]
    kind: Literal["fssbench-leaderboard"]
    entries: tuple[Entry, ...]
    reported: tuple[ReportedEntry, ...]

    @staticmethod
    def of(entries: tuple[Entry, ...], reported: tuple[ReportedEntry, ...]) -> Leaderboard:
        """A leaderboard of the present schema."""
        return Leaderboard(schema_version=2, kind="fssbench-leaderboard", entries=entries, reported=reported)

    @model_validator(mode="after")
    def _distinct(self) -> Leaderboard:
        times = Counter([entry.id for entry in self.entries] + [row.id for row in self.reported])
        if several := [name for name, n in times.items() if n > 1]:
            raise ValueError(f"{several[0]} is the id of {times[several[0]]} entries")
        return self

    def groups(self) -> Iterator[tuple[Entry, ...]]:
        """Entries of one ranking, group by group."""
        for _, entries in groupby(self.entries, key=lambda entry: entry.group):
            yield tuple(entries)

    def reported_groups(self) -> Iterator[tuple[ReportedEntry, ...]]:
        """Reported rows of one benchmark, number of shots and protocol, group by group; ablations apart."""
        for _, group in groupby(self.reported, key=lambda row: (row.group, row.ablation)):
            yield tuple(group)

    def reported_beside(self) -> Iterator[tuple[ReportedEntry, ...]]:
        """Of `reported_groups` those of benchmarks and shots that something was measured on; all if nothing was."""
        measured = {(entry.benchmark, entry.shot) for entry in self.entries}
        return (
            group for group in self.reported_groups() if not measured or (group[0].benchmark, group[0].shot) in measured
        )

    def to_json(self) -> str:
        """The leaderboard as it is stored: indented JSON that ends in a newline."""
        return self.model_dump_json(indent=1) + "\n"

    def to_pandas(self) -> pd.DataFrame:
        """A row an entry, measured ones first; figures are shares in [0, 1], missing where there is nothing to say."""
        return table(rows(self.entries, self.reported))

    def __str__(self) -> str:
        """The rankings, as ``fssbench leaderboard build`` prints them."""
        from rich.console import Console

        text = io.StringIO()
        print_rankings(self.groups(), console=Console(file=text))
        return text.getvalue().rstrip("\n")

    def _repr_html_(self) -> str:
        """What a notebook shows: every entry with its main figures."""
        html: str = self.to_pandas()[SHOWN].to_html(index=False, na_rep="—", float_format="%.4f")
        return html


def read_leaderboard(path: Path) -> Leaderboard:
    """Read a leaderboard file; `ResultError` naming the file if it is missing or no leaderboard."""
    return read_record(
        path,
        Leaderboard,
        error=ResultError,
        damaged="is not a leaderboard of this version",
        remedy="make it again with fssbench leaderboard build",
        bring="make it with fssbench leaderboard build",
    )

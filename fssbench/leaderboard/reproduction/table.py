"""A table, or some of its rows, with what it takes to measure them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fssbench.leaderboard.reported import Row, Table
from fssbench.leaderboard.reproduction.commands import Commands, Step
from fssbench.leaderboard.reproduction.measured import Measured, measure
from fssbench.leaderboard.reproduction.places import Places, Results
from fssbench.leaderboard.reproduction.plan import Planner
from fssbench.leaderboard.reproduction.runs import Evaluation

__all__ = ["Reproduction"]


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """Some rows of a table.

    Attributes:
        folds: those to run, all if empty.
        commands: how the commands are written.
    """

    table: Table
    rows: Sequence[Row]
    places: Places
    commands: Commands
    folds: Sequence[int] = ()

    def steps(self) -> list[Step]:
        """The commands, in order, as things stand."""
        return self._planner().steps(self.rows, costs=self.table.costs)

    def damaged(self) -> list[str]:
        """What is wrong with results that cannot be read; which row they are of, they do not say."""
        return Results(self.places.results).damaged

    def measure(self) -> list[Measured]:
        """What results say of the rows that can be measured and say how good a method is."""
        planner = self._planner()
        return [self._measure(row, planner) for row in self.rows if row.obstacle is None and row.scored]

    def _measure(self, row: Row, planner: Planner) -> Measured:
        wanted = Evaluation.of(row)
        found: list[list[Path]] = []
        for fold in range(len(wanted.benchmark.folds)):
            by_seed = planner.found(wanted, fold)
            found.append([path for path in by_seed if path] if all(by_seed) else [])
        policy = replace(wanted.rules.headline, exclude_ignored=row.ignore_label)
        return measure(row, found, policy=policy.name)

    def _planner(self) -> Planner:
        """With the results as they are now."""
        results = Results(self.places.results)
        return Planner(places=self.places, results=results, commands=self.commands, folds=self.folds)

"""A table, or some of its rows, with what it takes to measure them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from fssbench.base.errors import UsageError
from fssbench.base.home import Home
from fssbench.base.progress import Report
from fssbench.leaderboard.reported import Paper, Row, Table, find_table
from fssbench.leaderboard.reproduction.given import Given
from fssbench.leaderboard.reproduction.measured import Measured, measure
from fssbench.leaderboard.reproduction.places import Places, Results
from fssbench.leaderboard.reproduction.plan import Planner
from fssbench.leaderboard.reproduction.runs import Evaluation, wanted_folds, wanted_rows
from fssbench.leaderboard.reproduction.settings import WHOLE, Settings, Trial
from fssbench.leaderboard.reproduction.steps import Step, profile
from fssbench.training.folder import RunFolder

if TYPE_CHECKING:
    from fssbench.engine.profile import Profile

__all__ = ["Reproduction"]


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """Some rows of a table.

    Attributes:
        folds: those to run, all if empty.
        settings: what steps share.
    """

    table: Table
    rows: Sequence[Row]
    places: Places
    settings: Settings
    folds: Sequence[int] = ()

    @classmethod
    def of(
        cls,
        table: str,
        *,
        among: Sequence[Paper],
        backbones: Sequence[str] = (),
        shots: Sequence[int] = (),
        folds: Sequence[int] = (),
        data: Path | None = None,
        output: Path | None = None,
        device: str | None = None,
        trial: Trial | None = None,
        given: Given | None = None,
    ) -> Self:
        """The rows of a table that are asked for.

        Args:
            among: papers whose tables are known.
            backbones: those of the rows; all if empty, and likewise ``shots`` and ``folds``.
            data: the folder of sets; ``None`` for the home.
            output: where results lie; ``None`` for the home.
            device: where models run; ``None`` for ``auto``.
            trial: do as little as it says, in a folder of its own, to see that everything runs.
            given: to single steps; ``None`` for what the process's environment names.

        Raises:
            UsageError: there is no such table, or it has no such row or training.
        """
        found = find_table(table, among=among)
        variants = [Evaluation.of(row).variant for row in found.rows if row.obstacle is None]
        given = Given(environment=os.environ) if given is None else given
        trained = [variant for variant in variants if variant.is_trained]
        given.require_known([*trained, *(v.base_learner for v in trained if v.base_learner)], table=found.name)
        home = Home(Home.find().path / "trial") if trial else Home.find()
        places = Places(sets=data or home.episodes, checkpoints=home.checkpoints, results=output or home.results)
        return cls(
            table=found,
            rows=wanted_rows(found, backbones=backbones, shots=shots),
            places=places,
            settings=Settings(
                sets=places.sets if trial else data,
                results=places.results if trial else output,
                device=device,
                trial=trial or WHOLE,
                given=given,
            ),
            folds=folds,
        )

    def steps(self) -> list[Step]:
        """All it takes, in order, as things stand."""
        return self._planner().steps(self.rows, costs=self.table.costs)

    def run(self, report: Report) -> None:
        """Take the steps whose outcome is not there yet, one after the other, until one fails.

        Raises:
            UsageError: a step lacks what only the user can bring; none was taken.
            FssbenchError: a step failed; what earlier ones made is kept.
        """
        missing = [step for step in self.steps() if not step.there and step.kind != "profile"]
        for lack in dict.fromkeys(step.missing for step in missing):
            if lack is not None:
                raise UsageError(f"{self.table.name} lacks {lack.what}", remedy=lack.remedy)
        for n, step in enumerate(missing, 1):
            report.say(f"[{n}/{len(missing)}] {step.command}")
            step.run(report)

    def trainings(self) -> list[Path]:
        """Folders of the rows' trainings, those of base learners among them, that hold a log."""
        runs = dict.fromkeys(Evaluation.of(row) for row in self.rows if row.obstacle is None and row.scored)
        variants = dict.fromkeys(
            one for run in runs for one in (run.variant.base_learner, run.variant) if one and one.is_trained
        )
        found = [
            self.places.training(variant, fold)
            for variant in variants
            for fold in wanted_folds(variant.benchmark, self.folds)
        ]
        return [folder for folder in found if RunFolder(folder).log.is_file()]

    def costs(self) -> list[tuple[Row, Profile]]:
        """What the rows that print costs cost here."""
        return [(row, profile(step)) for row, step in self._planner().profiles(self.rows)] if self.table.costs else []

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
        return Planner(places=self.places, results=results, settings=self.settings, folds=self.folds)

"""A table as steps, in the order they are run, each with whether what it makes is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fssbench.benchmarks import FSS_1000
from fssbench.leaderboard.reported import Row
from fssbench.reproduction.commands import Commands, Step
from fssbench.reproduction.places import Places, Results
from fssbench.reproduction.runs import Evaluation, Variant, wanted_folds

__all__ = ["Planner"]

BASE_LEARNERS = {"hdmnet": "pspnet"}
"""Models that are trained on top of another, which is trained on the same base classes before."""

Run = tuple[Evaluation, int]
"""An evaluation on one fold."""


@dataclass(frozen=True, kw_only=True)
class Planner:
    """Makes the steps for some rows of a table.

    Attributes:
        folds: those to run, all if empty.
    """

    places: Places
    results: Results
    commands: Commands
    folds: Sequence[int] = ()

    def steps(self, rows: Sequence[Row], *, costs: bool = False) -> list[Step]:
        """Episode and training sets, then every variant fold by fold, then what it costs.

        What only a result that is there was made from is left out.
        """
        asked = dict.fromkeys(Evaluation.of(row) for row in rows if row.obstacle is None and row.scored)
        runs = [(one, fold) for one in asked for fold in wanted_folds(one.benchmark, self.folds)]
        missing = [run for run in runs if not self._answered(*run)]
        training = dict.fromkeys((one.variant, fold, one.protocol) for one, fold in missing)
        untrained = [(v, fold, p) for v, fold, p in training if self.places.checkpoint(v, fold) is None]
        steps = [
            *self._sets([*missing, *(_validation(v, fold, p) for v, fold, p in untrained)]),
            *self._training_sets([v for v, _, _ in untrained]),
        ]
        for variant, fold in dict.fromkeys((one.variant, fold) for one, fold in runs):
            steps += [step for v, f, p in training if (v, f) == (variant, fold) for step in self._trainings(v, f, p)]
            steps += self._evaluations([one for one, f in runs if (one.variant, f) == (variant, fold)], fold)
        steps += self._profiles(rows) if costs else ()
        return list({step.arguments: step for step in steps}.values())

    def episodes(self, wanted: Evaluation) -> int:
        """Episodes of a track: the protocol's, or the trial's."""
        return self.commands.trial.episodes or wanted.rules.episodes_of(wanted.benchmark)

    def found(self, wanted: Evaluation, fold: int) -> list[Path | None]:
        """The result of every seed, or ``None`` where it is missing."""
        n = self.episodes(wanted)
        return [self.results.of(wanted, fold, seed, episodes=n) for seed in wanted.rules.seeds]

    def _answered(self, wanted: Evaluation, fold: int) -> bool:
        return all(self.found(wanted, fold))

    def _sets(self, runs: Sequence[Run]) -> Iterator[Step]:
        for benchmark, protocol in dict.fromkeys((one.benchmark, one.protocol) for one, _ in runs):
            these = [(one, fold) for one, fold in runs if (one.benchmark, one.protocol) == (benchmark, protocol)]
            shots, folds = sorted({one.shot for one, _ in these}), sorted({fold for _, fold in these})
            n = self.episodes(these[0][0])
            yield Step(
                kind="prepare",
                arguments=self.commands.prepare(benchmark, protocol, shots=shots, folds=folds),
                there=all(self.places.has_set(one, fold, episodes=n) for one, fold in these),
                makes=self.places.sets / benchmark.name / protocol,
            )

    def _training_sets(self, variants: Sequence[Variant]) -> Iterator[Step]:
        for benchmark in dict.fromkeys(variant.benchmark for variant in variants):
            path = self.places.training_set(benchmark)
            arguments = self.commands.prepare_training(benchmark)
            yield Step(kind="prepare", arguments=arguments, there=path.is_file(), makes=path.parent)

    def _trainings(self, variant: Variant, fold: int, protocol: str) -> Iterator[Step]:
        """A variant's training, after that of its base learner if it has one."""
        trained, weights = self.places.checkpoint(variant, fold), None
        folder = self.places.training(variant, fold)
        below = _base_learner(variant)
        if below is not None:
            own, weights = self.places.training(below, fold), self.places.checkpoint(below, fold)
            if trained is None:
                arguments = self.commands.train(below, fold, folder=own, select_on="last")
                yield Step(kind="train", arguments=arguments, there=weights is not None, makes=own)
            weights = weights or self.places.last(below, fold)
        on_test_fold = variant.benchmark != FSS_1000  # the one benchmark with classes to choose by
        yield Step(
            kind="train",
            arguments=self.commands.train(
                variant,
                fold,
                folder=folder,
                select_on="test-fold" if on_test_fold else "base-val",
                protocol=protocol if on_test_fold else None,
                base_learner=weights,
            ),
            there=trained is not None,
            makes=trained or folder,
        )

    def _evaluations(self, wanted: Sequence[Evaluation], fold: int) -> Iterator[Step]:
        """One command for all shots of a benchmark and protocol."""
        for benchmark, protocol in dict.fromkeys((one.benchmark, one.protocol) for one in wanted):
            these = [one for one in wanted if (one.benchmark, one.protocol) == (benchmark, protocol)]
            variant = these[0].variant
            weights = self.places.checkpoint(variant, fold) or self.places.best(variant, fold)
            shots = sorted(one.shot for one in these)
            yield Step(
                kind="eval",
                arguments=self.commands.evaluate(variant, benchmark, protocol, fold=fold, shots=shots, weights=weights),
                there=all(self._answered(one, fold) for one in these),
                makes=self.places.results,
            )

    def _profiles(self, rows: Sequence[Row]) -> Iterator[Step]:
        """Of the rows that say what one of our models costs; in a table about that, those of one shot do."""
        for row in rows:
            if row.ours is not None and row.learnable_parameters is not None and row.shot == 1:
                arguments = self.commands.profile(Evaluation.of(row).variant)
                yield Step(kind="profile", arguments=arguments, there=False, makes=None, row=row)


def _validation(variant: Variant, fold: int, protocol: str) -> Run:
    """What a training is validated on, where its weights are chosen on the test fold."""
    return Evaluation(variant=variant, benchmark=variant.benchmark, protocol=protocol, shot=variant.shot), fold


def _base_learner(variant: Variant) -> Variant | None:
    """The model that has to be trained before, on the same base classes, or ``None``."""
    below = BASE_LEARNERS.get(variant.model)
    if below is None:
        return None
    pairs = tuple(pair for pair in variant.pairs if pair[0] == "backbone")
    return Variant(model=below, pairs=pairs, benchmark=variant.benchmark)

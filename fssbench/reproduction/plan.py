"""A table as commands, in the order they are run, each with whether what it makes is there."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fssbench.benchmarks import FSS_1000
from fssbench.leaderboard.reported import Row
from fssbench.reproduction.places import BEST, LAST, Places, Results
from fssbench.reproduction.runs import Evaluation, Variant, wanted_folds

__all__ = ["WHOLE", "Kind", "Planner", "Step", "Trial", "base_learner", "costs_of"]

Kind = Literal["prepare", "train", "eval", "profile"]

BASE_LEARNERS = {"hdmnet": "pspnet"}
"""Models that are trained on top of another, which is trained on the same base classes before."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """How much less than the table's is done, to see whether everything runs; ``None`` for no less."""

    episodes: int | None = None
    steps: int | None = None


WHOLE = Trial()
"""Nothing less."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A command of fssbench.

    Attributes:
        arguments: what stands behind ``fssbench``.
        there: whether what it makes is there already.
        makes: the file or folder it makes; ``None`` for a profile, which is printed.
        row: that a profile is of.
    """

    kind: Kind
    arguments: tuple[str, ...]
    there: bool
    makes: Path | None
    row: Row | None = None

    @property
    def command(self) -> str:
        """As one would type it."""
        return shlex.join(("fssbench", *self.arguments))


@dataclass(frozen=True, kw_only=True)
class Planner:
    """Makes the steps for some rows of a table.

    Attributes:
        folds: those to run, all if empty.
        device: where models run; ``None`` leaves it to the commands.
    """

    places: Places
    results: Results
    folds: Sequence[int] = ()
    trial: Trial = WHOLE
    device: str | None = None

    def steps(self, rows: Sequence[Row], *, costs: bool = False) -> list[Step]:
        """Episode and training sets, then every variant fold by fold, then what it costs.

        What only a result that is there was made from is left out.
        """
        asked = dict.fromkeys(Evaluation.of(row) for row in rows if row.obstacle is None and row.scored)
        runs = [(one, fold) for one in asked for fold in wanted_folds(one.benchmark, self.folds)]
        missing = [run for run in runs if not self._answered(*run)]
        training = list(dict.fromkeys((one.variant, one.protocol, fold) for one, fold in missing))
        untrained = [(v, p, fold) for v, p, fold in training if self.places.checkpoint(v, fold) is None]
        validating = [
            (Evaluation(variant=v, benchmark=v.benchmark, protocol=p, shot=v.shot), fold) for v, p, fold in untrained
        ]
        steps = [*self._sets([*missing, *validating]), *self._training_sets([v for v, _, _ in untrained])]
        for variant, fold in dict.fromkeys((one.variant, fold) for one, fold in runs):
            steps += [step for v, p, f in training if (v, f) == (variant, fold) for step in self._trainings(v, p, f)]
            steps += self._evaluations([one for one, f in runs if (one.variant, f) == (variant, fold)], fold)
        return [*steps, *(self._profiles(rows) if costs else ())]

    def episodes(self, wanted: Evaluation) -> int:
        """Episodes of a track: the protocol's, or the trial's."""
        return self.trial.episodes or wanted.rules.episodes_of(wanted.benchmark)

    def found(self, wanted: Evaluation, fold: int) -> list[Path | None]:
        """The result of every seed, or ``None`` where it is missing."""
        n = self.episodes(wanted)
        return [self.results.of(wanted, fold, seed, episodes=n) for seed in wanted.rules.seeds]

    def _answered(self, wanted: Evaluation, fold: int) -> bool:
        return all(self.found(wanted, fold))

    def _sets(self, runs: Sequence[tuple[Evaluation, int]]) -> Iterator[Step]:
        for benchmark, protocol in dict.fromkeys((one.benchmark, one.protocol) for one, _ in runs):
            these = [(one, fold) for one, fold in runs if (one.benchmark, one.protocol) == (benchmark, protocol)]
            shots = sorted({one.shot for one, _ in these})
            folds = sorted({fold for _, fold in these})
            n = self.episodes(these[0][0])
            yield Step(
                kind="prepare",
                arguments=(
                    *("prepare", benchmark.alias, "--protocol", protocol),
                    *("--shots", ",".join(map(str, shots))),
                    *_repeated("--fold", () if len(folds) == len(benchmark.folds) else folds),
                    *(("--episodes", str(n)) if self.trial.episodes else ()),
                    *("--output", str(self.places.sets)),
                ),
                there=all(self.places.has_set(one, fold, episodes=n) for one, fold in these),
                makes=self.places.sets / benchmark.name / protocol,
            )

    def _training_sets(self, variants: Sequence[Variant]) -> Iterator[Step]:
        for benchmark in dict.fromkeys(variant.benchmark for variant in variants):
            yield Step(
                kind="prepare",
                arguments=("prepare", benchmark.alias, "--train", "--output", str(self.places.sets)),
                there=self.places.has_training_set(benchmark),
                makes=self.places.training_set(benchmark),
            )

    def _trainings(self, variant: Variant, protocol: str, fold: int) -> Iterator[Step]:
        """A variant's training, after that of its base learner if it has one."""
        below = base_learner(variant)
        trained = self.places.checkpoint(variant, fold)
        weights = None
        if below is not None:
            weights = self.places.checkpoint(below, fold)
            if trained is None:
                yield self._training(below, fold, weights, select_on="last")
            weights = weights or self.places.training(below, fold) / LAST
        select_on = "base-val" if variant.benchmark == FSS_1000 else "test-fold"
        more: list[str] = [] if select_on == "base-val" else ["--protocol", protocol]
        more += [] if weights is None else ["--backbone-weights", str(weights)]
        yield self._training(variant, fold, trained, select_on=select_on, more=more)

    def _training(
        self, variant: Variant, fold: int, trained: Path | None, *, select_on: str, more: Sequence[str] = ()
    ) -> Step:
        folder = self.places.training(variant, fold)
        return Step(
            kind="train",
            arguments=(
                *("train", *_model(variant), "--benchmark", variant.benchmark.alias, "--fold", str(fold)),
                *("--shot", str(variant.shot), "--select-on", select_on, *more),
                *(("--max-steps", str(self.trial.steps)) if self.trial.steps else ()),
                *("--data", str(self.places.sets), "--output", str(folder), *self._on_device),
            ),
            there=trained is not None,
            makes=trained or folder,
        )

    def _evaluations(self, wanted: Sequence[Evaluation], fold: int) -> Iterator[Step]:
        """One command for all shots of a benchmark and protocol."""
        for benchmark, protocol in dict.fromkeys((one.benchmark, one.protocol) for one in wanted):
            these = [one for one in wanted if (one.benchmark, one.protocol) == (benchmark, protocol)]
            variant = these[0].variant
            weights = self.places.checkpoint(variant, fold) or self.places.training(variant, fold) / BEST
            yield Step(
                kind="eval",
                arguments=(
                    *("eval", *_model(variant), "--benchmark", benchmark.alias, "--protocol", protocol),
                    *("--fold", str(fold), *_repeated("--shot", sorted(one.shot for one in these))),
                    *(("--episodes", str(self.trial.episodes)) if self.trial.episodes else ()),
                    *("--weights", str(weights), "--data", str(self.places.sets)),
                    *("--output", str(self.places.results), *self._on_device),
                ),
                there=all(self._answered(one, fold) for one in these),
                makes=self.places.results,
            )

    def _profiles(self, rows: Sequence[Row]) -> Iterator[Step]:
        priced = {Evaluation.of(row).variant: row for row in rows if costs_of(row)}
        for variant, row in priced.items():
            arguments = ("profile", *_model(variant), "--shot", str(variant.shot), *self._on_device)
            yield Step(kind="profile", arguments=arguments, there=False, makes=None, row=row)

    @property
    def _on_device(self) -> tuple[str, ...]:
        return () if self.device is None else ("--device", self.device)


def costs_of(row: Row) -> bool:
    """Whether a row says what one of our models costs: in a table about that, those of one shot do."""
    return row.ours is not None and row.learnable_parameters is not None and row.shot == 1


def base_learner(variant: Variant) -> Variant | None:
    """The model that has to be trained before, on the same base classes, or ``None``."""
    below = BASE_LEARNERS.get(variant.model)
    if below is None:
        return None
    pairs = tuple(pair for pair in variant.pairs if pair[0] == "backbone")
    return Variant(model=below, pairs=pairs, benchmark=variant.benchmark)


def _model(variant: Variant) -> Iterator[str]:
    yield from ("--model", variant.model)
    if variant.backbone is not None:
        yield from ("--backbone", variant.backbone)
    for name, value in variant.others:
        yield from ("--option", f"{name}={str(value).lower() if isinstance(value, bool) else value}")


def _repeated(option: str, values: Iterable[int]) -> Iterator[str]:
    for value in values:
        yield from (option, str(value))

"""The commands of fssbench that a table takes, as their arguments."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fssbench.episodes.benchmarks import Benchmark
from fssbench.leaderboard.reported import Row
from fssbench.leaderboard.reproduction.runs import Variant

__all__ = ["WHOLE", "Commands", "Kind", "Step", "Trial"]

Kind = Literal["prepare", "train", "eval", "profile"]


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
class Trial:
    """How much less than the table's is done, to see whether everything runs; ``None`` for no less."""

    episodes: int | None = None
    steps: int | None = None


WHOLE = Trial()
"""Nothing less."""


@dataclass(frozen=True, kw_only=True)
class Commands:
    """Writes commands that share some settings; what is left ``None`` is not named, and is the command's default.

    Attributes:
        sets: where episode and training sets lie.
        results: where results go.
        device: where models run.
    """

    sets: Path | None = None
    results: Path | None = None
    device: str | None = None
    trial: Trial = WHOLE

    def prepare(
        self, benchmark: Benchmark, protocol: str, *, shots: Iterable[int], folds: Sequence[int]
    ) -> tuple[str, ...]:
        """Build the episode sets of some folds."""
        return (
            *("prepare", benchmark.alias, "--protocol", protocol, "--shots", ",".join(map(str, shots))),
            *_repeated("--fold", () if len(folds) == len(benchmark.folds) else folds),
            *_option("--episodes", self.trial.episodes),
            *_option("--output", self.sets),
        )

    def prepare_training(self, benchmark: Benchmark) -> tuple[str, ...]:
        """Build the training set."""
        return ("prepare", benchmark.alias, "--train", *_option("--output", self.sets))

    def train(
        self,
        variant: Variant,
        fold: int,
        *,
        folder: Path,
        select_on: str,
        protocol: str | None = None,
        base_learner: Path | None = None,
        resume: bool = False,
    ) -> tuple[str, ...]:
        """Train a variant.

        Args:
            protocol: of the episodes that weights are chosen by, if they are the test fold's.
            base_learner: the weights it is built on.
            resume: go on with what is in the folder.
        """
        return (
            *("train", *_model(variant), "--benchmark", variant.benchmark.alias, "--fold", str(fold)),
            *("--shot", str(variant.shot), "--select-on", select_on, *_option("--protocol", protocol)),
            *_option("--backbone-weights", base_learner),
            *_option("--max-steps", self.trial.steps),
            *_option("--data", self.sets),
            *("--output", str(folder), *(("--resume",) if resume else ())),
            *_option("--device", self.device),
        )

    def evaluate(
        self,
        variant: Variant,
        benchmark: Benchmark,
        protocol: str,
        *,
        folds: Sequence[int],
        shots: Sequence[int],
        weights: Path | None,
    ) -> tuple[str, ...]:
        """Ask a variant the episodes of some folds, at some numbers of shots."""
        return (
            *("eval", *_model(variant), "--benchmark", benchmark.alias, "--protocol", protocol),
            *_repeated("--fold", () if len(folds) == len(benchmark.folds) else folds),
            *(*_repeated("--shot", shots), *_option("--weights", weights)),
            *_option("--episodes", self.trial.episodes),
            *_option("--data", self.sets),
            *_option("--output", self.results),
            *_option("--device", self.device),
        )

    def profile(self, variant: Variant) -> tuple[str, ...]:
        """Measure what an episode costs."""
        return ("profile", *_model(variant), "--shot", str(variant.shot), *_option("--device", self.device))


def _model(variant: Variant) -> Iterator[str]:
    yield from ("--model", variant.model)
    yield from _option("--backbone", variant.backbone)
    for name, value in variant.others:
        yield from ("--option", f"{name}={str(value).lower() if isinstance(value, bool) else value}")


def _option(name: str, value: object) -> tuple[str, ...]:
    return () if value is None else (name, str(value))


def _repeated(name: str, values: Iterable[int]) -> Iterator[str]:
    for value in values:
        yield from (name, str(value))

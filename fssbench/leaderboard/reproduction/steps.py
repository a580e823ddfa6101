"""The steps that a table takes: each is a call of fssbench, and the command that one would type for the same."""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from fssbench.base.errors import FssbenchError, UsageError
from fssbench.base.home import Home
from fssbench.base.progress import Report
from fssbench.episodes.benchmarks import Benchmark
from fssbench.leaderboard.reported import Row
from fssbench.leaderboard.reproduction.runs import Variant

if TYPE_CHECKING:
    from fssbench.engine.profile import Profile

__all__ = [
    "WHOLE",
    "EvaluateStep",
    "Kind",
    "PrepareStep",
    "PrepareTrainingStep",
    "ProfileStep",
    "Settings",
    "Step",
    "TrainStep",
    "Trial",
]

Kind = Literal["prepare", "train", "eval", "profile"]

RAW_DATA: dict[str, type] = {
    "source": str,
    "splits": str,
    "mask-rule": str,
    "masks": str,
    "crowds": str,
    "workers": int,
}
DRAWING: dict[str, type] = {"min-pixels": int, "loader-workers": int}
TRAINING: dict[str, type] = {"list": str, "config": str, "batch": int, "precision": str, "workers": int}
INFERENCE: dict[str, type] = {"batch": int, "feature-cache": str, "precision": str, "workers": int}
"""Options of steps that a reproduction has not, by name: what data there are, and what suits the machine."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """How much less than the table's is done, to see whether everything runs; ``None`` for no less."""

    episodes: int | None = None
    steps: int | None = None


WORKERS = 4
"""Decoding threads, if the environment names no other number."""

WHOLE = Trial()
"""Nothing less."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What steps share; ``None`` for the default.

    Attributes:
        sets: where episode and training sets lie.
        results: where results go.
        device: where models run.
        environment: variables such as ``FSSBENCH_PREPARE_COCO_SOURCE``, which name options of steps that a
            reproduction has not, as they do for the commands.
    """

    sets: Path | None = None
    results: Path | None = None
    device: str | None = None
    trial: Trial = WHOLE
    environment: Mapping[str, str] = field(default_factory=dict)

    def given(self, command: str, options: Mapping[str, type]) -> dict[str, Any]:
        """The options of a command that the environment names; `UsageError` for a value of the wrong type."""
        found: dict[str, Any] = {}
        for name, kind in options.items():
            variable = f"FSSBENCH_{command}_{name}".upper().replace("-", "_")
            if value := self.environment.get(variable):
                try:
                    found[name] = kind(value)
                except ValueError as error:
                    raise UsageError(f"{variable} must be an integer, got '{value}'") from error
        return found


@dataclass(frozen=True, kw_only=True)
class Step(ABC):
    """A step of the line. Its fields are all that the call and the command are made of.

    Attributes:
        there: whether what it makes is there already.
        makes: the file or folder it makes; ``None`` for a profile.
    """

    kind: ClassVar[Kind]
    settings: Settings
    there: bool = False
    makes: Path | None = None

    @property
    def arguments(self) -> tuple[str, ...]:
        """What stands behind ``fssbench`` in the command."""
        return (*self._arguments, *(word for name, value in self.given.items() for word in (f"--{name}", str(value))))

    @property
    @abstractmethod
    def _arguments(self) -> tuple[str, ...]:
        """Those that follow from the step's fields."""

    @property
    @abstractmethod
    def given(self) -> dict[str, Any]:
        """Options that the environment names."""

    @property
    def command(self) -> str:
        """As one would type it."""
        return shlex.join(("fssbench", *self.arguments))

    def run(self, report: Report) -> None:
        """Take the step; `FssbenchError` naming the command if it fails."""
        try:
            self._call(report)
        except FssbenchError as error:
            mended = "once that is mended, run this again: what is finished is kept"
            raise FssbenchError(
                f"'{self.command}' failed: {error.problem}", remedy="; ".join(filter(None, (error.remedy, mended)))
            ) from error

    @abstractmethod
    def _call(self, report: Report) -> None: ...


@dataclass(frozen=True, kw_only=True)
class PrepareStep(Step):
    """Builds the episode sets of some folds, all if ``folds`` is ``None``."""

    kind = "prepare"
    benchmark: Benchmark
    protocol: str
    shots: tuple[int, ...]
    folds: tuple[int, ...] | None

    @property
    def _arguments(self) -> tuple[str, ...]:
        return (
            *("prepare", self.benchmark.alias, "--protocol", self.protocol, "--shots", ",".join(map(str, self.shots))),
            *_repeated("--fold", self.folds or ()),
            *_option("--episodes", self.settings.trial.episodes),
            *_option("--output", self.settings.sets),
        )

    @property
    def given(self) -> dict[str, Any]:
        """Options that the environment names."""
        return self.settings.given(f"prepare_{self.benchmark.alias}", RAW_DATA | DRAWING)

    def _call(self, report: Report) -> None:
        from fssbench.api.prepare import prepare

        prepare(
            self.benchmark.alias,
            protocol=self.protocol,
            shots=self.shots,
            folds=self.folds,
            episodes=self.settings.trial.episodes,
            output=self.settings.sets,
            report=report,
            **{name.replace("-", "_"): value for name, value in self.given.items()},
        )


@dataclass(frozen=True, kw_only=True)
class PrepareTrainingStep(Step):
    """Builds the training set."""

    kind = "prepare"
    benchmark: Benchmark

    @property
    def _arguments(self) -> tuple[str, ...]:
        rule, output = _option("--mask-rule", self._mask_rule), _option("--output", self.settings.sets)
        return ("prepare", self.benchmark.alias, "--train", *rule, *output)

    @property
    def _mask_rule(self) -> str | None:
        """That of the masks which publications train on, unless the environment names others."""
        named = self.given.keys() & {"mask-rule", "masks", "crowds"}
        return "label-map" if self.benchmark.raw == "coco" and not named else None

    @property
    def given(self) -> dict[str, Any]:
        """Options that the environment names."""
        return self.settings.given(f"prepare_{self.benchmark.alias}", RAW_DATA)

    def _call(self, report: Report) -> None:
        from fssbench.api.prepare import prepare_training

        given = {"mask_rule": self._mask_rule} | {name.replace("-", "_"): value for name, value in self.given.items()}
        prepare_training(self.benchmark.alias, output=self.settings.sets, report=report, **given)


@dataclass(frozen=True, kw_only=True)
class TrainStep(Step):
    """Trains a variant. Ctrl-C and SIGTERM wait until it has saved its work.

    Attributes:
        protocol: of the episodes that weights are chosen by, if they are the test fold's.
        base_learner: the weights it is built on.
        resume: go on with what is in the folder.
    """

    kind = "train"
    variant: Variant
    fold: int
    folder: Path
    select_on: str
    protocol: str | None = None
    base_learner: Path | None = None
    resume: bool = False

    @property
    def _arguments(self) -> tuple[str, ...]:
        variant = self.variant
        return (
            *("train", *_model(variant), "--benchmark", variant.benchmark.alias, "--fold", str(self.fold)),
            *("--shot", str(variant.shot), "--select-on", self.select_on, *_option("--protocol", self.protocol)),
            *_option("--backbone-weights", self.base_learner),
            *_option("--max-steps", self.settings.trial.steps),
            *_option("--data", self.settings.sets),
            *("--output", str(self.folder), *(("--resume",) if self.resume else ())),
            *_option("--device", self.settings.device),
        )

    @property
    def given(self) -> dict[str, Any]:
        """Options that the environment names."""
        return self.settings.given("train", TRAINING)

    def _call(self, report: Report) -> None:
        from fssbench.api.train import train

        given = self.given
        changes = {
            "run.batch": given.get("batch"),
            "run.precision": given.get("precision"),
            "run.select_on": self.select_on,
            "run.max_steps": self.settings.trial.steps,
            "options.backbone_weights": None if self.base_learner is None else str(self.base_learner),
        }
        trained = train(
            self.variant.model,
            self.variant.benchmark.alias,
            fold=self.fold,
            shot=self.variant.shot,
            config=given.get("config"),
            image_list=given.get("list"),
            workers=given.get("workers", WORKERS),
            changes={name: value for name, value in changes.items() if value is not None},
            options=self.variant.options,
            data=self.settings.sets,
            protocol=self.protocol or "strict",
            device=self.settings.device or "auto",
            output=self.folder,
            resume=self.resume,
            report=report,
        )
        if trained.signal:
            report.note(f"stopped after {trained.progress.step:,} of {trained.planned:,} steps and saved")
            raise KeyboardInterrupt


@dataclass(frozen=True, kw_only=True)
class EvaluateStep(Step):
    """Asks a variant the episodes of some folds, all if ``folds`` is ``None``, at some numbers of shots."""

    kind = "eval"
    variant: Variant
    benchmark: Benchmark
    protocol: str
    folds: tuple[int, ...] | None
    shots: tuple[int, ...]
    weights: Path | None

    @property
    def _arguments(self) -> tuple[str, ...]:
        return (
            *("eval", *_model(self.variant), "--benchmark", self.benchmark.alias, "--protocol", self.protocol),
            *_repeated("--fold", self.folds or ()),
            *(*_repeated("--shot", self.shots), *_option("--weights", self.weights)),
            *_option("--episodes", self.settings.trial.episodes),
            *_option("--data", self.settings.sets),
            *_option("--output", self.settings.results),
            *_option("--device", self.settings.device),
        )

    @property
    def given(self) -> dict[str, Any]:
        """Options that the environment names."""
        return self.settings.given("eval", INFERENCE)

    def _call(self, report: Report) -> None:
        from fssbench.api.evaluate import EvaluationRequest
        from fssbench.api.tracks import asked_tracks
        from fssbench.engine.inference import FEATURE_BYTES, InferenceSettings, parse_bytes, parse_precision
        from fssbench.results.environment import pick_device

        given, device = self.given, self.settings.device or "auto"
        request = EvaluationRequest(
            model=self.variant.model,
            tracks=asked_tracks(
                self.benchmark.alias,
                data=self.settings.sets,
                protocol=self.protocol,
                folds=self.folds,
                shots=self.shots,
                episodes=self.settings.trial.episodes,
            ),
            options=self.variant.options,
            weights=None if self.weights is None else str(self.weights),
            inference=InferenceSettings(
                batch=given.get("batch"),
                feature_cache=parse_bytes(given["feature-cache"]) if "feature-cache" in given else FEATURE_BYTES,
                precision=parse_precision(given.get("precision", "float32"), pick_device(device)),
            ),
            device=device,
            workers=given.get("workers", WORKERS),
            output=self.settings.results or Home.find().results,
            asked=("fssbench", *self.arguments),
        )
        request.run(report=report, after=lambda loaded, job, evaluation: report.say(str(evaluation)))


@dataclass(frozen=True, kw_only=True)
class ProfileStep(Step):
    """Measures what an episode costs, for a row of the table."""

    kind = "profile"
    variant: Variant
    row: Row

    @property
    def _arguments(self) -> tuple[str, ...]:
        return (
            *("profile", *_model(self.variant), "--shot", str(self.variant.shot)),
            *_option("--device", self.settings.device),
        )

    @property
    def given(self) -> dict[str, Any]:
        """Options that the environment names."""
        return {}

    def measure(self) -> Profile:
        """The costs; weights are random, since no cost depends on them."""
        from fssbench.engine.profile import profile
        from fssbench.models import build_model, model_spec
        from fssbench.results.environment import pick_device

        weights = {"backbone_weights": "none"} if model_spec(self.variant.model).has_backbone else {}
        model = build_model(self.variant.model, **(weights | dict(self.variant.options)))
        return profile(model, shot=self.variant.shot, device=pick_device(self.settings.device or "auto"))

    def _call(self, report: Report) -> None:
        self.measure()


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

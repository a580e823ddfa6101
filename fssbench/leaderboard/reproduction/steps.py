"""The steps that a table takes: each is a call of fssbench, and the command that one would type for the same.

Both are made of one record, the options by the names they have on the command line.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fssbench.base.errors import FssbenchError, UsageError
from fssbench.base.home import Home
from fssbench.base.progress import Report
from fssbench.episodes.benchmarks import Benchmark
from fssbench.leaderboard.reproduction.runs import Variant

if TYPE_CHECKING:
    from fssbench.engine.profile import Profile

__all__ = ["WHOLE", "Kind", "Settings", "Step", "Trial", "profile"]

Kind = Literal["prepare", "train", "eval", "profile"]

GIVEN: dict[str, dict[str, type]] = {
    "prepare": {
        **{"source": str, "splits": str, "mask-rule": str, "masks": str, "crowds": str, "workers": int},
        **{"min-pixels": int, "loader-workers": int},
    },
    "prepare --train": {
        **{"source": str, "splits": str, "mask-rule": str, "masks": str, "crowds": str, "workers": int},
    },
    "train": {"list": str, "config": str, "batch": int, "precision": str, "workers": int},
    "eval": {"batch": int, "feature-cache": str, "precision": str, "workers": int},
}
"""Options of steps that a reproduction has not and the environment may name: the data, and what suits the machine."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step of the line.

    Attributes:
        subject: the benchmark that is prepared.
        options: by their names on the command line; ``None`` for those left out.
        there: whether what it makes is there already.
        makes: the file or folder it makes; ``None`` for a profile.
    """

    kind: Kind
    subject: str | None = None
    options: Mapping[str, Any]
    there: bool = False
    makes: Path | None = None

    @property
    def arguments(self) -> tuple[str, ...]:
        """What stands behind ``fssbench`` in the command."""
        words = (word for name, value in self.options.items() for word in _words(name, value))
        return (self.kind, *([self.subject] if self.subject else []), *words)

    @property
    def command(self) -> str:
        """As one would type it."""
        return shlex.join(("fssbench", *self.arguments))

    def run(self, report: Report) -> None:
        """Take the step; `FssbenchError` naming the command if it fails.

        Ctrl-C and SIGTERM wait until a training has saved its work.
        """
        named = {name.replace("-", "_"): value for name, value in self.options.items() if value is not None}
        try:
            CALLS[self.kind](self, report, **named)
        except FssbenchError as error:
            mended = "once that is mended, run this again: what is finished is kept"
            raise FssbenchError(
                f"'{self.command}' failed: {error.problem}", remedy="; ".join(filter(None, (error.remedy, mended)))
            ) from error


def _words(name: str, value: object) -> Iterator[str]:
    """An option as one would type it."""
    if name == "shots" and isinstance(value, Sequence):
        yield from (f"--{name}", ",".join(map(str, value)))
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from (f"--{name}", f"{key}={str(one).lower() if isinstance(one, bool) else one}")
    elif isinstance(value, tuple):
        for one in value:
            yield from (f"--{name}", str(one))
    elif value is True:
        yield f"--{name}"
    elif value is not None and value is not False:
        yield from (f"--{name}", str(value))


def _prepare(step: Step, report: Report, *, train: bool = False, fold: Any = None, **options: Any) -> None:
    from fssbench.api.prepare import prepare, prepare_training

    if train:
        prepare_training(str(step.subject), report=report, **options)
    else:
        prepare(str(step.subject), folds=fold, report=report, **options)


def _train(step: Step, report: Report, *, option: Mapping[str, Any], **options: Any) -> None:
    from fssbench.api.train import train

    names = {
        **{"select_on": "run.select_on", "max_steps": "run.max_steps", "batch": "run.batch"},
        **{"precision": "run.precision", "backbone": "options.backbone"},
        "backbone_weights": "options.backbone_weights",
    }
    changes = {names[name]: options.pop(name) for name in names if name in options}
    images = options.pop("list", None)
    trained = train(**options, changes=changes, options=option, image_list=images, report=report)
    if trained.signal:
        report.note(f"stopped after {trained.progress.step:,} of {trained.planned:,} steps and saved")
        raise KeyboardInterrupt


def _evaluate(
    step: Step,
    report: Report,
    *,
    model: str,
    option: Mapping[str, Any],
    benchmark: str,
    protocol: str,
    shot: tuple[int, ...],
    fold: tuple[int, ...] | None = None,
    backbone: str | None = None,
    weights: str | None = None,
    episodes: int | None = None,
    data: Path | None = None,
    output: Path | None = None,
    device: str = "auto",
    workers: int = 4,
    batch: int | None = None,
    feature_cache: str = "2GiB",
    precision: str = "float32",
) -> None:
    from fssbench.api.evaluate import EvaluationRequest
    from fssbench.api.tracks import asked_tracks
    from fssbench.engine.inference import InferenceSettings, parse_bytes, parse_precision
    from fssbench.results.environment import pick_device

    request = EvaluationRequest(
        model=model,
        tracks=asked_tracks(benchmark, data=data, protocol=protocol, folds=fold, shots=shot, episodes=episodes),
        options={**({"backbone": backbone} if backbone else {}), **option},
        weights=weights,
        inference=InferenceSettings(
            batch=batch,
            feature_cache=parse_bytes(feature_cache),
            precision=parse_precision(precision, pick_device(device)),
        ),
        device=device,
        workers=workers,
        output=output or Home.find().results,
        asked=("fssbench", *step.arguments),
    )
    request.run(report=report, after=lambda loaded, job, evaluation: report.say(str(evaluation)))


def profile(step: Step) -> Profile:
    """What a step of this kind measures; weights are random, since no cost depends on them."""
    from fssbench.engine.profile import profile as measure
    from fssbench.models import build_model, model_spec
    from fssbench.results.environment import pick_device

    asked = step.options
    options = {"backbone_weights": "none"} if model_spec(asked["model"]).has_backbone else {}
    options |= {"backbone": asked["backbone"]} if asked["backbone"] else {}
    model = build_model(asked["model"], **(options | asked["option"]))
    return measure(model, shot=asked["shot"], device=pick_device(asked["device"] or "auto"))


CALLS: dict[Kind, Callable[..., object]] = {
    "prepare": _prepare,
    "train": _train,
    "eval": _evaluate,
    "profile": lambda step, report, **options: profile(step),
}


@dataclass(frozen=True, kw_only=True)
class Trial:
    """How much less than the table's is done, to see whether everything runs; ``None`` for no less."""

    episodes: int | None = None
    steps: int | None = None


WHOLE = Trial()
"""Nothing less."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What steps share, and the options that follow from it; ``None`` for a command's default.

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

    def prepare(
        self, benchmark: Benchmark, protocol: str, *, shots: Sequence[int], folds: Sequence[int]
    ) -> dict[str, Any]:
        """Build the episode sets of some folds."""
        return {
            **{"protocol": protocol, "shots": tuple(shots), "fold": _some(folds, benchmark)},
            **{"episodes": self.trial.episodes, "output": self.sets},
            **self._given("prepare", benchmark.alias),
        }

    def prepare_training(self, benchmark: Benchmark) -> dict[str, Any]:
        """Build the training set, with the masks that publications train on unless the environment names others."""
        given = self._given("prepare --train", benchmark.alias)
        if benchmark.raw == "coco" and not given.keys() & {"mask-rule", "masks", "crowds"}:
            given["mask-rule"] = "label-map"
        return {"train": True, "output": self.sets, **given}

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
    ) -> dict[str, Any]:
        """Train a variant.

        Args:
            protocol: of the episodes that weights are chosen by, if they are the test fold's.
            base_learner: the weights it is built on.
            resume: go on with what is in the folder.
        """
        return {
            **_model(variant),
            **{"benchmark": variant.benchmark.alias, "fold": fold, "shot": variant.shot, "select-on": select_on},
            **{"protocol": protocol, "backbone-weights": None if base_learner is None else str(base_learner)},
            **{"max-steps": self.trial.steps, "data": self.sets, "output": folder, "resume": resume},
            **{"device": self.device, **self._given("train")},
        }

    def evaluate(
        self,
        variant: Variant,
        benchmark: Benchmark,
        protocol: str,
        *,
        folds: Sequence[int],
        shots: Sequence[int],
        weights: Path | None,
    ) -> dict[str, Any]:
        """Ask a variant the episodes of some folds, at some numbers of shots."""
        return {
            **_model(variant),
            **{"benchmark": benchmark.alias, "protocol": protocol, "fold": _some(folds, benchmark)},
            **{"shot": tuple(shots), "weights": None if weights is None else str(weights)},
            **{"episodes": self.trial.episodes, "data": self.sets, "output": self.results, "device": self.device},
            **self._given("eval"),
        }

    def profile(self, variant: Variant, costs_at: Mapping[str, Any]) -> dict[str, Any]:
        """Measure what an episode costs a variant, with some options that only its costs are for."""
        model = _model(variant)
        model["option"] |= {name: value for name, value in costs_at.items() if name not in model}
        model |= {name: value for name, value in costs_at.items() if name in model}
        return {**model, "shot": variant.shot, "device": self.device}

    def _given(self, step: str, *subject: str) -> dict[str, Any]:
        """The options that the environment names; `UsageError` for a number that is none."""
        found: dict[str, Any] = {}
        for name, kind in GIVEN[step].items():
            variable = "_".join(("FSSBENCH", step.split()[0], *subject, name)).upper().replace("-", "_")
            if value := self.environment.get(variable):
                try:
                    found[name] = kind(value)
                except ValueError as error:
                    raise UsageError(f"{variable} must be an integer, got '{value}'") from error
        return found


def _model(variant: Variant) -> dict[str, Any]:
    return {"model": variant.model, "backbone": variant.backbone, "option": dict(variant.others)}


def _some(folds: Sequence[int], benchmark: Benchmark) -> tuple[int, ...] | None:
    """Folds of a benchmark, ``None`` for all."""
    return None if len(folds) == len(benchmark.folds) else tuple(folds)

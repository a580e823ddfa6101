"""The steps that a table takes: each is a call of fssbench, and the command that one would type for the same.

Both are made of one record, the options by the names they have on the command line.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fssbench.base.errors import FssbenchError
from fssbench.base.home import Home
from fssbench.base.progress import Report
from fssbench.leaderboard.reproduction.images import TrainingImages

if TYPE_CHECKING:
    from fssbench.engine.profile import Profile

__all__ = ["Kind", "Missing", "Step", "profile"]

Kind = Literal["prepare", "train", "eval", "profile"]


@dataclass(frozen=True, kw_only=True)
class Missing:
    """What a step cannot do without and only the user can bring: what it is, and the option that gives it."""

    what: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step of the line.

    Attributes:
        subject: the benchmark that is prepared.
        options: by their names on the command line; ``None`` for those left out.
        there: whether what it makes is there already.
        makes: the file or folder it makes; ``None`` for a profile.
        images: what a training learns from.
        missing: what it lacks, which is known before anything is run.
    """

    kind: Kind
    subject: str | None = None
    options: Mapping[str, Any]
    there: bool = False
    makes: Path | None = None
    images: TrainingImages | None = None
    missing: Missing | None = None

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
            then = "once that is fixed, run this again: what is finished is kept"
            raise FssbenchError(
                f"'{self.command}' failed: {error.problem}", remedy="; ".join(filter(None, (error.remedy, then)))
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
    changes |= options.pop("set", {})
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

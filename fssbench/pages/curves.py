"""Learning curves of several trainings over one another, and how soon each came near the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fssbench.base.errors import CheckpointError, TrainingError, UsageError
from fssbench.base.files import write_atomic
from fssbench.models.cards import read_card
from fssbench.pages.lines import LineChart, Series, line_chart
from fssbench.pages.render import asset, environment, one_file_policy
from fssbench.training.folder import LAST, RunFolder

__all__ = ["SHARES", "Curves", "Reached", "TrainingRun", "read_curves", "read_run", "write_curves"]

SHARES = (0.9, 0.95, 1.0)
"""Of the mIoU that every run has reached, how soon each did is told."""


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """A training's log.

    Attributes:
        lines: as `fssbench.training.log.Log` writes them.
        epoch: steps of an epoch; ``None`` if its card does not say.
    """

    name: str
    lines: Sequence[dict[str, Any]]
    epoch: float | None

    def points(self, key: str, *, unit: float, scale: float = 1.0) -> list[tuple[float, float]]:
        """The values of a key, at steps in a ``unit`` of as many."""
        return [(line["step"] / unit, scale * line[key]) for line in self.lines if line.get(key) is not None]

    def parts(self) -> list[str]:
        """The names of the losses that the loss is the sum of."""
        return list(dict.fromkeys(name for line in self.lines for name in line.get("parts", {})))

    def part(self, name: str, *, unit: float) -> list[tuple[float, float]]:
        """One of them over the steps."""
        return [(line["step"] / unit, line["parts"][name]) for line in self.lines if name in line.get("parts", {})]


@dataclass(frozen=True, kw_only=True)
class Reached:
    """How soon a run was how good.

    Attributes:
        best: mIoU in percent, the first of equals; ``None`` if it was never validated.
        best_at: when, in the curves' unit.
        after: when it first had each of `SHARES` of the level.
        sooner: how many times as soon as the last run it reached all of the level.
    """

    name: str
    best: float | None
    best_at: float | None
    after: tuple[float | None, ...] = ()
    sooner: float | None = None


@dataclass(frozen=True, kw_only=True)
class Curves:
    """What a page shows of some runs.

    Attributes:
        unit: of the horizontal axes, ``epochs`` or ``steps``.
        level: mIoU in percent that every validated run reached: the lowest of their bests.
    """

    unit: str
    level: float | None
    charts: tuple[LineChart, ...]
    reached: tuple[Reached, ...]
    shares: tuple[float, ...] = SHARES


def read_run(path: Path) -> TrainingRun:
    """The training in a folder; `TrainingError` if there is none."""
    folder = RunFolder(path)
    lines = folder.lines()
    if not lines:
        raise TrainingError(
            f"there is no training in {path}: {folder.log.name} is missing or empty",
            remedy="name the folder that fssbench train wrote to",
        )
    try:
        training = read_card(path / LAST).training
    except CheckpointError:
        training = None
    epoch = None if training is None else training.planned_steps / training.recipe["run"]["epochs"]
    return TrainingRun(name=path.resolve().name, lines=lines, epoch=epoch)


def read_curves(paths: Sequence[Path]) -> Curves:
    """The curves of the trainings in some folders.

    Raises:
        TrainingError: a folder has none.
        UsageError: one is named twice.
    """
    if len({path.resolve() for path in paths}) < len(paths):
        raise UsageError("a training was named twice", remedy="name each once")
    runs = _told_apart(paths, [read_run(path) for path in paths])
    in_epochs = all(run.epoch for run in runs)
    unit = "epochs" if in_epochs else "steps"
    units = [run.epoch or 1.0 if in_epochs else 1.0 for run in runs]
    validated = [run.points("validated", unit=n, scale=100) for run, n in zip(runs, units, strict=True)]
    level = min((max(y for _, y in points) for points in validated if points), default=None)
    reached = [_reached(run.name, points, level) for run, points in zip(runs, validated, strict=True)]
    slowest = max((one.after[-1] or 0.0 for one in reached if one.after), default=0.0)
    return Curves(
        unit=unit,
        level=level,
        charts=tuple(filter(None, _charts(runs, units, unit))),
        reached=tuple(_compared(one, slowest) for one in reached),
    )


def write_curves(path: Path, curves: Curves) -> None:
    """Write a page of curves, as one HTML file that needs no other."""
    style, script = asset("style.css"), asset("page.js")
    page = environment().get_template("curves.html")
    policy = one_file_policy(style=style, script=script)
    write_atomic(path, page.render(curves=curves, style=style, script=script, policy=policy))


def _charts(runs: Sequence[TrainingRun], units: Sequence[float], unit: str) -> list[LineChart | None]:
    pairs = list(enumerate(zip(runs, units, strict=True)))

    def chart(title: str, key: str, y_name: str, scale: float = 1.0) -> LineChart | None:
        series = [
            Series(name=run.name, number=n, points=run.points(key, unit=step, scale=scale)) for n, (run, step) in pairs
        ]
        return line_chart(title, series, x_name=unit, y_name=y_name)

    charts = [
        chart("mIoU of validation", "validated", "mIoU, %", 100),
        chart("mIoU of training", "miou", "mIoU, %", 100),
        chart("Loss of validation", "validated_loss", "loss"),
        chart("Loss of training", "loss", "loss"),
    ]
    parts = list(dict.fromkeys(name for run in runs for name in run.parts()))
    for name in parts if len(parts) > 1 else ():
        series = [Series(name=run.name, number=n, points=run.part(name, unit=step)) for n, (run, step) in pairs]
        charts.append(line_chart(f"Loss of training: {name}", series, x_name=unit, y_name="loss"))
    return charts


def _told_apart(paths: Sequence[Path], runs: list[TrainingRun]) -> list[TrainingRun]:
    """With the folders above where names alone are not enough."""
    names = [run.name for run in runs]
    depth = 1
    while len(set(names)) < len(names):
        depth += 1
        names = ["/".join(path.resolve().parts[-depth:]) for path in paths]
    return [TrainingRun(name=name, lines=run.lines, epoch=run.epoch) for name, run in zip(names, runs, strict=True)]


def _reached(name: str, points: Sequence[tuple[float, float]], level: float | None) -> Reached:
    if not points or level is None:
        return Reached(name=name, best=None, best_at=None)
    best_at, best = max(points, key=lambda point: (point[1], -point[0]))
    after = tuple(next((x for x, y in points if y >= share * level), None) for share in SHARES)
    return Reached(name=name, best=best, best_at=best_at, after=after)


def _compared(one: Reached, slowest: float) -> Reached:
    if not one.after or not one.after[-1]:
        return one
    return Reached(name=one.name, best=one.best, best_at=one.best_at, after=one.after, sooner=slowest / one.after[-1])

"""``fssbench prepare … --train``, and what other commands say of training sets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fssbench.base.errors import UsageError
from fssbench.cli.console import megabytes, print_json, progress, warn
from fssbench.episodes.benchmarks import FSS_1000, Benchmark

if TYPE_CHECKING:
    from fssbench.pipelines.sources import Source
    from fssbench.pipelines.training_sets.build_training_set import BuiltTraining
    from fssbench.pipelines.training_sets.training_set import TrainingSet
    from fssbench.pipelines.transport import Place

__all__ = ["build", "class_lists", "describe", "require_no_episodes", "rows"]


def require_no_episodes(**given: object) -> None:
    """Raise `UsageError` if options were given that only episodes have."""
    if meant := [f"--{name.replace('_', '-')}" for name, value in given.items() if value not in (None, False)]:
        raise UsageError(
            f"a training set has no episodes and serves all folds, so there is no meaning to {' and '.join(meant)}",
            remedy="leave that out; how episodes are drawn is said when a model is trained",
        )


def class_lists(benchmark: Benchmark, splits: str | None) -> Path | None:
    """The folder that lists FSS-1000's classes: the one named, or HSNet's in the home if that is there."""
    from fssbench.base.home import Home

    if splits is not None:
        return Path(splits)
    folder = Home.find().splits("hsnet")
    return folder if benchmark is FSS_1000 and folder.is_dir() else None


def build(source: Source, output: Path, *, workers: int | None, overwrite: bool, as_json: bool) -> None:
    """Build the training set of a source opened for training, and report on it."""
    from fssbench.pipelines.training_sets.build_training_set import build_training, plan_training

    title = source.benchmark.title
    with progress(f"reading {title}", None, unit="masks") as advance:
        plan = plan_training(source, output, overwrite=overwrite, advance=advance)
    if plan.there is None:
        for note in source.notes():
            warn(note)
    with progress(f"{title} to train on", len(plan.shown), unit="images") as advance:
        built = build_training(plan, source, workers=workers or min(8, os.cpu_count() or 1), advance=advance)
    _report(built, as_json)
    if built.manifest.unofficial:
        warn(f"models trained on this differ from publications: {'; '.join(built.manifest.unofficial)}")


def _report(built: BuiltTraining, as_json: bool) -> None:
    manifest = built.manifest
    if as_json:
        print_json(
            {
                "path": str(built.path),
                "outcome": built.outcome,
                "images": manifest.images,
                "bytes": manifest.n_bytes,
                "classes": len(manifest.classes),
                "unofficial": list(manifest.unofficial),
            }
        )
        return
    print(
        f"{built.outcome}: {built.path} ({manifest.images:,} images of {len(manifest.classes)} classes, "
        f"{megabytes(manifest.n_bytes)})"
    )


def describe(training_set: TrainingSet) -> dict[str, Any]:
    """What a training set is, for people."""
    manifest = training_set.manifest
    policy = manifest.mask_policy
    return {
        "training set": manifest.benchmark,
        "source": [f"{manifest.source.kind}, {manifest.source.layout}, {manifest.source.split}"]
        + [f"{file.name} {file.sha256}" for file in manifest.source.files],
        "masks": f"{'ready-made' if policy.origin == 'ready-made' else 'from the source'}, crowds: {policy.crowds}",
        "classes": [f"{pool.id:>4} {pool.name} ({pool.images:,} images)" for pool in manifest.classes],
        "images": f"{manifest.images:,} in {len(manifest.shards)} shards, {megabytes(manifest.n_bytes)} in all",
        "folds": _folds(training_set),
        "differs": list(manifest.unofficial) or "in nothing from what publications train on",
    }


def _folds(training_set: TrainingSet) -> list[str]:
    """For every fold how many images show a base class, and how many of those a novel one."""
    from fssbench.episodes.training import base_classes

    lines, benchmark = [], training_set.benchmark
    for fold in range(len(benchmark.folds)):
        base, novel = set(base_classes(benchmark, fold)), set(benchmark.novel_classes(fold))
        shown = [entry.areas.keys() for entry in training_set.entries.values() if base & entry.areas.keys()]
        both = sum(1 for classes in shown if novel & classes)
        lines.append(f"{fold}: {len(shown):,} images show a base class, {both:,} of them a novel one too")
    return lines


def rows(root: Place) -> list[dict[str, Any]]:
    """The training sets below ``root``, for ``fssbench list``."""
    from fssbench.pipelines.training_sets.training_set import TrainingSet, find_training_sets

    opened = [TrainingSet.open(path) for path in find_training_sets(root)]
    return [{"path": str(one.path), "images": f"{one.manifest.images:,} images to train on"} for one in opened]

"""``fssbench prepare … --train``, and what other commands say of training sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fssbench.base.errors import UsageError
from fssbench.cli.console import megabytes, print_json

if TYPE_CHECKING:
    from fssbench.pipelines.training_sets.build_training_set import BuiltTraining
    from fssbench.pipelines.training_sets.training_set import TrainingSet
    from fssbench.pipelines.transport import Place

__all__ = ["describe", "report_built", "require_no_episodes", "row"]


def require_no_episodes(**given: object) -> None:
    """Raise `UsageError` if options were given that only episodes have."""
    if meant := [f"--{name.replace('_', '-')}" for name, value in given.items() if value not in (None, False)]:
        raise UsageError(
            f"a training set has no episodes and serves all folds, so there is no meaning to {' and '.join(meant)}",
            remedy="leave that out; how episodes are drawn is said when a model is trained",
        )


def report_built(built: BuiltTraining, *, as_json: bool) -> None:
    """Print what became of a training set."""
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
    return {
        "training set": manifest.benchmark,
        "source": [f"{manifest.source.kind}, {manifest.source.layout}, {manifest.source.split}"]
        + [f"{file.name} {file.sha256}" for file in manifest.source.files],
        "masks": manifest.mask_policy.title,
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


def row(place: Place) -> dict[str, Any]:
    """What ``fssbench list`` says of the training set at a place."""
    from fssbench.pipelines.training_sets.training_set import TrainingSet

    return {"images": f"{TrainingSet.open(place).manifest.images:,} images to train on"}

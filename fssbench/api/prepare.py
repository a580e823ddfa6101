"""Raw data → episode sets, and sets of images to train on."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from fssbench.api.needs import Planned, needs_of_folds, needs_of_training
from fssbench.api.sources import class_list, list_files, named_protocol, open_raw, own_benchmark
from fssbench.base.errors import SourceError
from fssbench.base.home import Home
from fssbench.base.progress import SILENT, Report
from fssbench.episodes.benchmarks import FSS_1000, Benchmark, find_benchmark
from fssbench.episodes.protocols import MaskRule
from fssbench.pipelines.episode_sets.build_episode_set import Built, build
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.episode_sets.plan import FoldPlan, Request, plan_folds
from fssbench.pipelines.sources import Source
from fssbench.pipelines.sources.coco_masks import Crowds
from fssbench.pipelines.training_sets.build_training_set import (
    BuiltTraining,
    TrainingPlan,
    build_training,
    plan_training,
)
from fssbench.pipelines.training_sets.training_set import TrainingSet
from fssbench.schemas.manifest import Manifest

__all__ = ["Planned", "named_benchmark", "plan", "plan_training_set", "prepare", "prepare_training"]

MOST_WORKERS = 8


def prepare(
    benchmark: str | Benchmark,
    *,
    source: str | Path | None = None,
    folds: Sequence[int] | None = None,
    shots: Sequence[int] = (1,),
    seeds: Sequence[int] | None = None,
    episodes: int | None = None,
    protocol: str = "strict",
    output: str | Path | None = None,
    splits: str | Path | None = None,
    mask_rule: MaskRule | None = None,
    crowds: Crowds = "exclude",
    masks: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    min_pixels: int | None = None,
    loader_workers: int | None = None,
    allow_missing_classes: bool = False,
    workers: int | None = None,
    overwrite: bool = False,
    report: Report = SILENT,
    after: Callable[[Built], None] | None = None,
) -> list[EpisodeSet]:
    """Build the episode sets of a benchmark, one a fold; what is there already is extended, or left as it is.

    Args:
        benchmark: its name or alias, such as ``coco``; ``folder`` for one of your own, described in ``source``.
        source: folder of raw data as it was published, or ``hf:NAME``; ``None`` for that in the home.
        folds: which; ``None`` for all.
        shots: numbers of supports, a track for each.
        seeds: likewise; ``None`` for the protocol's own.
        episodes: of a track; ``None`` for the protocol's number.
        protocol: ``strict``, ``hsnet`` or ``hdmnet``.
        output: where sets go; ``None`` for the home.
        splits: folder of split lists; ``derive``; or ``derive:DIR`` to derive them in the order of a file there.
        mask_rule: how COCO's annotations become masks, ``union`` or ``label-map``; ``None`` for the protocol's.
        crowds: what becomes of COCO's crowd regions.
        masks: folder of ready-made masks for COCO.
        columns: of a Hugging Face dataset, by role.
        min_pixels: least mask pixels for an image to serve a class.
        loader_workers: data-loader workers that hdmnet's draws emulate.
        allow_missing_classes: leave out classes with too few images.
        workers: shards written at a time; ``None`` for the cores, at most 8.
        overwrite: build anew what is there.
        report: where to show progress and remarks.
        after: called with what became of each set, when it is there.

    Raises:
        UsageError: something asked for is unknown, or contradicts itself.
        SourceError: raw data are missing, damaged, or do not suffice.
        EpisodeSetError: a set of another origin is in the way.
        StorageError: the disk is full, or another run is building the same set.
    """
    planned = plan(
        benchmark,
        source=source,
        folds=folds,
        shots=shots,
        seeds=seeds,
        episodes=episodes,
        protocol=protocol,
        output=output,
        splits=splits,
        mask_rule=mask_rule,
        crowds=crowds,
        masks=masks,
        columns=columns,
        min_pixels=min_pixels,
        loader_workers=loader_workers,
        allow_missing_classes=allow_missing_classes,
        workers=workers,
        overwrite=overwrite,
        report=report,
    )
    planned.begin(report)
    built = []
    for one in planned.plans:
        with report.progress(f"fold {one.header.fold}", len(one.images), unit="images") as advance:
            built.append(build(one, planned.raw, workers=planned.workers, advance=advance))
        for note in built[-1].notes:
            report.note(f"fold {one.header.fold}: {note}")
        if after is not None:
            after(built[-1])
    if reasons := _reasons([one.manifest for one in built]):
        report.note(f"results on this will not be official: {'; '.join(reasons)}")
    return [EpisodeSet(one.path, one.manifest) for one in built]


def plan(
    benchmark: str | Benchmark,
    *,
    source: str | Path | None = None,
    folds: Sequence[int] | None = None,
    shots: Sequence[int] = (1,),
    seeds: Sequence[int] | None = None,
    episodes: int | None = None,
    protocol: str = "strict",
    output: str | Path | None = None,
    splits: str | Path | None = None,
    mask_rule: MaskRule | None = None,
    crowds: Crowds = "exclude",
    masks: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    min_pixels: int | None = None,
    loader_workers: int | None = None,
    allow_missing_classes: bool = False,
    workers: int | None = None,
    overwrite: bool = False,
    report: Report = SILENT,
) -> Planned[FoldPlan]:
    """What `prepare` would build with the same arguments, and what that takes; no set is built."""
    place, lists = _text(source), _text(splits)
    found = named_benchmark(benchmark, place)
    rules = named_protocol(protocol, loader_workers, report=report)
    files, order = list_files(rules, found, lists, report=report)
    request = Request(
        benchmark=found,
        protocol=rules,
        splits=files,
        order=order,
        folds=tuple(dict.fromkeys(range(len(found.folds)) if folds is None else folds)),
        shots=tuple(shots),
        seeds=None if seeds is None else tuple(seeds),
        episodes=episodes,
        min_pixels=min_pixels,
        allow_missing_classes=allow_missing_classes,
    )
    for fold in request.folds:
        found.novel_classes(fold)  # refused before anything is read
    raw = open_raw(
        found,
        place,
        class_list(found, lists, request.splits),
        protocol=rules,
        mask_rule=mask_rule,
        crowds=crowds,
        masks=None if masks is None else Path(masks),
        columns=columns,
        report=report,
    )
    target = Home.find().episodes if output is None else Path(output)
    with report.progress(f"reading {found.title}", None, unit="masks") as advance:
        try:
            plans = plan_folds(raw, request, target, overwrite=overwrite, advance=advance)
        except SourceError:
            with suppress(SourceError):
                _note(raw, report)  # what was left out is often what is missing
            raise
    if any(one.tracks for one in plans):
        _note(raw, report)
    needs = needs_of_folds(plans, raw, workers=_workers(workers))
    return Planned(plans=plans, needs=needs, raw=raw, target=target, workers=_workers(workers))


def _reasons(manifests: Sequence[Manifest]) -> list[str]:
    """Why results will not be official, each reason once, with the folds and tracks it is true of, if not of all."""
    tracks = [(manifest, track) for manifest in manifests for track in manifest.tracks]
    found: dict[str, list[str]] = {}
    for manifest, track in tracks:
        for reason in dict.fromkeys((*manifest.unofficial, *track.unofficial)):
            found.setdefault(reason, []).append(f"fold {manifest.fold} {track.shot}-shot seed {track.seed}")
    return [reason if len(of) == len(tracks) else f"{reason} ({', '.join(of)})" for reason, of in found.items()]


def prepare_training(
    benchmark: str | Benchmark,
    *,
    source: str | Path | None = None,
    output: str | Path | None = None,
    splits: str | Path | None = None,
    mask_rule: MaskRule | None = None,
    crowds: Crowds = "exclude",
    masks: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    report: Report = SILENT,
    after: Callable[[BuiltTraining], None] | None = None,
) -> TrainingSet:
    """Build the set of images that models learn from, good for all folds; arguments and errors as in `prepare`."""
    planned = plan_training_set(
        benchmark,
        source=source,
        output=output,
        splits=splits,
        mask_rule=mask_rule,
        crowds=crowds,
        masks=masks,
        columns=columns,
        workers=workers,
        overwrite=overwrite,
        report=report,
    )
    planned.begin(report)
    (one,) = planned.plans
    with report.progress(f"{planned.raw.benchmark.title} to train on", len(one.shown), unit="images") as advance:
        built = build_training(one, planned.raw, workers=planned.workers, advance=advance)
    if built.manifest.unofficial:
        report.note(f"models trained on this differ from publications: {'; '.join(built.manifest.unofficial)}")
    if after is not None:
        after(built)
    return TrainingSet.open(built.path)


def plan_training_set(
    benchmark: str | Benchmark,
    *,
    source: str | Path | None = None,
    output: str | Path | None = None,
    splits: str | Path | None = None,
    mask_rule: MaskRule | None = None,
    crowds: Crowds = "exclude",
    masks: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    report: Report = SILENT,
) -> Planned[TrainingPlan]:
    """What `prepare_training` would build with the same arguments, and what that takes; no set is built."""
    place = _text(source)
    found = named_benchmark(benchmark, place).training
    raw = open_raw(
        found,
        place,
        _training_lists(found, _text(splits)),
        mask_rule=mask_rule,
        crowds=crowds,
        masks=None if masks is None else Path(masks),
        columns=columns,
        part="training",
        report=report,
    )
    target = Home.find().episodes if output is None else Path(output)
    with report.progress(f"reading {found.title}", None, unit="masks") as advance:
        one = plan_training(raw, target, overwrite=overwrite, advance=advance)
    if one.there is None:
        _note(raw, report)
    needs = [needs_of_training(one, raw, workers=_workers(workers))]
    return Planned(plans=[one], needs=needs, raw=raw, target=target, workers=_workers(workers))


def named_benchmark(benchmark: str | Benchmark, source: str | None) -> Benchmark:
    """A benchmark by its name or alias, or itself; of ``folder`` the one that ``source`` describes."""
    if isinstance(benchmark, Benchmark):
        return benchmark
    return own_benchmark(source) if benchmark == "folder" else find_benchmark(benchmark)


def _text(value: str | Path | None) -> str | None:
    return None if value is None else str(value)


def _training_lists(benchmark: Benchmark, splits: str | None) -> Path | None:
    """The folder that lists FSS-1000's classes: the one named, or HSNet's in the home if that is there."""
    if splits is not None:
        return Path(splits)
    home = Home.find()
    there = benchmark is FSS_1000 and home.is_known and home.splits("hsnet").is_dir()
    return home.splits("hsnet") if there else None


def _workers(asked: int | None) -> int:
    return asked or min(MOST_WORKERS, os.cpu_count() or 1)


def _note(raw: Source, report: Report) -> None:
    for note in raw.notes():
        report.note(note)

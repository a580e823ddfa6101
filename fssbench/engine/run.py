"""One evaluation from end to end: a model, a track, and the result and counts it leaves on disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from fssbench.engine.environment import describe_environment, device_name
from fssbench.engine.evaluate import Answer, evaluate
from fssbench.engine.model import LoadedModel
from fssbench.engine.partial import PartialCounts, partial_counts
from fssbench.engine.table import CountsTable
from fssbench.errors import ResultError, UsageError
from fssbench.files import PARTIAL, sha256_bytes, write_atomic
from fssbench.metrics import Figure, score
from fssbench.pipelines.episode_set import EpisodeSet
from fssbench.protocols import ScoringPolicy, find_protocol
from fssbench.results import (
    SCHEMA_VERSION,
    ClassResult,
    CountsFile,
    Environment,
    EpisodesRecord,
    Execution,
    FigureRecord,
    IntervalRecord,
    PolicyResult,
    Request,
    Result,
    read_result,
)
from fssbench.statistics import METHOD, Interval, episode_intervals

__all__ = ["Finished", "Job", "run"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """A track to ask, and where the result goes.

    Attributes:
        episodes: the first so many of the track, or ``None`` for all.
        output: results are written below it.
        exclude_ignored: which of the two ways to treat ignored pixels is the headline; both are scored.
        asked: the command line, for the record.
        resolved: every setting as it was resolved, for the record.
    """

    episode_set: EpisodeSet
    shot: int
    seed: int
    episodes: int | None
    output: Path
    device: str = "cpu"
    workers: int = 4
    exclude_ignored: bool = True
    overwrite: bool = False
    asked: Sequence[str] = ()
    resolved: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        _ = self.headline  # refuses what cannot be scored before anything is asked

    @property
    def n_episodes(self) -> int:
        """Episodes asked."""
        there = self.episode_set.record(shot=self.shot, seed=self.seed).episodes
        return there if self.episodes is None else self.episodes

    @property
    def headline(self) -> ScoringPolicy:
        """The policy that rankings use: the protocol's, unless ignored pixels are to be counted.

        Raises `UsageError` if they are, on a set that ignores none.
        """
        policy = find_protocol(self.episode_set.manifest.protocol.name).headline
        if self.exclude_ignored:
            return policy
        if self.episode_set.manifest.ignore_label is None:
            raise UsageError(
                f"{self.episode_set.benchmark.title} has no ignore label", remedy="leave out --no-ignore-label"
            )
        return replace(policy, exclude_ignored=False)

    def path(self, loaded: LoadedModel) -> Path:
        """The result's file."""
        manifest = self.episode_set.manifest
        record = self.episode_set.record(shot=self.shot, seed=self.seed)
        folder = self.output / manifest.benchmark / manifest.protocol.name / loaded.folder
        return folder / f"fold{manifest.fold}-{record.label}.json"


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A result on disk, and whether it was there already."""

    result: Result
    path: Path
    skipped: bool


def run(loaded: LoadedModel, job: Job, *, look: Callable[[Answer], None] | None = None) -> Finished:
    """Evaluate and write ``foldF-KshotseedS.json`` with its counts beside it.

    A finished result of the same model on the same episodes is left as it is unless ``overwrite`` is set.

    Raises:
        ResultError: a result on other episodes is in the way.
    """
    path = job.path(loaded)
    if path.exists() and not job.overwrite:
        return Finished(result=_same_result(path, loaded, job), path=path, skipped=True)
    environment = describe_environment()
    identity = _identity(loaded, job, environment)
    with partial_counts(path.with_suffix(f".counts{PARTIAL}"), identity=identity, fresh=job.overwrite) as unfinished:
        table, execution = _ask(loaded, job, unfinished, look)
        counts = table.to_bytes()
        counts_path = path.with_suffix(".counts.parquet")
        file = CountsFile(file=counts_path.name, sha256=sha256_bytes(counts), rows=table.counts[..., 0].size)
        result = _result(loaded, job, table, file, execution, environment)
        write_atomic(counts_path, counts)
        write_atomic(path, result.to_json())  # last: a result on disk always has its counts
    return Finished(result=result, path=path, skipped=False)


def _identity(loaded: LoadedModel, job: Job, environment: Environment) -> str:
    """Everything that counts depend on: the model, device and software, the episodes and the data under them."""
    manifest = sha256_bytes(job.episode_set.manifest.to_json().encode())
    record = job.episode_set.record(shot=job.shot, seed=job.seed)
    software = environment.model_dump_json()
    return " ".join([loaded.record.model_dump_json(), job.device, software, manifest, record.label])


def _ask(
    loaded: LoadedModel, job: Job, unfinished: PartialCounts, look: Callable[[Answer], None] | None
) -> tuple[CountsTable, Execution]:
    """Ask what an interrupted run has not asked yet, keeping every count as it comes."""

    def keep(answer: Answer) -> None:
        unfinished.add(answer.index, answer.counts)
        if look is not None:
            look(answer)

    known = {index: row for index, row in unfinished.rows.items() if index < job.n_episodes}
    start = time.perf_counter()
    table = evaluate(
        loaded.model,
        job.episode_set,
        shot=job.shot,
        seed=job.seed,
        episodes=job.episodes,
        device=job.device,
        workers=job.workers,
        known=known,
        look=keep,
    )
    seconds = time.perf_counter() - start
    return table, Execution(
        device=job.device,
        device_name=device_name(job.device),
        precision=str(torch.float32).removeprefix("torch."),
        seconds=round(seconds, 3),
        episodes_per_second=round((job.n_episodes - len(known)) / seconds, 3),
        resumed_episodes=len(known),
    )


def _same_result(path: Path, loaded: LoadedModel, job: Job) -> Result:
    there = read_result(path)
    track = job.episode_set.tracks[job.episode_set.record(shot=job.shot, seed=job.seed).label]
    if there.episodes.digest != track.first(job.n_episodes).digest or there.model != loaded.record:
        raise ResultError(
            f"{path} is a result on other episodes ({there.episodes.n_episodes:,}, digest "
            f"{there.episodes.digest[:12]}…)",
            remedy="pass --overwrite to replace it, or another --output",
        )
    if there.headline != job.headline.name:
        raise ResultError(
            f"{path} has {there.headline} as its headline, asked for is {job.headline.name}",
            remedy="pass --overwrite to replace it, or another --output",
        )
    return there


def _result(
    loaded: LoadedModel,
    job: Job,
    table: CountsTable,
    counts: CountsFile,
    execution: Execution,
    environment: Environment,
) -> Result:
    manifest = job.episode_set.manifest
    record = job.episode_set.record(shot=job.shot, seed=job.seed)
    unofficial = _unofficial(loaded, job, environment)
    return Result(
        schema_version=SCHEMA_VERSION,
        kind="fssbench-result",
        model=loaded.record,
        episodes=EpisodesRecord(
            benchmark=manifest.benchmark,
            protocol=manifest.protocol.name,
            protocol_version=manifest.protocol.version,
            fold=manifest.fold,
            shot=job.shot,
            seed=job.seed,
            n_episodes=len(table.track.episodes),
            digest=table.track.digest,
            track_digest=record.digest,
            pools={pool.id: pool.sha256 for pool in manifest.classes},
            folds=manifest.definition.folds if manifest.definition else None,
        ),
        headline=job.headline.name,
        policies=tuple(_policy(name, table, job.episode_set) for name in table.policies),
        counts=counts,
        execution=execution,
        environment=environment,
        command=Request(asked=tuple(job.asked), resolved=dict(job.resolved or {})),
        official=not unofficial,
        unofficial=unofficial,
    )


def _policy(name: str, table: CountsTable, episode_set: EpisodeSet) -> PolicyResult:
    """All figures under one policy, from the counts alone."""
    names = {pool.id: pool.name for pool in episode_set.manifest.classes}
    counts = table.of(name)
    scores = score(table.class_ids, counts, classes=names)
    intervals = episode_intervals(table.class_ids, counts, classes=tuple(names), digest=table.track.digest)
    return PolicyResult(
        policy=name,
        miou=_figure(scores.miou, intervals.miou),
        fb_iou=_figure(scores.fb_iou, intervals.fb_iou),
        per_class=tuple(
            ClassResult(id=c, name=names[c], iou=_figure(scores.per_class[c], intervals.per_class[c])) for c in names
        ),
    )


def _figure(figure: Figure, interval: Interval | None) -> FigureRecord:
    return FigureRecord(
        value=figure.value,
        reason=figure.reason,
        n_episodes=figure.n_episodes,
        interval=IntervalRecord(low=interval.low, high=interval.high, method=METHOD) if interval else None,
    )


def _unofficial(loaded: LoadedModel, job: Job, environment: Environment) -> tuple[str, ...]:
    """Every reason why this result is not an official one."""
    record = job.episode_set.record(shot=job.shot, seed=job.seed)
    reasons = [*job.episode_set.manifest.unofficial, *record.unofficial]
    if job.n_episodes < record.episodes:
        reasons.append(f"only the first {job.n_episodes:,} of {record.episodes:,} episodes were asked")
    if loaded.record.backbone_weights == "none":
        reasons.append("the backbone has random weights")
    if loaded.model.needs_training and loaded.record.training == "untrained":
        reasons.append("the model is untrained")
    if job.headline != find_protocol(job.episode_set.manifest.protocol.name).headline:
        reasons.append(f"the headline is {job.headline.name}, which is not the protocol's")
    if environment.git_dirty:
        reasons.append("fssbench ran from a checkout with uncommitted changes")
    return tuple(reasons)

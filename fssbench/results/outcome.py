"""What an evaluation leaves on disk: predictions if they are kept, the table of counts, the result."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from fssbench.base.files import atomic_file, sha256_bytes
from fssbench.episodes.protocols import ScoringPolicy
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.results import counts_file
from fssbench.results.figures import policy_results
from fssbench.results.naming import results_folder
from fssbench.results.official import own_reasons, set_reasons
from fssbench.results.predictions import store_predictions
from fssbench.schemas.result import (
    SCHEMA_VERSION,
    CountsFile,
    Environment,
    EpisodesRecord,
    Execution,
    ModelRecord,
    Request,
    Result,
)
from fssbench.schemas.samples import PredictionSample
from fssbench.scoring.counts import CountsTable

__all__ = ["Outcome", "episodes_record", "result_path"]


def episodes_record(episode_set: EpisodeSet, *, shot: int, seed: int, n_episodes: int) -> EpisodesRecord:
    """What a model was asked: the first ``n_episodes`` of a track of the set."""
    manifest = episode_set.manifest
    record = episode_set.record(shot=shot, seed=seed)
    track = episode_set.tracks[record.label].first(n_episodes)
    return EpisodesRecord(
        benchmark=manifest.benchmark,
        protocol=manifest.protocol.name,
        protocol_version=manifest.protocol.version,
        fold=manifest.fold,
        shot=shot,
        seed=seed,
        n_episodes=n_episodes,
        digest=track.digest,
        truth_digest=episode_set.truth_digest(track),
        track_digest=record.digest,
        pools={pool.id: pool.sha256 for pool in manifest.classes},
        folds=manifest.definition.folds if manifest.definition else None,
    )


def result_path(output: Path, episodes: EpisodesRecord, model: ModelRecord) -> Path:
    """Where a model's result on a track goes below ``output``."""
    return output / episodes.benchmark / episodes.protocol / results_folder(model) / result_name(episodes)


def result_name(episodes: EpisodesRecord) -> str:
    """What the file of a result on a track is called."""
    return f"fold{episodes.fold}-{episodes.shot}shot-seed{episodes.seed}.json"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A scored track, ready to be written.

    Attributes:
        headline: the policy that rankings use.
        source: whether the model was asked, or its masks were there.
        execution: how the model was asked, if it was.
        masks: every episode's by index, to be kept beside the result, of which one at a time need be in memory; or
            ``None``.
    """

    model: ModelRecord
    episode_set: EpisodeSet
    table: CountsTable
    headline: ScoringPolicy
    source: Literal["measured", "recomputed"]
    execution: Execution | None
    environment: Environment
    command: Request
    masks: Iterable[PredictionSample] | None

    def write(self, path: Path) -> Result:
        """Write the result to ``path``, after everything it rests on, which lies beside it.

        What an earlier result left there is replaced when all of this one is on disk.
        """
        result = self.record
        # Last the result gets its name: on disk it always has its counts.
        with atomic_file(path) as record, atomic_file(path.with_name(result.counts.file)) as table:
            table.write(counts_file.to_bytes(self.table))
            table.flush()
            if self.masks is not None:
                folder = path.with_suffix(".predictions")
                kept = store_predictions(folder, self.masks, model=self.model, episodes=self.episodes)
                result = result.model_copy(update={"predictions": kept})
            record.write(result.to_json().encode())
        return result

    @property
    def episodes(self) -> EpisodesRecord:
        """What the model was asked."""
        track = self.table.track
        return episodes_record(self.episode_set, shot=track.shot, seed=track.seed, n_episodes=len(track.episodes))

    @cached_property
    def record(self) -> Result:
        """The result, every figure of it from the counts alone, before its masks are stored."""
        counts = counts_file.to_bytes(self.table)
        file = Path(result_name(self.episodes)).with_suffix(".counts.parquet")
        reasons = (
            *set_reasons(self.episode_set, self.episodes),
            *own_reasons(
                model=self.model,
                benchmark=self.episodes.benchmark,
                protocol=self.episodes.protocol,
                headline=self.headline.name,
                source=self.source,
                git_dirty=self.environment.git_dirty,
            ),
        )
        names = {pool.id: pool.name for pool in self.episode_set.manifest.classes}
        return Result(
            schema_version=SCHEMA_VERSION,
            kind="fssbench-result",
            model=self.model,
            episodes=self.episodes,
            headline=self.headline.name,
            policies=policy_results(self.table, classes=names),
            counts=CountsFile(file=file.name, sha256=sha256_bytes(counts), rows=self.table.counts[..., 0].size),
            predictions=None,
            source=self.source,
            execution=self.execution,
            environment=self.environment,
            command=self.command,
            official=not reasons,
            unofficial=reasons,
        )

"""What an evaluation is asked to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fssbench.base.errors import UsageError
from fssbench.engine.inference import USUAL, InferenceSettings
from fssbench.engine.model import LoadedModel
from fssbench.episodes.episodes import Track
from fssbench.episodes.protocols import ScoringPolicy, find_protocol
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.results.outcome import episodes_record, result_path
from fssbench.schemas.result import EpisodesRecord

__all__ = ["Job"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """A track to ask, and where the result goes.

    Attributes:
        episodes: the first so many of the track, or ``None`` for all.
        output: results are written below it; ``None`` to write nothing.
        inference: how the model is asked.
        exclude_ignored: which of the two ways to treat ignored pixels is the headline; both are scored.
        save_predictions: keep the masks beside the result.
        asked: the command line, for the record.
        resolved: every setting as it was resolved, for the record.
    """

    episode_set: EpisodeSet
    shot: int
    seed: int
    episodes: int | None
    output: Path | None
    device: str = "cpu"
    workers: int = 4
    inference: InferenceSettings = USUAL
    exclude_ignored: bool = True
    save_predictions: bool = False
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
    def track(self) -> Track:
        """The episodes asked."""
        return self.episode_set.tracks[self.episode_set.record(shot=self.shot, seed=self.seed).label].first(
            self.n_episodes
        )

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

    @property
    def asked_episodes(self) -> EpisodesRecord:
        """The episodes asked, as the result states them."""
        return episodes_record(self.episode_set, shot=self.shot, seed=self.seed, n_episodes=self.n_episodes)

    def path(self, loaded: LoadedModel) -> Path | None:
        """The result's file, if it is written."""
        return None if self.output is None else result_path(self.output, self.asked_episodes, loaded.record)

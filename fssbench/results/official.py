"""What speaks against calling a result official."""

from __future__ import annotations

from typing import Literal

from fssbench.base.errors import UsageError
from fssbench.episodes.benchmarks import find_benchmark
from fssbench.episodes.protocols import find_protocol
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.results.control_names import CONTROLS
from fssbench.schemas.result import EpisodesRecord, ModelRecord, TrainingRecord

__all__ = ["HANDED_IN", "IN_MEMORY", "own_reasons", "set_reasons", "trained_elsewhere"]


def set_reasons(episode_set: EpisodeSet, episodes: EpisodesRecord) -> tuple[str, ...]:
    """What speaks against a result in what was asked: the set, its track, and how much of it."""
    record = episode_set.record(shot=episodes.shot, seed=episodes.seed)
    reasons = [*episode_set.manifest.unofficial, *record.unofficial]
    if episodes.n_episodes < record.episodes:
        reasons.append(f"only the first {episodes.n_episodes:,} of {record.episodes:,} episodes were asked")
    return tuple(reasons)


HANDED_IN = "the masks were handed in, and which model made them is not known"
IN_MEMORY = "what the model was trained on is not known"


def own_reasons(
    *,
    model: ModelRecord,
    benchmark: str,
    protocol: str,
    headline: str,
    source: Literal["measured", "recomputed"],
    git_dirty: bool | None,
) -> tuple[str, ...]:
    """What speaks against a result in how it was answered and scored; the result alone tells."""
    reasons = []
    if model.backbone_weights == "none":
        reasons.append("the backbone has random weights")
    if model.training == "untrained":
        reasons.append("the model is untrained")
    if model.training == "unknown":
        reasons.append(IN_MEMORY if source == "measured" else HANDED_IN)
    if model.training == "undeclared":
        reasons.append("the model does not declare which weights it loaded, and what they were trained on")
    reasons += _training_reasons(model.trained, benchmark)
    if model.control is not None:
        reasons.append(f"it is the control {model.control}: {CONTROLS[model.control]}")
    if headline != find_protocol(protocol).headline.name:
        reasons.append(f"the headline is {headline}, which is not the protocol's")
    if git_dirty:
        reasons.append("fssbench ran from a checkout with uncommitted changes")
    return tuple(reasons)


def _training_reasons(trained: TrainingRecord | None, benchmark: str) -> list[str]:
    """What speaks against weights in how fssbench trained them."""
    if trained is None:
        return []
    reasons = []
    if trained.cut_short:
        reasons.append(f"it was trained {trained.steps:,} of {trained.planned_steps:,} planned steps")
    if trained_elsewhere(trained, benchmark):
        reasons.append(f"it was trained on {trained.benchmark}, not on what {benchmark} is trained on")
    return reasons


def trained_elsewhere(trained: TrainingRecord, benchmark: str) -> bool:
    """Whether weights were trained on another benchmark than models for ``benchmark`` are."""
    try:
        usual = find_benchmark(benchmark).training.name
    except UsageError:  # it is not built in, so models for it are trained on itself
        usual = benchmark
    return trained.benchmark not in {benchmark, usual}

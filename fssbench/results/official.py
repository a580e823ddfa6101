"""What speaks against calling a result official."""

from __future__ import annotations

from fssbench.episodes.protocols import find_protocol
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.results.control_names import CONTROLS
from fssbench.schemas.result import EpisodesRecord, ModelRecord

__all__ = ["own_reasons", "set_reasons"]


def set_reasons(episode_set: EpisodeSet, episodes: EpisodesRecord) -> tuple[str, ...]:
    """What speaks against a result in what was asked: the set, its track, and how much of it."""
    record = episode_set.record(shot=episodes.shot, seed=episodes.seed)
    reasons = [*episode_set.manifest.unofficial, *record.unofficial]
    if episodes.n_episodes < record.episodes:
        reasons.append(f"only the first {episodes.n_episodes:,} of {record.episodes:,} episodes were asked")
    return tuple(reasons)


def own_reasons(*, model: ModelRecord, protocol: str, headline: str, git_dirty: bool | None) -> tuple[str, ...]:
    """What speaks against a result in how it was answered and scored; the result alone tells."""
    reasons = []
    if model.backbone_weights == "none":
        reasons.append("the backbone has random weights")
    if model.training == "untrained":
        reasons.append("the model is untrained")
    if model.training == "unknown":
        reasons.append("the masks were handed in, and which model made them is not known")
    if model.control is not None:
        reasons.append(f"it is the control {model.control}: {CONTROLS[model.control]}")
    if headline != find_protocol(protocol).headline.name:
        reasons.append(f"the headline is {headline}, which is not the protocol's")
    if git_dirty:
        reasons.append("fssbench ran from a checkout with uncommitted changes")
    return tuple(reasons)

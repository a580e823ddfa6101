"""Controls: does a model use its support at all? (HDMNet, appendix A)

A control asks the very same episodes, with supports that say nothing or something else about the class:

``no-support``: the episode's own support images, their masks all zero.
``wrong-class``: the supports, images and masks, of another episode, of another novel class of the fold. Which
    one follows from the track's digest and the episode's index, and not from how many episodes are asked; its
    supports do not include the query's image, which may show that other class all the same.

A model whose score stays is segmenting what stands out. Scores of a control are never ranked and never official.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TypeVar

import numpy as np

from fssbench.base.errors import UsageError
from fssbench.episodes.episodes import Track
from fssbench.episodes.strict import HashStream
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.episode_sets.stream import Frame, decode_frame
from fssbench.pipelines.formats.shards import images_ahead
from fssbench.results.control_names import require_control

__all__ = ["Supports", "controlled", "lenders"]

T = TypeVar("T")
Supports = Callable[[int, Sequence[Frame]], tuple[T, ...]]
"""From an episode's index and its own support frames to the supports that the model is shown."""


LENDERS = 25
"""Episodes of a class, the first ones, that lend their supports: so few that their images can be held encoded."""

HELD = 64
"""Lent supports held decoded."""


def controlled(
    control: str, episode_set: EpisodeSet, *, shot: int, seed: int, show: Callable[[Frame], T]
) -> Supports[T]:
    """What a control shows instead of an episode's supports, each turned into what ``show`` makes of a frame.

    Raises `UsageError` if there is no such control, or the fold has one class alone and ``wrong-class`` no other.
    """
    require_control(control)
    if control == "no-support":
        return lambda index, own: tuple(show(replace(f, mask=np.zeros_like(f.mask))) for f in own)
    return _of_other_classes(episode_set, shot=shot, seed=seed, show=show)


def lenders(track: Track) -> list[int]:
    """For each episode of ``track`` the index of the one, of another class, whose supports it is shown."""
    by_class: dict[int, list[int]] = {}
    for index, episode in enumerate(track.episodes):
        if len(by_class.setdefault(episode.class_id, [])) < LENDERS:
            by_class[episode.class_id].append(index)
    return [_lender(track, by_class, index) for index in range(len(track.episodes))]


def _lender(track: Track, by_class: dict[int, list[int]], index: int) -> int:
    episode = track.episodes[index]
    lending = {
        class_id: [one for one in by_class[class_id] if episode.query not in track.episodes[one].supports]
        for class_id in sorted(by_class)
        if class_id != episode.class_id
    }
    classes = [class_id for class_id, ones in lending.items() if ones]
    if not classes:
        raise UsageError(
            f"no other class of {track.benchmark} fold {track.fold} can lend episode {index} its supports",
            remedy="the control wrong-class needs a track of several classes; no-support does not",
        )
    stream = HashStream("fssbench control wrong-class/1", track.digest, index)
    ones = lending[classes[stream.below(len(classes))]]
    return ones[stream.below(len(ones))]


def _of_other_classes(episode_set: EpisodeSet, *, shot: int, seed: int, show: Callable[[Frame], T]) -> Supports[T]:
    track = episode_set.tracks[episode_set.record(shot=shot, seed=seed).label]
    chosen = lenders(track)
    lent = [track.episodes[index] for index in chosen]
    keys = episode_set.keys()
    wanted = {keys[episode.class_id, image_id] for episode in lent for image_id in episode.supports}
    encoded = {
        sample.key: sample
        for samples in images_ahead(episode_set.place, episode_set.shards("images"))
        for sample in samples
        if sample.key in wanted
    }

    @lru_cache(maxsize=HELD)
    def shown(key: str) -> T:
        return show(decode_frame(episode_set, encoded[key]))

    def supports(index: int, own: Sequence[Frame]) -> tuple[T, ...]:
        return tuple(shown(keys[lent[index].class_id, image_id]) for image_id in lent[index].supports)

    return supports

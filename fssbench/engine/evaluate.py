"""Evaluation: episodes stream in, masks are scored where they are, integers come out."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fssbench.engine.askers import FeatureAsker, PreparedEpisode, PreparedFrame, asker_of, prepared
from fssbench.engine.controls import controlled
from fssbench.engine.inference import USUAL, InferenceCost, InferenceSettings
from fssbench.engine.naming import author, naming
from fssbench.engine.shown import Shown
from fssbench.episodes.episodes import Episode
from fssbench.episodes.protocols import ScoringPolicy
from fssbench.models.blame import blamed
from fssbench.models.interface import EpisodeSegmenter, FewShotSegmenter, Size
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.episode_sets.stream import Frame, StreamedEpisode, stream
from fssbench.results.counting import policy_counts
from fssbench.results.policies import policies_for, query_facts
from fssbench.schemas.samples import MaskSize
from fssbench.scoring.counts import CountsTable, EpisodeCounts

__all__ = ["Answer", "answers", "evaluate"]


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """One scored episode, for whoever looks on.

    Attributes:
        index: the episode's index in its track.
        query: its frame.
        supports: the frames of those the model was shown.
        masks: the predicted mask (H, W) uint8 by size, ``original`` and ``model``.
        counts: (P, 5) int64, a row a scoring policy in the order of `policies_for`.
    """

    index: int
    episode: Episode
    query: Frame
    supports: tuple[Frame, ...]
    masks: dict[MaskSize, Tensor]
    counts: npt.NDArray[np.int64]

    @property
    def scored(self) -> EpisodeCounts:
        """The answer as the table of counts has it."""
        return EpisodeCounts(self.index, self.counts, query_facts(self.query.mask, self.query.n_classes))


def evaluate(
    model: FewShotSegmenter,
    episode_set: EpisodeSet,
    *,
    shot: int,
    seed: int,
    episodes: int | None = None,
    device: str = "cpu",
    workers: int = 4,
    inference: InferenceSettings = USUAL,
) -> CountsTable:
    """Ask ``model`` the episodes of a track and count its masks; arguments and errors as in `answers`."""
    asked = answers(
        model, episode_set, shot=shot, seed=seed, episodes=episodes, device=device, workers=workers, inference=inference
    )
    track = episode_set.tracks[episode_set.record(shot=shot, seed=seed).label]
    names = tuple(policy.name for policy in policies_for(episode_set))
    track = track if episodes is None else track.first(episodes)
    return CountsTable.of(track, names, (a.scored for a in asked), truth_digest=episode_set.truth_digest(track))


def answers(
    model: FewShotSegmenter,
    episode_set: EpisodeSet,
    *,
    shot: int,
    seed: int,
    episodes: int | None = None,
    skip: Container[int] = frozenset(),
    control: str | None = None,
    device: str = "cpu",
    workers: int = 4,
    inference: InferenceSettings = USUAL,
    cost: InferenceCost | None = None,
) -> Iterator[Answer]:
    """Ask ``model`` the episodes of a track, class by class, and score each.

    A mask depends neither on the order of the episodes in their class, nor on how many are asked, nor on what
    was held of others: see `FeatureAsker`.

    Args:
        shot: of the track.
        seed: of the track.
        episodes: the first so many, or ``None`` for all.
        skip: indices of episodes that are not asked.
        control: show other supports than the episode's own; see `fssbench.engine.controls`.
        device: a torch device.
        workers: decoding threads.
        inference: how the model is asked.
        cost: counts what that took.

    Raises:
        EpisodeSetError: the set is damaged.
        ModelError: the model's masks are not what they must be, or memory does not suffice.
    """
    cost = InferenceCost() if cost is None else cost
    policies = policies_for(episode_set)
    classes = {pool.id: pool.name for pool in episode_set.manifest.classes}
    shown = Shown(benchmark=episode_set.manifest.benchmark, class_names=classes)
    ask = asker_of(model, device, inference, shown, cost)
    show = _show(model)
    swap = controlled(control, episode_set, shot=shot, seed=seed, show=show) if control else None
    streamed = stream(
        episode_set,
        shot=shot,
        seed=seed,
        episodes=episodes,
        skip=skip,
        transform=show,
        workers=workers,
        # What a control shows instead is not known in advance.
        arrange=ask.arrange if isinstance(ask, FeatureAsker) and swap is None else None,
    )
    for part in _in_parts(streamed, ask.batch):
        supports = [swap(p.index, [one.frame for one in p.supports]) if swap else p.supports for p in part]
        asked = [
            PreparedEpisode(item.query, shown, list(_sizes(item.query).values()), item.index, _name(item, classes))
            for item, shown in zip(part, supports, strict=True)
        ]
        with inference.arithmetic(gradients=model.needs_gradients):
            found = ask(asked)
        for item, one, masks in zip(part, asked, found, strict=True):
            with naming(model, [one.name]):
                answer = _answer(item, one, dict(zip(_sizes(item.query), masks, strict=True)), policies)
            yield answer


def _name(item: StreamedEpisode[PreparedFrame], classes: Mapping[int, str]) -> str:
    """What messages call an episode."""
    return f"episode {item.index} (class {classes[item.episode.class_id]}, query {item.query.frame.image_id})"


def _answer(
    item: StreamedEpisode[PreparedFrame],
    asked: PreparedEpisode,
    masks: dict[MaskSize, Tensor],
    policies: Sequence[ScoringPolicy],
) -> Answer:
    """Score the masks of an episode where they are."""
    query, device = asked.query.frame, masks["original"].device
    truth = torch.from_numpy(query.mask).to(device)
    ignore = None if query.ignore is None else torch.from_numpy(query.ignore).to(device)
    counts = policy_counts(masks, truth, ignore, policies)
    return Answer(item.index, item.episode, query, tuple(one.frame for one in asked.supports), masks, counts)


def _in_parts(
    streamed: Iterator[StreamedEpisode[PreparedFrame]], size: int
) -> Iterator[list[StreamedEpisode[PreparedFrame]]]:
    """Neighbours of one class, so many at a time."""
    for _, of_class in groupby(streamed, key=lambda item: item.episode.class_id):
        while part := list(islice(of_class, size)):
            yield part


def _sizes(query: PreparedFrame) -> dict[MaskSize, Size]:
    """At which sizes a query is scored."""
    height, width = query.frame.mask.shape
    return {"original": (height, width), "model": query.geometry.content}


def _show(model: FewShotSegmenter) -> Callable[[Frame], PreparedFrame]:
    preprocess, as_it_is = model.preprocess, isinstance(model, EpisodeSegmenter)

    def show(frame: Frame) -> PreparedFrame:
        with blamed(author(model), doing=f"in preprocess of image {frame.image_id}"):
            return prepared(frame, preprocess, as_it_is=as_it_is)

    return show

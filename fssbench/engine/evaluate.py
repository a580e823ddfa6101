"""Evaluation: episodes stream in, masks are scored where they are, integers come out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fssbench.engine.asked import Asked
from fssbench.engine.askers import asker_of
from fssbench.engine.controls import Supports, controlled
from fssbench.engine.feature_asker import FeatureAsker
from fssbench.engine.inference import USUAL, InferenceCost, InferenceSettings
from fssbench.engine.naming import author, naming, require_finite
from fssbench.engine.prepared import PreparedEpisode, PreparedFrame, prepare
from fssbench.engine.shown import Shown
from fssbench.engine.transfer import Transfer
from fssbench.episodes.episodes import Episode
from fssbench.episodes.protocols import ScoringPolicy
from fssbench.models.blame import blamed
from fssbench.models.interface import EpisodeSegmenter, FewShotSegmenter
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.episode_sets.stream import Frame, StreamedEpisode, stream
from fssbench.results.counting import facts_of, pixel_sums, scored
from fssbench.results.policies import policies_for
from fssbench.schemas.samples import MaskSize
from fssbench.scoring.counts import CountsTable, EpisodeCounts, QueryFacts

__all__ = ["Answer", "answers", "behind", "evaluate"]

T = TypeVar("T")
SIZES: tuple[MaskSize, ...] = ("original", "model")


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """One scored episode, for whoever looks on.

    Attributes:
        index: the episode's index in its track.
        query: its frame.
        supports: the frames of those the model was shown.
        masks: the predicted mask (H, W) uint8 by size, ``original`` and ``model``.
        counts: (P, 5) int64, a row a scoring policy in the order of `policies_for`.
        facts: what the query is.
    """

    index: int
    episode: Episode
    query: Frame
    supports: tuple[Frame, ...]
    masks: dict[MaskSize, Tensor]
    counts: npt.NDArray[np.int64]
    facts: QueryFacts

    @property
    def scored(self) -> EpisodeCounts:
        """The answer as the table of counts has it."""
        return EpisodeCounts(self.index, self.counts, self.facts)


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
    classes = {pool.id: pool.name for pool in episode_set.manifest.classes}
    shown = Shown(benchmark=episode_set.manifest.benchmark, class_names=classes)
    ask = asker_of(model, device, inference, shown, cost)
    transfer = Transfer("cpu" if isinstance(model, EpisodeSegmenter) else device)
    show = _show(model, transfer)
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

    def begun() -> Iterator[_Begun]:
        for part in _in_parts(streamed, ask.batch):
            asked = [_asked(item, classes, swap) for item in part]
            transfer.arrived(tensor for one in asked for f in (one.query, *one.supports) for tensor in f.tensors)
            with inference.arithmetic(gradients=model.needs_gradients):
                answered = _answered(model, asked, ask(asked))
            yield _Begun(part, asked, transfer.fetch(answered))

    policies = policies_for(episode_set)
    for part in behind(begun(), transfer.ahead):
        yield from part.finished(model, policies)


@dataclass(frozen=True, slots=True, eq=False)
class _Begun:
    """Episodes that were asked, and their answers on the way to the host."""

    items: Sequence[StreamedEpisode[PreparedFrame]]
    asked: Sequence[PreparedEpisode]
    wait: Callable[[], list[Tensor]]

    def finished(self, model: FewShotSegmenter, policies: Sequence[ScoringPolicy]) -> Iterator[Answer]:
        """The answers, when they are there."""
        finite, sums, *masks = self.wait()
        require_finite(model, finite, [one.name for one in self.asked])
        for item, one, summed in zip(self.items, self.asked, sums.numpy(), strict=True):
            own = dict(zip(SIZES, [masks.pop(0) for _ in SIZES], strict=True))
            with naming(model, [one.name]):
                counts = scored(summed, SIZES, policies)
            frames = tuple(shown.frame for shown in one.supports)
            facts = facts_of(summed[SIZES.index("original")], one.query.frame.n_classes)
            yield Answer(item.index, item.episode, one.query.frame, frames, own, counts, facts)


def _asked(
    item: StreamedEpisode[PreparedFrame], classes: Mapping[int, str], swap: Supports[PreparedFrame] | None
) -> PreparedEpisode:
    query, supports = item.query, item.supports
    name = f"episode {item.index} (class {classes[item.episode.class_id]}, query {query.frame.image_id})"
    if swap is not None:
        supports = swap(item.index, [one.frame for one in supports])
    sizes = [(mask.shape[-2], mask.shape[-1]) for mask in (query.truths[size].mask for size in SIZES)]
    return PreparedEpisode(query, supports, sizes, item.index, name)


def _answered(model: FewShotSegmenter, asked: Sequence[PreparedEpisode], found: Asked) -> list[Tensor]:
    """All that leaves the device: whether numbers were finite, the masks' sums (N, S, 7), and the masks."""
    sums = []
    for one, masks in zip(asked, found.masks, strict=True):
        with naming(model, [one.name]):
            truths = (one.query.truths[size].on(mask.device) for size, mask in zip(SIZES, masks, strict=True))
            sums.append(torch.stack([pixel_sums(m, t.mask, t.ignore) for m, t in zip(masks, truths, strict=True)]))
    return [found.finite, torch.stack(sums), *(mask for masks in found.masks for mask in masks)]


def behind(things: Iterator[T], n: int) -> Iterator[T]:
    """Things in their order, each when ``n`` more have been begun, or as soon as none comes any more."""
    waiting: deque[T] = deque()
    try:
        for thing in things:
            waiting.append(thing)
            if len(waiting) > n:
                yield waiting.popleft()
    except Exception:  # what was begun before it is finished
        yield from waiting
        raise
    yield from waiting


def _in_parts(
    streamed: Iterator[StreamedEpisode[PreparedFrame]], size: int
) -> Iterator[list[StreamedEpisode[PreparedFrame]]]:
    """Neighbours of one class, so many at a time."""
    for _, of_class in groupby(streamed, key=lambda item: item.episode.class_id):
        while part := list(islice(of_class, size)):
            yield part


def _show(model: FewShotSegmenter, transfer: Transfer) -> Callable[[Frame], PreparedFrame]:
    def show(frame: Frame) -> PreparedFrame:
        with blamed(author(model), doing=f"in preprocess of image {frame.image_id}"):
            return prepare(frame, model.preprocess, with_pixels=model.reads_pixels, send=transfer.send)

    return show

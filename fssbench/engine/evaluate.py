"""Evaluation: episodes stream in, masks are scored where they are, integers come out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fssbench.counts import CountsTable, EpisodeCounts, QueryFacts
from fssbench.engine.controls import controlled
from fssbench.engine.counting import policy_counts
from fssbench.episodes import Episode
from fssbench.models.interface import FeatureSegmenter, FewShotSegmenter, Preprocess, check_answer
from fssbench.pipelines.episode_set import EpisodeSet
from fssbench.pipelines.samples import MaskSize
from fssbench.pipelines.stream import Frame, stream
from fssbench.protocols import ScoringPolicy

__all__ = ["Answer", "answers", "evaluate", "policies_for", "query_facts"]

FEATURE_BYTES = 2 << 30
"""Features held on the device; what is dropped for want of room is computed again."""


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A frame as the model sees it, and as it is scored.

    Attributes:
        frame: the decoded image at its original size.
        pixels: (3, s, s) uint8, squashed to the model's input size.
        mask: (s, s) bool, likewise.
    """

    frame: Frame
    pixels: Tensor
    mask: Tensor


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


def query_facts(mask: npt.NDArray[np.bool_], n_classes: int | None) -> QueryFacts:
    """What a query with this class mask (H, W) is."""
    return QueryFacts(object_pixels=int(mask.sum()), image_pixels=mask.size, n_classes=n_classes)


def policies_for(episode_set: EpisodeSet) -> tuple[ScoringPolicy, ...]:
    """The policies a set is scored by: at both sizes, and where pixels are ignored, with and without them."""
    ignoring = (True,) if episode_set.manifest.ignore_label is None else (True, False)
    return tuple(
        ScoringPolicy(size=size, exclude_ignored=ignore) for size in ("original", "model") for ignore in ignoring
    )


def evaluate(
    model: FewShotSegmenter,
    episode_set: EpisodeSet,
    *,
    shot: int,
    seed: int,
    episodes: int | None = None,
    device: str = "cpu",
    workers: int = 4,
) -> CountsTable:
    """Ask ``model`` the episodes of a track and count its masks; arguments and errors as in `answers`."""
    asked = answers(model, episode_set, shot=shot, seed=seed, episodes=episodes, device=device, workers=workers)
    track = episode_set.tracks[episode_set.record(shot=shot, seed=seed).label]
    names = tuple(policy.name for policy in policies_for(episode_set))
    return CountsTable.of(track if episodes is None else track.first(episodes), names, (a.scored for a in asked))


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
) -> Iterator[Answer]:
    """Ask ``model`` the episodes of a track, in the order of the evaluation plan, and score each.

    Images are encoded and episodes matched one at a time, as the evaluation plan says, so that the masks
    do not depend on how many episodes are asked, nor on what was in the cache.

    Args:
        shot: of the track.
        seed: of the track.
        episodes: the first so many, or ``None`` for all.
        skip: indices of episodes that are not asked.
        control: show other supports than the episode's own; see `fssbench.engine.controls`.
        device: a torch device.
        workers: decoding threads.

    Raises:
        EpisodeSetError: the set is damaged.
        ModelError: the model's masks are not what they must be.
    """
    policies = policies_for(episode_set)
    model = model.to(device).eval()
    ask = FeatureAsker(model, device) if isinstance(model, FeatureSegmenter) else PlainAsker(model, device)
    show = _show(model.preprocess)
    swap = controlled(control, episode_set, shot=shot, seed=seed, show=show) if control else None
    streamed = stream(
        episode_set,
        shot=shot,
        seed=seed,
        episodes=episodes,
        skip=skip,
        transform=show,
        workers=workers,
    )
    for item in streamed:
        query = item.query.frame
        supports = swap(item.index, [one.frame for one in item.supports]) if swap else item.supports
        sizes: dict[MaskSize, tuple[int, int]] = {
            "original": (query.mask.shape[0], query.mask.shape[1]),
            "model": (item.query.mask.shape[0], item.query.mask.shape[1]),
        }
        with torch.inference_mode(), _exact_float32():
            masks = dict(zip(sizes, ask(item.query, supports, list(sizes.values())), strict=True))
            truth = torch.from_numpy(query.mask).to(device)
            ignore = None if query.ignore is None else torch.from_numpy(query.ignore).to(device)
            counts = policy_counts(masks, truth, ignore, policies)
        shown = tuple(support.frame for support in supports)
        yield Answer(item.index, item.episode, query, shown, masks, counts)


@contextmanager
def _exact_float32() -> Iterator[None]:
    """Full float32 in convolutions, and the same algorithm every time, also on a GPU."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield


def _show(preprocess: Preprocess) -> Callable[[Frame], Shown]:
    def show(frame: Frame) -> Shown:
        return Shown(frame, preprocess.image(frame.image), preprocess.mask(frame.mask))

    return show


class PlainAsker:
    """Asks a model that answers whole episodes."""

    def __init__(self, model: FewShotSegmenter, device: str) -> None:
        self.model = model
        self.device = device

    def __call__(self, query: Shown, supports: tuple[Shown, ...], sizes: list[tuple[int, int]]) -> list[Tensor]:
        """The masks (h, w) uint8 of one episode, one for each size."""
        normalise = self.model.preprocess.normalise
        images = normalise(torch.stack([query.pixels, *(s.pixels for s in supports)]).to(self.device))
        shown = torch.stack([s.mask for s in supports]).to(self.device).float()
        masks = self.model.predict_sizes(images[:1], images[None, 1:], shown[None], sizes)
        return _only(self.model, masks, sizes)


class FeatureAsker:
    """Asks a model that compares features; those of an image are computed once while they are held."""

    def __init__(self, model: FeatureSegmenter, device: str, *, budget: int = FEATURE_BYTES) -> None:
        self.model = model
        self.device = device
        self.budget = budget
        self.held: OrderedDict[tuple[str, str], list[Tensor]] = OrderedDict()
        self.bytes = 0

    def __call__(self, query: Shown, supports: tuple[Shown, ...], sizes: list[tuple[int, int]]) -> list[Tensor]:
        """The masks (h, w) uint8 of one episode, one for each size."""
        asked = self._features(query)
        conditioned = [self._conditioned(support) for support in supports]
        # (K maps of (1, …)) for each layer → one (1, K, …)
        shown = [torch.stack(layer, dim=1) for layer in zip(*conditioned, strict=True)]
        logits = self.model.match(asked, shown)
        masks = [self.model.decide(logits, size) for size in sizes]
        return _only(self.model, masks, sizes)

    def _features(self, shown: Shown) -> list[Tensor]:
        return self._once(("image", shown.frame.key), lambda: self.model.encode(self._input(shown)))

    def _conditioned(self, shown: Shown) -> list[Tensor]:
        def condition() -> list[Tensor]:
            mask = shown.mask[None].to(self.device).float()
            return self.model.condition(self._features(shown), self._input(shown), mask)

        return self._once(("support", shown.frame.key), condition)

    def _input(self, shown: Shown) -> Tensor:
        return self.model.preprocess.normalise(shown.pixels[None].to(self.device))

    def _once(self, key: tuple[str, str], compute: Callable[[], list[Tensor]]) -> list[Tensor]:
        """What was computed for ``key``, the least recently used given up when the budget is spent."""
        if key in self.held:
            self.held.move_to_end(key)
            return self.held[key]
        features = compute()
        self.held[key] = features
        self.bytes += _size(features)
        while self.bytes > self.budget and len(self.held) > 1:
            _, dropped = self.held.popitem(last=False)
            self.bytes -= _size(dropped)
        return features


def _only(model: FewShotSegmenter, masks: list[Tensor], sizes: list[tuple[int, int]]) -> list[Tensor]:
    """The masks (h, w) of the one episode asked, out of (1, h, w); `ModelError` if one has not the size asked for."""
    for mask, size in zip(masks, sizes, strict=True):
        check_answer(model, mask, (1, *size))
    return [mask[0] for mask in masks]


def _size(features: list[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in features)

"""Asking a model whole episodes, and which asker is a model's."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fssbench.engine.asked import Asked, batch_of, cast, give_back, images_of, masks_of_frames, only, short_of_memory
from fssbench.engine.feature_asker import FeatureAsker
from fssbench.engine.inference import InferenceCost, InferenceSettings, ready
from fssbench.engine.kept_weights import KeptWeights
from fssbench.engine.naming import author, naming
from fssbench.engine.prepared import PreparedEpisode
from fssbench.engine.shown import Shown
from fssbench.models.blame import blamed, called
from fssbench.models.interface import EpisodeSegmenter, FeatureSegmenter, FewShotSegmenter

__all__ = ["Asker", "EpisodeAsker", "PlainAsker", "asker_of"]


class EpisodeAsker:
    """Asks a model that is shown the images as they are, one episode at a time."""

    batch = 1

    def __init__(
        self, model: EpisodeSegmenter, device: str, inference: InferenceSettings, shown: Shown, cost: InferenceCost
    ) -> None:
        with blamed(author(model), doing=f"on its way to {device}"):
            self.model = ready(model, device)
        self.device, self.inference, self.shown, self.cost = device, inference, shown, cost
        self.weights = KeptWeights(self.model)

    def __call__(self, episodes: Sequence[PreparedEpisode]) -> Asked:
        """Ask episodes one after the other."""
        return _checked_by_themselves([self._ask(episode) for episode in episodes])

    def _ask(self, asked: PreparedEpisode) -> list[Tensor]:
        query, supports = asked.query.frame, [one.frame for one in asked.supports]
        self.cost.encoded += 1 + len(supports)
        episode = self.shown.to(self.model, asked.index, query, supports)
        with naming(self.model, [asked.name]):
            with self.weights.restored(), cast(self.device, self.inference.dtype):
                given = self.model.segment(episode)
            return self.model.masks_of(given, asked.query.geometry, asked.sizes, of=called(author(self.model)))


class PlainAsker:
    """Asks whole episodes: one at a time, or several where the model says it can.

    Attributes:
        batch: how many at a time; halved when memory runs out.
    """

    def __init__(self, model: FewShotSegmenter, device: str, inference: InferenceSettings, cost: InferenceCost) -> None:
        with blamed(author(model), doing=f"on its way to {device}"):
            self.model = ready(model, device)
        self.device, self.inference, self.cost = device, inference, cost
        self.batch = cost.batch = batch_of(model, device, inference)
        self.weights = KeptWeights(self.model)

    def __call__(self, episodes: Sequence[PreparedEpisode]) -> Asked:
        """Ask episodes, as many at a time as memory allows."""
        masks: list[list[Tensor]] = []
        while len(masks) < len(episodes):
            found = self._try(episodes[len(masks) : len(masks) + self.batch])
            if found is None:
                self.cost.shortages += 1
                self.batch = self.cost.batch = self.batch // 2
                give_back(self.device)
            else:
                masks += found
        return _checked_by_themselves(masks)

    def _try(self, part: Sequence[PreparedEpisode]) -> list[list[Tensor]] | None:
        """The masks, or ``None`` if memory ran out and less can be asked at a time."""
        with naming(self.model, [one.name for one in part]):
            try:
                with self.weights.restored(), cast(self.device, self.inference.dtype):
                    return self._ask(part)
            except RuntimeError as error:
                if self.batch == 1 or not short_of_memory(error):
                    raise
                return None

    def _ask(self, part: Sequence[PreparedEpisode]) -> list[list[Tensor]]:
        reads = self.model.reads_pixels
        query, *supports = [
            images_of(frames, self.model.preprocess, self.device, read=reads)
            for frames in zip(*[(one.query, *one.supports) for one in part], strict=True)
        ]
        shown = [
            masks_of_frames(frames, self.device, as_bools=not reads)
            for frames in zip(*[o.supports for o in part], strict=True)
        ]
        self.cost.encoded += len(query) * (1 + len(supports))
        if len(part) == 1 and self.model.preprocess.shape is not None and not part[0].query.geometry.padded:
            sizes = list(part[0].sizes)
            images = _beside(supports) if reads else supports[0][:, None].expand(-1, len(supports), -1, -1, -1)
            return [only(self.model, self.model.predict_sizes(query, images, _beside(shown), sizes), sizes)]
        return self.model.predict_framed(query, supports, shown, [(one.query.geometry, one.sizes) for one in part])


Asker = EpisodeAsker | PlainAsker | FeatureAsker


def asker_of(
    model: FewShotSegmenter, device: str, inference: InferenceSettings, shown: Shown, cost: InferenceCost
) -> Asker:
    """What asks a model of its kind."""
    if isinstance(model, EpisodeSegmenter):
        return EpisodeAsker(model, device, inference, shown, cost)
    if inference.fast and isinstance(model, FeatureSegmenter):
        return FeatureAsker(model, device, inference, cost)
    return PlainAsker(model, device, inference, cost)


def _beside(shots: Sequence[Tensor]) -> Tensor:
    """K tensors (B, …) as one (B, K, …)."""
    return shots[0][:, None] if len(shots) == 1 else torch.stack(list(shots), dim=1)


def _checked_by_themselves(masks: list[list[Tensor]]) -> Asked:
    """Masks of a model that looks itself whether numbers are finite, if it has any."""
    return Asked(masks, torch.ones(len(masks), dtype=torch.bool))

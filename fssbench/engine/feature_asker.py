"""Asking a model that compares features, which are computed once and matched."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from fssbench.base.belady import BeladyCache
from fssbench.base.errors import ModelError
from fssbench.engine.asked import (
    Asked,
    batch_of,
    cast,
    give_back,
    held_of_frames,
    images_of,
    masks_of_frames,
    only,
    short_of_memory,
)
from fssbench.engine.inference import InferenceCost, InferenceSettings, ready
from fssbench.engine.kept_weights import KeptWeights
from fssbench.engine.naming import naming
from fssbench.engine.order import order_for_reuse
from fssbench.engine.prepared import PreparedEpisode, PreparedFrame
from fssbench.models.blame import blamed
from fssbench.models.checks import check_answer, check_features, check_logits
from fssbench.models.fast.accelerate import accelerate
from fssbench.models.interface import FeatureSegmenter, Size
from fssbench.schemas.samples import EpisodeSample

__all__ = ["FeatureAsker", "Key", "feature_bytes"]

T = TypeVar("T")
Key = tuple[str, str]
USUAL_SIZE = (480, 640)
"""Of a photograph: what an image is taken for before it is there."""


class FeatureAsker:
    """Asks a model that compares features; those of an image are computed once while they are held.

    Where several are computed at a time, there are always as many: the last ones are repeated to fill the batch.
    So what comes out for one does not depend on which others there are, nor on what was held.

    Attributes:
        asked: the model itself; what answers is its accelerated twin.
        batch: how many at a time; halved when memory runs out.
    """

    def __init__(self, model: FeatureSegmenter, device: str, inference: InferenceSettings, cost: InferenceCost) -> None:
        self.device, self.cost = device, cost
        self.asked = model
        with blamed(model, doing=f"on its way to {device}"):
            self.model = _prepared(ready(model, device), device, inference)
        self.cast = torch.float32 if self.model.casts_whole else inference.dtype
        self.encode = torch.compile(self.model.encode) if inference.compiled else self.model.encode
        self.batch = cost.batch = batch_of(model, device, inference)
        self.cache: BeladyCache[Key, list[Tensor]] = BeladyCache(inference.feature_cache)
        self.size = feature_bytes(self.model, device)
        self.weights = KeptWeights(self.model)
        self.upcoming: dict[int, list[EpisodeSample]] = {}
        self.class_id = -1
        self.done = 0

    def arrange(self, samples: list[EpisodeSample]) -> list[EpisodeSample]:
        """A class's episodes in the order in which they will be asked."""
        if self.size:
            needs = [(sample.query, *sample.supports) for sample in samples]
            each = self.size * (2 if self.model.keeps_supports else 1)
            samples = [samples[i] for i in order_for_reuse(needs, int(self.cache.budget // each))]
        if samples:
            self.upcoming[samples[0].class_id] = samples
        return samples

    def __call__(self, episodes: Sequence[PreparedEpisode]) -> Asked:
        """Ask episodes of one class.

        Raises:
            ModelError: memory does not suffice for one episode at a time.
        """
        self._expect(episodes[0].query.frame.class_id)
        masks: list[list[Tensor]] = []
        finite: list[Tensor] = []
        while len(masks) < len(episodes):
            part = episodes[len(masks) : len(masks) + self.batch]
            found = self._try(part)
            if found is None:
                self._lessen()
            else:
                masks += found.masks
                finite.append(found.finite)
                self.done += len(part)
        return Asked(masks, torch.cat(finite))

    def _expect(self, class_id: int) -> None:
        if class_id == self.class_id:
            return
        self.class_id, self.done = class_id, 0
        if samples := self.upcoming.pop(class_id, None):
            self.cache.expect(list(self.needs(samples)))

    def needs(self, samples: Sequence[EpisodeSample]) -> Iterator[list[Key]]:
        """For each episode the features that it takes."""
        shown: set[str] = set()
        for sample in samples:
            images = [sample.query]
            if not self.model.keeps_supports:
                images += sample.supports
            elif self.model.reads_features:
                images += [key for key in sample.supports if key not in shown]
            shown.update(sample.supports)
            kept = sample.supports if self.model.keeps_supports else ()
            yield [*(("image", key) for key in images), *(("support", key) for key in kept)]

    def _try(self, part: Sequence[PreparedEpisode]) -> Asked | None:
        """The masks, or ``None`` if memory ran out."""
        with naming(self.asked, [one.name for one in part]):
            try:
                with cast(self.device, self.cast):
                    return self._ask(part)
            except RuntimeError as error:
                if not short_of_memory(error):
                    raise
                return None

    def _lessen(self) -> None:
        """Try less at a time with less kept, and in the end one episode with nothing kept."""
        self.cost.shortages += 1
        self.cache.clear()
        if self.batch > 1:
            self.batch = self.cost.batch = self.batch // 2
            self.cache.budget //= 2
        elif self.cache.budget:
            self.cache.budget = 0
        else:
            raise ModelError(
                f"{self.device} does not have the memory for one episode at a time",
                remedy="choose a smaller backbone or --option size=…, --precision bf16, or another --device",
            )
        give_back(self.device)

    def _ask(self, part: Sequence[PreparedEpisode]) -> Asked:
        queries = {one.query.frame.key: one.query for one in part}
        supports = {support.frame.key: support for one in part for support in one.supports}
        self.cache.begin(
            [("image", key) for key in queries | supports] + [("support", key) for key in supports], done=self.done
        )
        images = dict(queries)
        if self.model.reads_features:
            images |= {key: one for key, one in supports.items() if ("support", key) not in self.cache}
        asked = self._features(images)
        shown = self._supports(supports, asked)
        filled = [*part, *[part[-1]] * (self.batch - len(part))]
        with self.weights.restored():
            logits = self.model.match_episodes(
                [asked[one.query.frame.key] for one in filled],
                [[shown[support.frame.key] for support in one.supports] for one in filled],
            )
        check_logits(self.asked, logits, len(filled))
        logits = logits[: len(part)].detach()
        return Asked(self._decide(logits, part), logits.isfinite().flatten(1).all(dim=1))

    def _decide(self, logits: Tensor, part: Sequence[PreparedEpisode]) -> list[list[Tensor]]:
        """The masks of each, those of one size together where nothing is padded."""
        if any(one.query.geometry.padded for one in part):
            framed = [(logits[i : i + 1], one.query.geometry, one.sizes) for i, one in enumerate(part)]
            return [only(self.asked, self.model.decide_framed(*one), one[2]) for one in framed]
        together: dict[Size, list[int]] = {}
        for i, one in enumerate(part):
            for size in dict.fromkeys(one.sizes):
                together.setdefault(size, []).append(i)
        masks: dict[tuple[int, Size], Tensor] = {}
        for size, ones in together.items():
            of_them = logits if len(ones) == len(part) else torch.cat([logits[i : i + 1] for i in ones])
            decided = self.model.decide(of_them, size)
            check_answer(self.asked, decided, (len(ones), *size))
            masks |= {(i, size): mask for i, mask in zip(ones, decided, strict=True)}
        return [[masks[i, size] for size in one.sizes] for i, one in enumerate(part)]

    def _features(self, images: dict[str, PreparedFrame]) -> dict[str, list[Tensor]]:
        """The features of images by key."""
        found = {key: self.cache.get(("image", key)) for key in images}
        lacking = [key for key, features in found.items() if features is None]
        for keys in _parts(lacking, self.batch):
            shown = [images[key] for key in _filled(keys, self.batch)]
            features = self.encode(images_of(shown, self.model.preprocess, self.device))
            check_features(self.asked, "encode", features, self.batch)
            self.cost.encoded += len(keys)
            for number, key in enumerate(keys):
                found[key] = self._keep(("image", key), features, number)
        return {key: features for key, features in found.items() if features is not None}

    def _supports(
        self, supports: dict[str, PreparedFrame], features: dict[str, list[Tensor]]
    ) -> dict[str, list[Tensor]]:
        """What supports show, by key, some of it from the features of their images."""
        if not self.model.keeps_supports:
            return {key: self._conditioned([one], [features[key]]) for key, one in supports.items()}
        found = {key: self.cache.get(("support", key)) for key in supports}
        lacking = [key for key, shown in found.items() if shown is None]
        for keys in _parts(lacking, self.batch):
            filled = _filled(keys, self.batch)
            own = [features[key] for key in filled] if self.model.reads_features else []
            shown = self._conditioned([supports[key] for key in filled], own)
            self.cost.conditioned += len(keys)
            for number, key in enumerate(keys):
                found[key] = self._keep(("support", key), shown, number)
        return {key: shown for key, shown in found.items() if shown is not None}

    def _conditioned(self, shown: Sequence[PreparedFrame], features: Sequence[list[Tensor]]) -> list[Tensor]:
        images = images_of(shown, self.model.preprocess, self.device, read=self.model.reads_images)
        together = features[0] if len(features) == 1 else [torch.cat(maps) for maps in zip(*features, strict=True)]
        masks = masks_of_frames(shown, self.device)
        conditioned = self.model.condition_held(together, images, masks, held_of_frames(shown))
        check_features(self.asked, "condition", conditioned, len(shown))
        return conditioned

    def _keep(self, key: Key, computed: list[Tensor], number: int) -> list[Tensor]:
        """Of what was computed at a time the one with a number, in memory of its own."""
        own = [one[number : number + 1] for one in computed]
        if self.batch > 1:
            own = [one.clone() for one in own]
        self.cache.put(key, own, sum(one.nbytes for one in own))
        return own


def _prepared(model: FeatureSegmenter, device: str, inference: InferenceSettings) -> FeatureSegmenter:
    twin = ready(accelerate(model), device)
    if twin.casts_whole and inference.dtype != torch.float32:
        twin = (copy.deepcopy(twin) if twin is model else twin).to(inference.dtype)
    return twin


def feature_bytes(model: FeatureSegmenter, device: str) -> int | None:
    """Memory that the features of one image take, without computing them; ``None`` if that does not work."""
    height, width = model.preprocess.geometry(USUAL_SIZE).input
    try:
        with FakeTensorMode(allow_non_fake_inputs=True), torch.inference_mode():
            return sum(one.nbytes for one in model.encode(torch.zeros(1, 3, height, width, device=device)))
    except (Exception, SystemExit):  # whatever a user's own model does that torch cannot do without numbers
        return None


def _parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _filled(items: Sequence[T], size: int) -> list[T]:
    """As many as ``size``, the last one repeated."""
    return [*items, *[items[-1]] * (size - len(items))]

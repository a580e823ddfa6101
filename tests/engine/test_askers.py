"""Asking: an answer depends on its episode alone, whatever is held, batched, or tried again."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from fssbench.base.errors import ModelError
from fssbench.engine.askers import PlainAsker
from fssbench.engine.feature_asker import FeatureAsker
from fssbench.engine.inference import PLAIN, InferenceCost, InferenceSettings
from fssbench.engine.prepared import PreparedEpisode, PreparedFrame, prepare
from fssbench.models.hmfs import HMFS
from fssbench.models.hsnet import HSNet
from fssbench.models.interface import FeatureSegmenter
from fssbench.models.prototype import Prototype
from fssbench.pipelines.episode_sets.stream import Frame
from fssbench.pipelines.sources.toy import draw_example
from fssbench.schemas.samples import EpisodeSample

IMAGES, EPISODES, SHOT = 9, 14, 2
SIZES = [(64, 64), (48, 60)]
MODELS: dict[str, Callable[[], FeatureSegmenter]] = {
    "prototype": lambda: Prototype(backbone="resnet18", size=64),
    "hsnet": lambda: HSNet(size=64),
    "hmfs": lambda: HMFS(size=64),
}


def samples() -> list[EpisodeSample]:
    """A class's episodes of few images, so that every image is used often."""
    chance = random.Random(0)
    drawn = [chance.sample(range(IMAGES), 1 + SHOT) for _ in range(EPISODES)]
    keys = [[f"i{n:07d}" for n in one] for one in drawn]
    return [EpisodeSample(index=i, class_id=0, query=q, supports=tuple(s)) for i, (q, *s) in enumerate(keys)]


def shown(model: FeatureSegmenter, key: str) -> PreparedFrame:
    image, mask = draw_example(20 * int(key[1:]))
    return prepare(Frame(key, key, 0, image, mask, None, None), model.preprocess)


def ask(model: FeatureSegmenter, inference: InferenceSettings, cost: InferenceCost | None = None) -> list[list[Tensor]]:
    """The masks of all episodes by index."""
    asker = (FeatureAsker if inference.fast else PlainAsker)(model, "cpu", inference, cost or InferenceCost())
    ordered = asker.arrange(samples()) if isinstance(asker, FeatureAsker) else samples()
    found: dict[int, list[Tensor]] = {}
    at_a_time = asker.batch
    for start in range(0, len(ordered), at_a_time):
        part = ordered[start : start + at_a_time]
        asked = [
            PreparedEpisode(shown(model, s.query), [shown(model, key) for key in s.supports], SIZES, s.index)
            for s in part
        ]
        with inference.arithmetic():
            found |= zip((s.index for s in part), asker(asked).masks, strict=True)
    return [found[index] for index in sorted(found)]


def differing(first: Sequence[Sequence[Tensor]], second: Sequence[Sequence[Tensor]]) -> int:
    pairs = [(a, b) for one, other in zip(first, second, strict=True) for a, b in zip(one, other, strict=True)]
    return sum(int((a != b).sum()) for a, b in pairs)


@pytest.mark.parametrize("name", MODELS)
def test_no_answer_depends_on_what_is_held_or_on_which_episodes_share_a_batch(name: str) -> None:
    """Not one pixel: neither the order, nor the cache, nor the neighbours in a batch of a given size matter."""
    model = MODELS[name]()
    much, little = InferenceCost(), InferenceCost()
    whole = ask(model, InferenceSettings(), much)
    assert any(mask.any() for one in whole for mask in one)
    assert differing(ask(model, InferenceSettings(feature_cache=1), little), whole) == 0
    assert much.encoded == IMAGES < little.encoded
    size = ask(model, InferenceSettings(batch=4))
    assert differing(ask(model, InferenceSettings(batch=4, feature_cache=1)), size) == 0
    # What is whole for one batch size is nearly so for another, as it is for the model asked episode by episode.
    for other in (size, ask(model, PLAIN)):
        assert differing(other, whole) <= 2


class Greedy(Prototype):
    """A model that has not the memory for more than so many images or episodes at a time."""

    def __init__(self, most: int, message: str) -> None:
        super().__init__(backbone="resnet18", size=64)
        self.most, self.message = most, message

    def encode(self, images: Tensor) -> list[Tensor]:
        if len(images) > self.most:
            raise RuntimeError(self.message)
        return super().encode(images)


@pytest.mark.parametrize(
    "message",
    [
        "CUDA out of memory. Tried to allocate 2 GiB",
        "DefaultCPUAllocator: can't allocate memory: you tried",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    ],
)
def test_when_memory_runs_out_the_batch_is_halved_and_nothing_is_lost(message: str) -> None:
    cost = InferenceCost()
    model = Greedy(2, message)
    assert differing(ask(model, InferenceSettings(batch=8), cost), ask(model, InferenceSettings(batch=2))) == 0
    assert (cost.batch, cost.shortages) == (2, 2)


@pytest.mark.parametrize("kind", [PlainAsker, FeatureAsker])
def test_before_less_is_tried_the_device_has_its_memory_back(
    kind: type[PlainAsker | FeatureAsker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nothing left in it of what was tried: by then the error, which held that, is gone."""
    given: list[object] = []
    monkeypatch.setattr(sys.modules[kind.__module__], "give_back", lambda device: given.append(sys.exc_info()[1]))
    model, cost = Greedy(2, "out of memory"), InferenceCost()
    asker = kind(model, "cpu", InferenceSettings(batch=8), cost)
    keys = [f"i{number:07d}" for number in range(8)]
    asked = [PreparedEpisode(shown(model, key), [shown(model, key)], SIZES, 0) for key in keys]
    with InferenceSettings().arithmetic():
        assert len(asker(asked).masks) == len(keys)
    assert (cost.batch, cost.shortages, given) == (2, 2, [None, None])


def test_a_model_too_large_for_one_episode_is_refused() -> None:
    with pytest.raises(ModelError, match="cpu does not have the memory for one episode at a time; choose a smaller"):
        ask(Greedy(0, "out of memory"), InferenceSettings(batch=2))


def test_an_episode_that_cannot_be_matched_is_tried_once_more_with_nothing_kept() -> None:
    class Unmatched(Prototype):
        tried = 0

        def match(self, query: list[Tensor], supports: list[Tensor]) -> Tensor:
            self.tried += 1
            raise RuntimeError("out of memory")

    model = Unmatched(backbone="resnet18", size=64)
    with pytest.raises(ModelError, match="does not have the memory"):
        ask(model, InferenceSettings())
    assert model.tried == 2


def test_other_errors_of_a_model_are_its_own() -> None:
    with pytest.raises(ModelError, match=r"Greedy failed: RuntimeError: something else \(.*, in one of a drawn"):
        ask(Greedy(0, "something else"), InferenceSettings(batch=2))


@pytest.mark.parametrize("name", ["prototype", "hsnet"])
def test_sixteen_bits_give_nearly_the_same_masks(name: str) -> None:
    """And leave the model that was given in 32."""
    model = MODELS[name]()
    whole, reduced = ask(model, InferenceSettings()), ask(model, InferenceSettings(precision="bf16"))
    pixels = sum(mask.numel() for one in whole for mask in one)
    assert 0 < differing(whole, reduced) < 0.1 * pixels
    assert {p.dtype for p in model.parameters()} == {torch.float32}

"""Masks in the wrong place are found, whoever puts them there; models that ask for other inputs are sound."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from own_models import SIDE, Centred, Features, Kept, Learner, Native, Whole, like
from torch import Tensor

from fssbench.base.errors import ModelError
from fssbench.engine.model import load_object
from fssbench.engine.model_check import check_model
from fssbench.models.functions import FunctionSegmenter
from fssbench.models.interface import (
    EpisodeSegmenter,
    FewShotSegmenter,
    Preprocess,
    RawEpisode,
)


class OwnProcessor(EpisodeSegmenter):
    """Makes its inputs itself: squashed, which is undone by stretching."""

    def segment(self, episode: RawEpisode) -> Any:
        query, *supports = [self.made(one.image) for one in (episode.query, *episode.supports)]
        masks = [self.made(np.repeat(one.mask[..., None], 3, axis=2))[:, 0] for one in episode.supports]
        return like(query, supports, masks)

    def made(self, image: npt.NDArray[Any]) -> Tensor:
        pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / max(1, int(image.max()))
        return F.interpolate(pixels, (SIDE, SIDE), mode="bilinear") * 4 - 2


class Padder(OwnProcessor):
    """Pads its images to squares, and gives what its network gives, padding and all."""

    def made(self, image: npt.NDArray[Any]) -> Tensor:
        side = max(image.shape)
        return super().made(np.pad(image, ((0, side - image.shape[0]), (0, side - image.shape[1]), (0, 0))))


class Unpadder(Padder):
    """Does the same, and cuts it off again."""

    def segment(self, episode: RawEpisode) -> Any:
        side = max(episode.query.size)
        whole = F.interpolate(super().segment(episode), (side, side), mode="bilinear")
        return whole[..., : episode.query.size[0], : episode.query.size[1]]


class Odd(Kept):
    """Cuts off the padding, as nobody asked it to, and stretches what it has into another shape."""

    def segment(self, episode: RawEpisode) -> Any:
        return F.interpolate(super().segment(episode), (SIDE, SIDE // 2))


class Remembering(Native):
    """Compares with the query before, too."""

    def __init__(self) -> None:
        super().__init__()
        self.before: Tensor | None = None

    def segment(self, episode: RawEpisode) -> Any:
        query, supports, masks = self.inputs(episode)
        shift = 0.0 if self.before is None else float(self.before.mean())
        self.before = query
        return like(query + shift, supports, masks)


class Writing(Native):
    def segment(self, episode: RawEpisode) -> Any:
        episode.query.image[:8] = 0
        return super().segment(episode)


class Naming(Native):
    def segment(self, episode: RawEpisode) -> Any:
        return super().segment(episode) + (episode.class_name == "red disc")


def by_arrays(
    query: npt.NDArray[np.uint8], supports: list[npt.NDArray[np.uint8]], masks: list[npt.NDArray[np.bool_]]
) -> npt.NDArray[np.bool_]:
    shown = np.mean([image[mask].mean(axis=0) for image, mask in zip(supports, masks, strict=True)], axis=0)
    near: npt.NDArray[np.bool_] = np.abs(query - shown).mean(axis=2) < 60
    return near


class PadsAlone(Preprocess):
    """The naive way: images are padded to squares, and nobody else knows of it."""

    def image(self, pixels: npt.NDArray[np.uint8]) -> Tensor:
        side = max(pixels.shape)
        return super().image(np.pad(pixels, ((0, side - pixels.shape[0]), (0, side - pixels.shape[1]), (0, 0))))


class PadsAlike(PadsAlone):
    """Masks too; but the model's answer comes back by stretching all the same."""

    def mask(self, mask: npt.NDArray[np.bool_]) -> Tensor:
        side = max(mask.shape)
        return super().mask(np.pad(mask, ((0, side - mask.shape[0]), (0, side - mask.shape[1]))))


class Brighter(Preprocess):
    """Changes what pixels are, not where."""

    def image(self, pixels: npt.NDArray[np.uint8]) -> Tensor:
        return super().image(np.minimum(pixels, 250) + 5)


class Given(Whole):
    def __init__(self, preprocess: Preprocess) -> None:
        super().__init__()
        self.preprocess = preprocess


@pytest.mark.parametrize(
    "build",
    [
        Native,
        Kept,
        Centred,
        Whole,
        Features,
        OwnProcessor,
        Unpadder,
        Learner,
        lambda: FunctionSegmenter(by_arrays),
        lambda: Given(Brighter(size=SIDE)),
    ],
)
def test_models_of_other_inputs_are_sound(build: Callable[[], FewShotSegmenter]) -> None:
    assert check_model(lambda: build().eval()) == []


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (Padder, "place of masks: expected a mask that changes where a query of .*, found 0% .*; cut the padding off"),
        (Odd, r"segment, K=1: .*Odd gave 64×32, neither of the query's own size, .*, nor of the shape of its input"),
        (Remembering, "order of episodes: expected the same mask when another episode was asked before"),
        (Writing, r"segment's inputs: .* found query\.image changed in place"),
        (Naming, "segment, K=1: .*which it does not say it uses; set uses_class_names = True"),
        (lambda: Given(PadsAlone(size=SIDE)), "attributes: .* PadsAlone.image lays a 96×128 image elsewhere than"),
        (lambda: Given(PadsAlike(size=SIDE)), "attributes: .* PadsAlike.image lays .* override geometry as well"),
    ],
)
def test_what_puts_masks_elsewhere_is_named(build: Callable[[], FewShotSegmenter], expected: str) -> None:
    findings = [str(finding) for finding in check_model(lambda: build().eval())]
    assert any(re.search(expected, finding) for finding in findings), findings


def test_images_padded_behind_everybodys_back_are_refused_before_anything_is_asked() -> None:
    with pytest.raises(ModelError, match="masks would come back in the wrong place; say it with resize"):
        load_object(Given(PadsAlone(size=SIDE)))

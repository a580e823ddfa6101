"""Small models, sets and records that the tests of models, engine and leaderboard share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from fssbench.base.home import Home
from fssbench.engine.job import Job
from fssbench.engine.model import LoadedModel, load_model
from fssbench.engine.run import run
from fssbench.episodes.benchmarks import TOY_20I
from fssbench.episodes.protocols import STRICT
from fssbench.models.interface import FeatureSegmenter, FewShotSegmenter, Preprocess
from fssbench.pipelines.episode_sets.build_episode_set import build
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.episode_sets.plan import Request, plan_folds
from fssbench.pipelines.sources import open_source
from fssbench.results.evaluation import Evaluation
from fssbench.schemas.result import Environment, ModelRecord
from fssbench.schemas.result import Request as CommandRecord

Mask = npt.NDArray[np.bool_]

CLEAN = Environment(fssbench="0", python="3", packages={}, git_revision="0" * 40, git_dirty=False)
"""An environment that speaks against no result."""

COMMAND = CommandRecord(asked=("fssbench",), resolved={})
"""A command for records whose command does not matter."""


class Redder(FewShotSegmenter):
    """A model with `predict` alone: redder than the first support there, or under most of the masks.

    It only compares pixels, so that numpy on the pixels as decoded must give the very same masks.
    """

    def __init__(self, *, size: int = 48) -> None:
        super().__init__()
        self.preprocess = Preprocess(size=size)

    def predict(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        redder = query[:, 0] > supports[:, 0, 0]
        return (redder | (2 * masks.sum(dim=1) > masks.shape[1])).to(torch.uint8)


class Voters(FeatureSegmenter):
    """A model of features whose shots vote; it counts how often it is asked for them."""

    def __init__(self, *, size: int = 48) -> None:
        super().__init__()
        self.preprocess = Preprocess(size=size)
        self.encoded = 0
        self.conditioned = 0

    def encode(self, images: Tensor) -> list[Tensor]:
        self.encoded += len(images)
        return [F.avg_pool2d(images, 4), images[:, :1, ::8, ::8]]

    def condition(self, features: list[Tensor], images: Tensor, masks: Tensor) -> list[Tensor]:
        self.conditioned += len(images)
        fine, _ = features
        return [fine[:, 0] * F.avg_pool2d(masks, 4), images[:, 1, ::4, ::4]]

    def match(self, query: list[Tensor], supports: list[Tensor]) -> Tensor:
        (fine, coarse), (red, green) = query, supports  # (B, 3, h, w), (B, 1, h/2, w/2), (B, K, h, w) twice
        foreground = fine[:, :1] + red  # (B, K, h, w)
        background = 0.5 * green + F.interpolate(coarse, scale_factor=2)
        return torch.stack([background, foreground], dim=2)


def nearest(mask: npt.NDArray[np.generic], size: tuple[int, int]) -> npt.NDArray[np.generic]:
    """Nearest resizing as torch defines it: output i reads input floor(i · in / out), in float32."""
    rows, columns = (
        np.minimum(np.floor(np.arange(n, dtype=np.float32) * (np.float32(of) / np.float32(n))).astype(int), of - 1)
        for of, n in zip(mask.shape, size, strict=True)
    )
    return mask[np.ix_(rows, columns)]


def build_toy_sets(raw: Path, output: Path, *, folds: tuple[int, ...], episodes: int) -> list[EpisodeSet]:
    """Sets of the toy: 1-shot tracks of seeds 0 and 1."""
    source = open_source(TOY_20I, raw)
    request = Request(benchmark=TOY_20I, protocol=STRICT, folds=folds, seeds=(0, 1), episodes=episodes)
    return [EpisodeSet.open(build(plan, source).path) for plan in plan_folds(source, request, output)]


def copy_support(*, size: int = 32) -> LoadedModel:
    """The model that answers with the support's mask: fast, and neither perfect nor hopeless."""
    return load_model("copy-support", {"size": size}, weights=None, benchmark=TOY_20I, fold=0, home=Home.find())


def run_with_masks(
    episode_set: EpisodeSet, output: Path, *, shot: int = 1, seed: int = 0, episodes: int | None = None
) -> Evaluation:
    """A result of `copy_support` with its masks kept beside it."""
    job = Job(
        episode_set=episode_set,
        shot=shot,
        seed=seed,
        episodes=episodes,
        output=output,
        workers=2,
        save_predictions=True,
    )
    return run(copy_support(), job)


def masks_folder(finished: Evaluation) -> Path:
    """Where a result's masks lie."""
    assert finished.record.predictions is not None
    return finished.path.parent / finished.record.predictions.folder


def strangers_model(*, input_size: int | None = None) -> ModelRecord:
    """The record of a model of which only the name is known."""
    return ModelRecord(
        name="stranger",
        options={},
        code_sha256=None,
        training="unknown",
        checkpoint_sha256=None,
        backbone=None,
        backbone_weights=None,
        backbone_sha256=None,
        parameters=None,
        learnable_parameters=None,
        input_size=input_size,
    )


def compressed(lengths: list[int]) -> str:
    """Run lengths, of whatever sign, in COCO's compressed form."""
    text = ""
    for n, length in enumerate(lengths):
        value = length - lengths[n - 2] if n > 2 else length
        while True:
            group, value = value & 0x1F, value >> 5
            more = value != (-1 if group & 0x10 else 0)
            text += chr(48 + (group | (0x20 if more else 0)))
            if not more:
                break
    return text

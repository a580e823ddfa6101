"""The wrappers on the page of them give the masks of the wrapped code's own test, in every pixel of ten episodes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from fssbench.engine.evaluate import Answer, answers
from fssbench.engine.model_check import check_model
from fssbench.models import build_model
from fssbench.models.user_file import load_file
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet

PAGE = Path(__file__).parents[1] / "docs" / "guides" / "wrapping.md"
MEAN, STD = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))

STAND_IN = '''
"""Stands for transformers: paints masks, puts prompt and query below each other, and paints the answer."""
import torch
import torch.nn.functional as F
from torch import nn


class Batch(dict):
    def to(self, device):
        return self


class SegGptImageProcessor:
    @staticmethod
    def from_pretrained(checkpoint):
        return SegGptImageProcessor()

    def __call__(self, images, prompt_images, prompt_masks, num_labels, return_tensors):
        import numpy as np

        def small(image, mode):
            pixels = torch.from_numpy(np.array(image)).float()
            pixels = pixels.permute(2, 0, 1) / 255 if pixels.ndim == 3 else num_labels * pixels.expand(3, *pixels.shape)
            return F.interpolate(pixels[None], (32, 32), mode=mode)[0]

        return Batch(
            pixel_values=torch.stack([small(image, "bicubic") for image in images]),
            prompt_pixel_values=torch.stack([small(image, "bicubic") for image in prompt_images]),
            prompt_masks=torch.stack([small(mask, "nearest") for mask in prompt_masks]),
        )

    def post_process_semantic_segmentation(self, found, target_sizes, num_labels):
        masks = found[:, :, found.shape[2] // 2 :]
        each = zip(masks, target_sizes)
        return [(F.interpolate(mask[None], size, mode="nearest")[0].mean(dim=0) > 0.5).long() for mask, size in each]


class SegGptForImageSegmentation(nn.Module):
    device = torch.device("cpu")

    @staticmethod
    def from_pretrained(checkpoint):
        return SegGptForImageSegmentation()

    def forward(self, pixel_values, prompt_pixel_values, prompt_masks, feature_ensemble):
        shown = (prompt_pixel_values * prompt_masks).sum(dim=(2, 3)) / prompt_masks.sum(dim=(2, 3)).clamp(min=1)
        if feature_ensemble:
            shown = shown.mean(dim=0, keepdim=True).expand_as(shown)
        like = 1 - 2 * (pixel_values - shown[..., None, None]).abs().mean(dim=1, keepdim=True)
        return torch.cat([prompt_masks, like.expand(-1, 3, -1, -1)], dim=2)
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's files, and a stand-in for a library that it uses."""
    folder = tmp_path_factory.mktemp("wrapped")
    for block in re.finditer(r"```python\n(# (\w+\.py)\n.*?)```", PAGE.read_text(), re.DOTALL):
        (folder / block[2]).write_text(block[1])
    (folder / "transformers.py").write_text(STAND_IN)
    return folder


def asked(model: Any, toy_set: EpisodeSet, *, shot: int = 2) -> list[Answer]:
    found = list(answers(model, toy_set, shot=shot, seed=0, episodes=10))
    assert len(found) == 10
    assert 0 < np.mean([float(answer.masks["original"].double().mean()) for answer in found]) < 1
    return found


def normal(pixels: Any) -> Tensor:
    return ((torch.from_numpy(pixels).permute(2, 0, 1).float() / 255 - MEAN) / STD)[None]


def lines(folder: Path, name: str) -> int:
    """How many lines the class takes, without those that are blank."""
    body = (folder / name).read_text().partition("\nclass ")[2]
    return len([line for line in body.splitlines() if line.strip()])


def test_a_network_that_tests_at_native_size_takes_ten_lines(folder: Path, toy_set: EpisodeSet) -> None:
    model = build_model(f"{folder / 'ssp.py'}:SSP")
    own = load_file(str(folder / "repository.py")).module.SelfSupport().eval()
    assert lines(folder, "ssp.py") <= 10
    for answer in asked(model, toy_set):
        shown = [normal(one.image) for one in answer.supports]
        masks = [torch.from_numpy(one.mask).float()[None] for one in answer.supports]
        with torch.no_grad():
            expected = own(shown, masks, normal(answer.query.image)).argmax(dim=1)[0]
        assert answer.masks["original"].equal(expected.to(torch.uint8))


def test_a_network_with_its_own_processor_takes_fifteen_lines(folder: Path, toy_set: EpisodeSet) -> None:
    model = build_model(f"{folder / 'own_seggpt.py'}:OwnSegGpt")
    library = load_file(str(folder / "transformers.py")).module
    processor, net = library.SegGptImageProcessor(), library.SegGptForImageSegmentation()
    assert lines(folder, "own_seggpt.py") <= 15
    for shot in (1, 2):
        for answer in asked(model, toy_set, shot=shot):
            images = [Image.fromarray(one.image) for one in answer.supports]
            masks = [one.mask.astype(np.uint8) for one in answer.supports]
            query = [Image.fromarray(answer.query.image)] * shot
            found = net(**processor(query, images, masks, num_labels=1, return_tensors="pt"), feature_ensemble=shot > 1)
            sizes = [answer.query.mask.shape] * shot
            expected = processor.post_process_semantic_segmentation(found, sizes, num_labels=1)[0]
            assert answer.masks["original"].equal(expected.to(torch.uint8))


@pytest.mark.slow
def test_so_it_is_with_the_library_itself(folder: Path, toy_set: EpisodeSet, tmp_path: Path) -> None:
    """SegGPT of transformers, small and random."""
    transformers = pytest.importorskip("transformers")
    file = tmp_path / "own_seggpt.py"
    file.write_text((folder / "own_seggpt.py").read_text())
    torch.manual_seed(0)
    small = transformers.SegGptConfig(
        hidden_size=32,
        num_hidden_layers=5,
        num_attention_heads=2,
        intermediate_hidden_state_indices=[1, 2, 3, 4],
        merge_index=0,
        decoder_hidden_size=16,
    )
    net = transformers.SegGptForImageSegmentation(small).eval()
    for weight in net.decoder.parameters():
        weight.data.mul_(8)  # so that its random answers are not of one colour
    net.save_pretrained(tmp_path / "seggpt")
    processor = transformers.SegGptImageProcessor()
    processor.save_pretrained(tmp_path / "seggpt")
    model = build_model(f"{file}:OwnSegGpt", checkpoint=str(tmp_path / "seggpt"))
    for answer in asked(model, toy_set, shot=1):
        (support,) = answer.supports
        given = processor(
            Image.fromarray(answer.query.image),
            Image.fromarray(support.image),
            support.mask.astype(np.uint8),
            num_labels=1,
            return_tensors="pt",
        )
        with torch.no_grad():
            found = net(**given)
        (expected,) = processor.post_process_semantic_segmentation(found, [answer.query.mask.shape], num_labels=1)
        assert answer.masks["original"].equal(expected.to(torch.uint8))


def test_the_page_says_that_they_are_sound_and_so_they_are(folder: Path) -> None:
    assert check_model(lambda: build_model(f"{folder / 'own_seggpt.py'}:OwnSegGpt")) == []

"""Costs: counted by hand for models that are small enough, and beside the papers' for those that have a row."""

from __future__ import annotations

import json

import pytest
import torch
from command import Command
from torch import Tensor, nn

from fssbench.engine.profile import _Living, profile
from fssbench.models import model_spec
from fssbench.models.interface import FewShotSegmenter, Preprocess
from fssbench.models.published import published_cost


class Convolution(FewShotSegmenter):
    """One 3×3 convolution of query and supports each, then a product of matrices."""

    def __init__(self) -> None:
        super().__init__()
        self.preprocess = Preprocess(size=16)
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False))
        self.frozen = nn.Parameter(torch.zeros(5), requires_grad=False)

    def predict(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        asked, shown = self.body[0](query), self.body[0](supports.flatten(0, 1))  # (B, 4, 16, 16), (B·K, 4, 16, 16)
        product = asked.flatten(2).transpose(1, 2) @ shown[:1].flatten(2)  # (B, 256, 256)
        mask: Tensor = (product.amax(dim=2).view(-1, 16, 16) > 0).to(torch.uint8)
        return mask


@pytest.mark.parametrize("shot", [1, 5])
def test_operations_and_parameters_are_those_counted_by_hand(shot: int) -> None:
    found = profile(Convolution(), shot=shot, repeats=1)
    convolution = 2 * 16 * 16 * 4 * 3 * 9  # a multiplication and an addition for each weight, at each position
    product = 2 * 256 * 256 * 4
    assert found.flops_by_part == {"body": (1 + shot) * convolution, "other": product}
    assert found.flops == (1 + shot) * convolution + product
    assert (found.parameters, found.learnable_parameters) == (3 * 4 * 9 + 5, 3 * 4 * 9)
    assert (found.shot, found.input_size) == (shot, 16)
    assert found.milliseconds > 0


def test_memory_is_the_most_that_lived_at_one_time() -> None:
    with _Living() as living:
        a = torch.ones(1000, 1000)  # 4 MB
        b = a + a  # 8 MB
        del a
        view = b.view(-1)[::2].mul_(2)  # no new memory
        c = b * 2  # 8 MB
        del b, view
        d = c + 1  # 8 MB
        del c, d
    assert living.peak == 8_000_000


def test_memory_of_a_model_holds_its_weights_and_its_largest_moment() -> None:
    model = Convolution()
    product = 256 * 256 * 4
    maps = 2 * 4 * 256 * 4
    weights = (3 * 4 * 9 + 5) * 4
    found = profile(model, repeats=1).peak_bytes
    assert weights + maps + product <= found <= weights + maps + product + 16_000


# --- the papers' rows ---


@pytest.mark.parametrize(
    ("options", "shot", "parameters"),
    [
        ({"backbone": "resnet101"}, 1, 2.6),
        ({"backbone": "resnet101", "kernel": "center-pivot", "size": 400}, 1, 2.6),
        ({"backbone": "resnet101", "kernel": "separable", "backbone_weights": "none"}, 1, 4.4),
        ({"backbone": "resnet101", "kernel": "original"}, 1, 11.3),
        ({"backbone": "resnet101"}, 5, None),
        ({"backbone": "resnet101", "size": 200}, 1, None),
        ({"backbone": "resnet101", "block_layers": 2}, 1, None),
        ({}, 1, None),
    ],
)
def test_a_row_of_the_paper_stands_beside_its_own_model_alone(
    options: dict[str, object], shot: int, parameters: float | None
) -> None:
    found = published_cost("hsnet", options, defaults=model_spec("hsnet").options, shot=shot)
    assert (found.learnable_parameters if found else None) == parameters


@pytest.mark.slow
def test_the_command_tells_ours_beside_the_papers(fssbench: Command) -> None:
    arguments = ("profile", "--model", "hsnet", "--backbone", "resnet101", "--repeats", 1, "--device", "cpu")
    said = json.loads(fssbench(*arguments, "--json").out)
    assert said["measured"]["learnable_parameters"] == 2_587_394
    assert sum(said["measured"]["flops_by_part"].values()) == said["measured"]["flops"]
    assert all(said["measured"]["flops_by_part"][part] > 0 for part in ("backbone", "hpn_learner", "other"))
    assert said["published"]["gigaflops"] == 20.56


def test_the_command_tells_ours_alone_where_there_is_no_paper(fssbench: Command) -> None:
    ran = fssbench("profile", "-m", "hsnet", "--option", "size=64", "--option", "block_layers=1", "--repeats", 1)
    assert ran.code == 0, ran.err
    assert "learnable parameters (M)" in ran.out
    assert "0.923" in ran.out
    assert "paper" not in ran.out

"""Costs: counted by hand for models that are small enough, and beside the papers' for those that have a row."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import torch
from command import Command
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from fssbench.base.errors import ModelError
from fssbench.engine.drawn import ModelInputs
from fssbench.engine.memory import _Living
from fssbench.engine.profile import _AskAsForward, _flops, _parameters, _parts, profile
from fssbench.leaderboard.reported import reported_costs
from fssbench.models import model_spec
from fssbench.models.hdmnet import HDMNet
from fssbench.models.hmfs import HMFS
from fssbench.models.hsnet import HSNet
from fssbench.models.interface import FewShotSegmenter, Preprocess


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
    assert {name: part.flops for name, part in found.parts.items()} == {
        "body": (1 + shot) * convolution,
        "other": product,
    }
    assert (found.parts["body"].parameters, found.parts["body"].multiply_adds) == (
        3 * 4 * 9,
        (1 + shot) * convolution // 2,
    )
    assert found.flops == (1 + shot) * convolution + product
    assert (found.parameters, found.learnable_parameters) == (3 * 4 * 9 + 5, 3 * 4 * 9)
    assert (found.shot, found.input_size) == (shot, 16)
    assert found.milliseconds > 0


def test_parts_are_what_the_model_calls_so() -> None:
    """Of a block of which only inner modules are called, all of them; what is in no part has a name too."""

    class Named(Convolution):
        def cost_parts(self) -> dict[str, list[nn.Module]]:
            return {"eye": [self.body], "rest": []}

    found = profile(Named(), repeats=1)
    assert {name: part.flops > 0 for name, part in found.parts.items()} == {"eye": True, "rest": True}
    assert found.of(["eye", "rest"]).flops == found.of([]).flops == found.flops
    assert found.of(["eye"]).milliseconds > 0


@pytest.mark.parametrize("second", ["whole", "inner"])
def test_parts_that_overlap_are_refused(second: str) -> None:
    class Twice(Convolution):
        def cost_parts(self) -> dict[str, list[nn.Module]]:
            return {"one": [self.body], "two": [self.body if second == "whole" else self.body[0]]}

    with pytest.raises(ModelError, match="in both one and two"):
        profile(Twice(), repeats=1)


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda: HSNet(backbone="resnet101"), {"squeeze": 6.148, "mixing": 11.059, "decoder": 0.933}),
        (lambda: HSNet(finest_level=3), {"squeeze": 0.157, "decoder": 0.063}),
        (lambda: HMFS(), {"squeeze": 5.731, "mixing": 11.059, "decoder": 0.933}),
        (lambda: HDMNet(size=473), {"transformer": 1.570, "matching": 2.219, "decoder": 5.126}),
    ],
    ids=["hsnet", "hsnet of one level", "hmfs", "hdmnet"],
)
def test_the_papers_models_are_told_apart_by_their_papers_parts(
    build: Callable[[], FewShotSegmenter], expected: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted on tensors without values, in 10⁹ multiply-adds."""
    model = build().eval().to("meta")
    monkeypatch.setattr(model, "predict", model.forward)  # logits: whether they are finite, such tensors cannot say
    size = model.preprocess.side
    query, masks = torch.zeros(1, 3, size, size, device="meta"), torch.ones(1, 1, size, size, device="meta")
    parts = _parts(model)
    with FlopCounterMode(display=False) as counter:
        _AskAsForward(model)(ModelInputs(query, query[:, None], masks))
    found = _flops(counter, model, parts)
    assert {name: round(found[name] / 2e9, 3) for name in expected} == expected
    learned = sum(_parameters(modules, learnable=True) for modules in parts.values())
    assert learned == _parameters([model], learnable=True)


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
        ({"backbone": "resnet101"}, 5, 2.6),
        ({"backbone": "resnet101"}, 2, None),
        ({"backbone": "resnet101", "size": 200}, 1, None),
        ({"backbone": "resnet101", "block_layers": 2}, 1, None),
        ({}, 1, 2.6),
        ({"backbone": "vgg16"}, 1, None),
    ],
)
def test_a_row_of_the_paper_stands_beside_its_own_model_alone(
    options: dict[str, object], shot: int, parameters: float | None
) -> None:
    found = reported_costs("hsnet", options, defaults=model_spec("hsnet").options, shot=shot).row
    assert (found[1].learnable_parameters if found else None) == parameters


def test_what_stands_beside_is_of_the_same_part_and_size() -> None:
    """HDMNet's decoder is compared at the size that its table is about; HMFS's time with the same model without HM."""
    defaults = model_spec("hdmnet").options
    whole = reported_costs("hdmnet", {}, defaults=defaults, shot=1).row
    assert whole is not None
    assert (whole[1].learnable_parameters, whole[1].operations_of, whole[1].gigaflops) == (4.2, (), None)
    found = reported_costs("hdmnet", {"size": 473, "stages": 2}, defaults=defaults, shot=1).row
    assert found is not None
    assert (found[1].gigaflops, found[1].operations_of) == (10.2, ("transformer", "matching", "decoder"))
    slowdown = reported_costs("hmfs", {"backbone": "vgg16"}, defaults=model_spec("hmfs").options, shot=5).slowdown
    assert slowdown is not None
    assert (slowdown[1].than, slowdown[1].percent) == ({"masking": "fm"}, 40)


@pytest.mark.slow
def test_the_command_tells_ours_beside_the_papers(fssbench: Command) -> None:
    arguments = ("profile", "--model", "hsnet", "--backbone", "resnet101", "--repeats", 1, "--device", "cpu")
    said = json.loads(fssbench(*arguments, "--json").out)
    assert said["measured"]["learnable_parameters"] == 2_587_394
    parts = said["measured"]["parts"]
    assert sum(part["flops"] for part in parts.values()) == said["measured"]["flops"]
    assert list(parts) == ["backbone", "correlation", "squeeze", "mixing", "decoder"]
    assert all(part["milliseconds"] > 0 for part in parts.values())
    beside = {one["figure"]: one for one in said["published"]}
    learner = beside["multiply-adds (G): squeeze + mixing + decoder"]
    assert (round(learner["here"], 2), learner["paper"]) == (18.14, 20.56)
    assert [round(beside[f"parameters of {part} (M)"]["here"], 1) for part in ("backbone", "mixing")] == [42.5, 1.8]


def test_the_command_tells_ours_alone_where_there_is_no_paper(fssbench: Command) -> None:
    ran = fssbench("profile", "-m", "hsnet", "--option", "size=64", "--option", "block_layers=1", "--repeats", 1)
    assert ran.code == 0, ran.err
    assert "mult.-adds" in ran.out
    assert "0.923" in ran.out
    assert "paper" not in ran.out

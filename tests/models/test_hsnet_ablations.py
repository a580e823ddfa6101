"""HSNet's ablations: what each option changes, and that it changes nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from filling import episode, episode64, fill, image, mask
from golden import EXACT, certain, differing
from torch import Tensor, nn

from fssbench.base.errors import UsageError
from fssbench.models.center_pivot import CenterPivotConv4d
from fssbench.models.hsnet import HSNet
from fssbench.models.kernels import OriginalConv4d, SeparableConv4d

SMALL = 64  # maps of 8, 4 and 2 positions a side


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def build(**options: Any) -> HSNet:
    return HSNet(backbone_weights="none", **options)


def learnable(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


# --- kernels (Table 4) ---


@pytest.mark.parametrize(
    ("kernel", "parameters"),
    [("center-pivot", 2_587_394), ("separable", 3_076_546), ("original", 11_296_690)],
)
def test_each_kernel_has_its_number_of_parameters(kernel: str, parameters: int) -> None:
    """The paper has 2.6 M, 4.4 M (layers it does not define) and 11.3 M."""
    model = build(backbone="resnet101", kernel=kernel)
    assert learnable(model) == parameters


@pytest.mark.parametrize(("side", "stride"), [(3, 1), (3, 2), (5, 4)])
def test_the_original_kernel_with_all_but_its_pivots_zero_is_the_center_pivot_one(side: int, stride: int) -> None:
    """Equation 5: of k⁴ weights those stay where one of the two positions is the kernel's middle."""
    sparse = fill(CenterPivotConv4d(3, 4, kernel=side, support_stride=stride)).double()
    whole = OriginalConv4d(3, 4, kernel=side, support_stride=stride).double()
    middle = side // 2
    whole.weight.zero_()
    whole.bias.zero_()
    whole.weight[..., middle, middle] += sparse.conv1.weight
    whole.weight[:, :, middle, middle] += sparse.conv2.weight
    for part in (sparse.conv1, sparse.conv2):
        assert part.bias is not None
        whole.bias.add_(part.bias)
    x = torch.randn(2, 3, 6, 5, 9, 7, generator=torch.Generator().manual_seed(0)).double()
    assert torch.allclose(whole(x), sparse(x))


@pytest.mark.parametrize(("side", "stride"), [(3, 1), (3, 2), (5, 4)])
def test_the_separable_kernel_is_the_original_one_of_rank_one(side: int, stride: int) -> None:
    """Where nothing is cut off and the shortcut adds nothing, two convolutions are one of their weights' product."""
    separable = SeparableConv4d(2, 4, kernel=side, support_stride=stride).double().eval()
    for parameter in (separable.conv1.weight, separable.conv2.weight):
        parameter.abs_()  # so that the ReLU between them cuts off nothing
    separable.shortcut.weight.zero_()
    whole = OriginalConv4d(2, 4, kernel=side, support_stride=stride).double()
    product = torch.einsum("omij,mcuv->ocijuv", separable.conv2.weight, separable.conv1.weight)
    whole.weight.copy_(product / (1 + separable.norm1.eps))  # two normalisations, each by √(1 + ε)
    whole.bias.zero_()
    x = torch.rand(2, 2, 6, 5, 9, 7, generator=torch.Generator().manual_seed(0)).double()
    assert torch.allclose(whole(x), separable(x))


def test_the_separable_kernels_shortcut_carries_the_input_at_the_strides_positions() -> None:
    separable = SeparableConv4d(1, 1, kernel=3, support_stride=2).eval()
    separable.conv2.weight.zero_()
    separable.shortcut.weight.fill_(1)
    x = torch.rand(1, 1, 3, 4, 5, 7, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(separable(x), x[..., ::2, ::2], rtol=1e-4)


@pytest.mark.parametrize("kernel", ["separable", "original"])
def test_each_kernel_gives_masks_of_its_own(kernel: str) -> None:
    asked = episode(1, [2], [3], SMALL)
    other, published = fill(build(kernel=kernel)), fill(build())
    assert other(*asked).shape == published(*asked).shape == (1, 2, SMALL, SMALL)
    assert not torch.allclose(other(*asked), published(*asked))


# --- hypercorrelations and levels (Tables A3, A4) ---


@pytest.mark.parametrize(("which", "kept"), [("shallow", [0, 4, 10]), ("deep", [3, 9, 12])])
def test_one_map_a_level_is_the_first_or_the_last(which: str, kept: list[int]) -> None:
    shown = image(1, SMALL)
    every, found = build().encode(shown), build(hypercorrelation=which).encode(shown)
    assert len(every) == 13
    assert len(found) == 3
    assert all(a.equal(every[index]) for a, index in zip(found, kept, strict=True))


def test_a_level_of_one_map_has_one_channel() -> None:
    learner = build(hypercorrelation="deep", backbone="resnet101").hpn_learner
    first = [getattr(learner, f"encoder_layer{n}")[0].conv1.weight.shape[1] for n in (4, 3, 2)]
    assert first == [1, 1, 1]


@pytest.mark.parametrize(
    ("finest", "maps", "blocks"),
    [
        (1, 13, {"4", "3", "2", "4to3", "3to2"}),
        (2, 9, {"4", "3", "4to3"}),
        (3, 3, {"4"}),
    ],
)
def test_a_pyramid_without_its_fine_levels_lacks_their_maps_and_blocks(
    finest: int, maps: int, blocks: set[str]
) -> None:
    model = build(finest_level=finest)
    found = {name.split(".")[1] for name, _ in model.named_parameters() if name.startswith("hpn_learner.encoder")}
    assert found == {f"encoder_layer{block}" for block in blocks}
    shown = image(1, SMALL)
    assert all(a.equal(b) for a, b in zip(model.encode(shown), build().encode(shown)[-maps:], strict=True))
    assert model.predict(*episode(1, [2], [3], SMALL)).shape == (1, SMALL, SMALL)


# --- layers in a block (figure 9) ---


@pytest.mark.parametrize(
    ("layers", "parameters"), [(1, 922_754), (2, 1_921_282), (3, 2_573_794), (4, 4_050_914), (6, 7_005_154)]
)
def test_blocks_of_any_number_of_layers_squeeze_as_much(layers: int, parameters: int) -> None:
    model = build(block_layers=layers)
    assert learnable(model) == parameters
    for level, side in (("4", 13), ("3", 25), ("2", 50)):
        block = getattr(model.hpn_learner, f"encoder_layer{level}")
        assert len(block) == 3 * layers
        channels = block[0].conv1.weight.shape[1]
        assert block(torch.zeros(1, channels, 2, 2, side, side)).shape == (1, 128, 2, 2, 2, 2)


# --- the backbone (figure 10) ---


def test_a_backbone_that_is_not_frozen_learns_but_for_its_statistics() -> None:
    model = build(freeze_backbone=False).train()
    assert learnable(model) == 2_573_794 + 23_508_032  # ResNet-50 without its classifier
    before = {name: tensor.clone() for name, tensor in model.backbone.named_buffers()}
    with torch.enable_grad():
        loss = F.cross_entropy(model(*episode(1, [2], [3], SMALL)), mask(4, SMALL).long())
        torch.autograd.backward(loss)
    without = {name for name, p in model.backbone.named_parameters() if p.grad is None}
    assert without == {"fc.weight", "fc.bias"}
    assert all(tensor.equal(before[name]) for name, tensor in model.backbone.named_buffers())


@pytest.mark.parametrize("backbone", ["resnet50", "vgg16"])
def test_it_is_the_same_model_frozen_or_not(backbone: str) -> None:
    frozen, free = build(backbone=backbone), build(backbone=backbone, freeze_backbone=False)
    assert not any(p.requires_grad for p in frozen.backbone.parameters())
    assert any(p.requires_grad for p in free.backbone.parameters())
    asked = episode(1, [2], [3], SMALL)
    assert frozen(*asked).equal(free(*asked))


# --- shots, masking, combinations ---


@pytest.mark.parametrize("shots", [1, 5, pytest.param(10, marks=pytest.mark.slow)])
def test_any_number_of_shots_is_their_vote(shots: int) -> None:
    model = fill(build(hypercorrelation="deep")).double()
    query, supports, masks = episode64(1, range(10, 10 + shots), range(30, 30 + shots), SMALL)
    votes = torch.zeros(1, SMALL, SMALL)
    for k in range(shots):
        votes += model.predict(query, supports[:, [k]], masks[:, [k]])
    expected = (2 * votes >= votes.max().clamp(min=1)).to(torch.uint8)
    logits = model._logits(query, supports, masks)
    found, sure = model.decide(logits, (SMALL, SMALL)), certain(logits, (SMALL, SMALL), slack=EXACT)
    assert differing(found, expected, sure) == 0


def test_without_masking_the_mask_makes_no_difference() -> None:
    query, supports, masks = episode(1, [2], [3], SMALL)

    def differs(model: HSNet) -> bool:
        first: Tensor = model(query, supports, masks)
        return not first.equal(model(query, supports, 1 - masks))

    assert differs(fill(build()))
    assert not differs(fill(build(masking="none")))


def test_ablations_go_together() -> None:
    model = build(
        backbone="vgg16", kernel="separable", hypercorrelation="shallow", finest_level=2, block_layers=1, masking="none"
    ).eval()
    assert model.predict(*episode(1, [2, 3], [4, 5], SMALL)).shape == (1, SMALL, SMALL)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel": "seperable"}, r"no kernel 'seperable'; did you mean 'separable'\? known are center-pivot, sep"),
        ({"hypercorrelation": "middle"}, "no hypercorrelation 'middle'; known are all, shallow, deep"),
        ({"finest_level": 4}, "no finest_level '4'; known are 1, 2, 3"),
        ({"finest_level": True}, "no finest_level 'True'"),
        ({"block_layers": 0}, "no block_layers '0'; known are 1, 2, 3, 4, 5, 6"),
        ({"freeze_backbone": "no"}, "no freeze_backbone 'no'; known are True, False"),
    ],
)
def test_values_that_are_not_there_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(**options)

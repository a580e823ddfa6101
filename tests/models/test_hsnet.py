"""HSNet against outputs of the published model, and the rules that these outputs do not show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from filling import doubled, episode, episode64, fill, image, mask, resized
from golden import EXACT, ROUNDED, Golden, certain, difference, differing, read
from torch import Tensor
from torchvision.models import get_model

from fssbench.base.errors import CheckpointError, ModelError, UsageError
from fssbench.models.center_pivot import CenterPivotConv4d
from fssbench.models.checkpoints import load_checkpoint
from fssbench.models.fast.hsnet import FastHSNet
from fssbench.models.hsnet import HSNet, HypercorrelationSqueeze, hypercorrelation, mask_features, unit_stack

Named = tuple[str, HSNet]

pytestmark = pytest.mark.usefixtures("no_gradients")

SMALL = 64  # maps of 8, 4 and 2 positions a side


@pytest.fixture(scope="module")
def golden() -> Golden:
    return read("hsnet")


@pytest.fixture(scope="module")
def resnet50() -> HSNet:
    return fill(HSNet(backbone="resnet50", backbone_weights="none"))


@pytest.fixture(scope="module", params=["resnet50", "resnet101", "vgg16"])
def named(request: pytest.FixtureRequest) -> Named:
    """A backbone and a model that has it."""
    name: str = request.param
    if name == "resnet50":
        return name, request.getfixturevalue("resnet50")
    # The classifier of VGG is 120 million weights that nothing reads.
    return name, fill(HSNet(backbone=name, backbone_weights="none"), skip="backbone.classifier")


def moments(maps: list[Tensor]) -> npt.NDArray[Any]:
    """Mean and standard deviation (N−1) of each tensor: (len(maps), 2)."""
    return np.array([[float(m.mean()), float(m.std())] for m in maps])


# --- the published model's outputs ---


@pytest.mark.published
def test_logits_in_float64_are_the_published_ones(named: Named) -> None:
    name, model = named
    logits = doubled(model)(*episode64(1, [2], [3], 200))
    assert logits.shape == (1, 2, 200, 200)
    assert difference(logits[..., ::4, ::4], read("golden64")[f"hsnet.{name}.200.logits_s4"]) <= EXACT


@pytest.mark.published
def test_logits_in_float32_are_the_published_ones(resnet50: HSNet, golden: Golden) -> None:
    logits = resnet50(*episode(1, [2], [3], 400))
    assert logits.shape == (1, 2, 400, 400)
    assert difference(logits[..., ::4, ::4], golden["hsnet.resnet50.logits_s4"]) <= ROUNDED


def test_learnable_parameters_are_as_many_as_published(named: Named, golden: Golden) -> None:
    name, model = named
    count = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert count == {"resnet50": 2_573_794, "resnet101": 2_587_394, "vgg16": 2_570_018}[name]
    assert count == golden[f"hsnet.{name}.learnable_parameters"]


@pytest.mark.published
@pytest.mark.slow
def test_features_and_hypercorrelations_are_the_published_ones(resnet50: HSNet, golden: Golden) -> None:
    model = doubled(resnet50)
    query, supports, masks = episode64(1, [2], [3], 400)
    maps = model.encode(query)
    assert [list(m.shape) for m in maps] == [[1, *s] for s in golden["hsnet.resnet50.feature_shapes"].tolist()]
    expected = golden["hsnet.resnet50.feature_mean_std"]
    assert (np.abs(moments(maps) - expected) <= ROUNDED * expected[:, 1:]).all()
    shown = model.condition(model.encode(supports[:, 0]), supports[:, 0], masks[:, 0])
    pairs = zip(model.pyramid(maps), model.pyramid(shown), strict=True)
    coarse_to_fine = [hypercorrelation(*pair) for pair in pairs][::-1]
    assert [c.shape for c in coarse_to_fine] == [(1, 3, *[13] * 4), (1, 6, *[25] * 4), (1, 4, *[50] * 4)]
    expected = golden["hsnet.resnet50.corr_mean_std"]
    assert (np.abs(moments(coarse_to_fine) - expected) <= ROUNDED * expected[:, 1:]).all()
    every_third = coarse_to_fine[0][..., ::3, ::3, ::3, ::3]
    assert difference(every_third, golden["hsnet.resnet50.corr_p3"]) <= ROUNDED


@pytest.fixture
def twin(resnet50: HSNet, monkeypatch: pytest.MonkeyPatch) -> FastHSNet:
    """The same function, as test_fast.py shows, in less time; in float64, but for the masks.

    A map's position at an object's edge may be in the mask by 0, or by 1e-7 where its place is rounded to float32.
    Unit length makes a feature of that. So the runs stored in float32 are met only with masks resized like theirs.
    """

    def share(self: FastHSNet, masks: Tensor, lengths: Tensor) -> Tensor:
        return torch.from_numpy(resized(masks[:, None].float().numpy(), lengths.shape[-2:])).double()

    monkeypatch.setattr(FastHSNet, "_share", share)
    return FastHSNet(doubled(resnet50))


@pytest.mark.slow
@pytest.mark.published
def test_logits_of_a_batch_are_the_published_ones(twin: FastHSNet, golden: Golden) -> None:
    pair = zip(episode64(1, [2], [3], 400), episode64(4, [5], [6], 400), strict=True)
    logits = twin(*[torch.cat(two) for two in pair])
    assert difference(logits[..., ::4, ::4], golden["hsnet.resnet50.batch2_logits_s4"]) <= ROUNDED


@pytest.mark.slow
@pytest.mark.published
def test_logits_without_masking_are_the_published_ones(resnet50: HSNet, golden: Golden) -> None:
    model = HSNet(backbone="resnet50", backbone_weights="none", masking="none").eval()
    load_checkpoint(model, resnet50.state_dict())
    logits = FastHSNet(model.double())(*episode64(1, [2], [3], 400))
    assert difference(logits[..., ::4, ::4], golden["hsnet.resnet50.nomask_logits_s4"]) <= ROUNDED


def test_episodes_of_a_batch_do_not_mix(resnet50: HSNet) -> None:
    model = doubled(resnet50)
    first, second = episode64(1, [2], [3], SMALL), episode64(4, [5], [6], SMALL)
    both = model(*[torch.cat(two) for two in zip(first, second, strict=True)])
    assert difference(both, torch.cat([model(*first), model(*second)]).numpy()) <= EXACT


@pytest.mark.slow
@pytest.mark.published
def test_five_shots_give_the_published_mask(twin: FastHSNet, golden: Golden) -> None:
    logits = twin._logits(*episode64(1, range(10, 15), range(20, 25), 400))
    found = twin.decide(logits, (400, 400))
    expected = np.unpackbits(golden["hsnet.resnet50.pred_5shot"]).reshape(1, 400, 400)
    assert found.dtype == torch.uint8
    assert differing(found, torch.from_numpy(expected), certain(logits, (400, 400), slack=ROUNDED)) == 0


@pytest.mark.published
@pytest.mark.parametrize(
    ("name", "channels", "kernel", "stride"),
    [("stride1", (8, 16), 3, 1), ("stride4", (3, 16), 5, 4), ("stride2", (16, 64), 3, 2)],
)
def test_center_pivot_convolution_is_the_published_one(
    name: str, channels: tuple[int, int], kernel: int, stride: int, golden: Golden
) -> None:
    convolution = fill(CenterPivotConv4d(*channels, kernel=kernel, support_stride=stride)).double()
    normal = np.random.RandomState(7).standard_normal((2, channels[0], 9, 9, 13, 13))
    found = convolution(torch.from_numpy(normal.astype(np.float32)).double())
    assert difference(found, golden[f"cp4d.{name}.out"]) <= 1e-5  # of one layer the stored rounding is 2e-6


# --- names, checkpoints, building ---


def test_state_dict_has_the_published_names(named: Named) -> None:
    name, model = named
    with torch.device("meta"):
        expected = {f"backbone.{key}" for key in get_model(name, weights=None).state_dict()}
    for block in ("4", "3", "2", "4to3", "3to2"):
        layers = [f"{i}.conv{j}" for i in (0, 3, 6) for j in (1, 2)] + ["1", "4", "7"]
        expected |= {f"hpn_learner.encoder_layer{block}.{x}.{y}" for x in layers for y in ("weight", "bias")}
    layers = [f"{i}.{j}" for i in (1, 2) for j in (0, 2)]
    expected |= {f"hpn_learner.decoder{x}.{y}" for x in layers for y in ("weight", "bias")}
    assert set(model.state_dict()) == expected


def test_a_published_checkpoint_loads(resnet50: HSNet, tmp_path: Path) -> None:
    published = {f"module.{name}": tensor for name, tensor in resnet50.state_dict().items()}
    torch.save(published, tmp_path / "best_model.pt")
    model = HSNet(backbone="resnet50", backbone_weights="none")
    last = "hpn_learner.decoder2.2.weight"
    assert not model.state_dict()[last].equal(resnet50.state_dict()[last])
    load_checkpoint(model, tmp_path / "best_model.pt")
    assert all(tensor.equal(published[f"module.{name}"]) for name, tensor in model.state_dict().items())


def test_a_checkpoint_of_another_backbone_is_refused(resnet50: HSNet) -> None:
    model = HSNet(backbone="resnet101", backbone_weights="none")
    with pytest.raises(CheckpointError, match=r"does not fit HSNet: \d+ missing \(backbone\.layer3\.10\."):
        load_checkpoint(model, resnet50.state_dict())


def test_it_starts_untrained_from_one_seed_of_its_own() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = HSNet(backbone_weights="none")
    assert torch.get_rng_state().equal(before)
    torch.manual_seed(2)
    second = HSNet(backbone_weights="none")
    assert first.needs_training
    assert first.preprocess.size == 400
    states = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    assert all(a.equal(b) for a, b in states)


def test_an_unknown_backbone_is_refused() -> None:
    with pytest.raises(UsageError, match=r"HSNet has no backbone 'resnet18'; did you mean 'resnet101'\? known are"):
        HSNet(backbone="resnet18", backbone_weights="none")


def test_an_unknown_masking_is_refused() -> None:
    with pytest.raises(UsageError, match="HSNet has no masking 'crop'; known are fm, none"):
        HSNet(masking="crop", backbone_weights="none")


# --- training ---


def test_the_backbone_stays_frozen_in_training() -> None:
    model = HSNet(backbone="resnet50", backbone_weights="none").train()
    assert model.training
    assert model.hpn_learner.training
    assert not any(module.training for module in model.backbone.modules())
    frozen = {name: tensor.clone() for name, tensor in model.backbone.state_dict().items()}
    with torch.enable_grad():
        loss = F.cross_entropy(model(*episode(1, [2], [3], 128)), mask(4, 128).long())
        torch.autograd.backward(loss)
    assert all(p.grad is not None and bool(p.grad.any()) for p in model.hpn_learner.parameters())
    assert all(p.grad is None for p in model.backbone.parameters())
    assert all(tensor.equal(frozen[name]) for name, tensor in model.backbone.state_dict().items())


# --- its parts ---


def test_maps_are_kept_as_they_were_before_the_relu(named: Named) -> None:
    name, model = named
    before_relu = [bool((m < 0).any()) for m in model.encode(image(1, SMALL))]
    last_is_a_max_pool = name == "vgg16"
    assert before_relu == [True] * (len(before_relu) - last_is_a_max_pool) + [False] * last_is_a_max_pool


def test_a_mask_is_resized_with_its_corners_aligned() -> None:
    shown = torch.tensor([[[1, 0, 1], [0, 0, 0], [0, 0, 1]]])  # (1, 3, 3)
    (masked,) = mask_features([torch.full((1, 2, 2, 2), -3.0)], shown)
    assert masked.tolist() == [[[[-3, -3], [0, -3]]] * 2]


def test_conditioning_leaves_the_features_as_they_are(resnet50: HSNet) -> None:
    images, shown = image(2, SMALL), mask(3, SMALL)
    features = resnet50.encode(images)
    before = [f.clone() for f in features]
    conditioned = resnet50.condition(features, images, shown)
    assert all(a.equal(b) for a, b in zip(features, before, strict=True))
    assert not any(a.equal(b) for a, b in zip(features, conditioned, strict=True))


def test_epsilon_is_added_to_the_length() -> None:
    short = torch.tensor([0.0, 1e-5, 0.0]).view(1, 3, 1, 1)
    stack = unit_stack([short, torch.zeros(1, 3, 1, 1)])  # (1, 2, 3, 1, 1)
    assert stack.flatten().tolist() == pytest.approx([0, 0.5, 0, 0, 0, 0])


def test_negative_correlations_are_zero() -> None:
    along, against = torch.tensor([1.0, 0.0]), torch.tensor([-0.6, 0.8])
    query = along.view(1, 1, 2, 1, 1)
    support = torch.stack([along, against], dim=-1).view(1, 1, 2, 1, 2)
    assert hypercorrelation(query, support).tolist() == [[[[[[1, 0]]]]]]


def test_levels_that_squeeze_the_support_differently_are_refused() -> None:
    learner = HypercorrelationSqueeze((1, 1, 1))
    pyramid = [torch.zeros(1, 1, side, side, side, side) for side in (16, 8, 9)]
    with pytest.raises(ModelError, match=r"to one size, got \(2, 2\) and \(1, 1\); choose another input size"):
        learner(pyramid)


# --- several shots ---


def logits_of(votes: list[list[int]]) -> Tensor:
    """Logits (1, K, 2, 1, W) by which shot k makes pixel x foreground where ``votes[k][x]`` is 1."""
    foreground = torch.tensor(votes, dtype=torch.float32)[None, :, None, None]  # (1, K, 1, 1, W)
    return torch.cat([1 - foreground, foreground], dim=2)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([0, 1, 2, 3], [0, 0, 1, 1]),  # most votes 3: 2 of 3 are enough, though 2 of 5 shots are not half
        ([0, 1, 1, 0], [0, 1, 1, 0]),  # most votes 1: any vote is enough
        ([0, 1, 2, 2], [0, 1, 1, 1]),  # 1 of 2 is exactly one half, which is enough
        ([0, 2, 3, 5], [0, 0, 1, 1]),
        ([0, 0, 0, 0], [0, 0, 0, 0]),
    ],
)
def test_the_threshold_follows_the_most_voted_pixel(resnet50: HSNet, counts: list[int], expected: list[int]) -> None:
    """Of five shots, pixel x gets ``counts[x]`` votes."""
    votes = [[int(k < count) for count in counts] for k in range(5)]
    assert resnet50.decide(logits_of(votes), (1, 4)).tolist() == [[expected]]


def test_several_shots_are_the_vote_of_each_alone(resnet50: HSNet) -> None:
    model = doubled(resnet50)
    query, supports, masks = episode64(1, [2, 3, 4], [5, 6, 7], SMALL)
    alone = [model.predict(query, supports[:, [k]], masks[:, [k]]) for k in range(3)]
    votes = torch.stack(alone).sum(dim=0)  # (1, 64, 64)
    assert set(votes.flatten().tolist()) == {0, 1, 2, 3}
    logits = model._logits(query, supports, masks)
    found, sure = model.decide(logits, (SMALL, SMALL)), certain(logits, (SMALL, SMALL), slack=EXACT)
    assert differing(found, (votes >= 2).to(torch.uint8), sure) == 0


def test_several_shots_have_no_joint_logits(resnet50: HSNet) -> None:
    with pytest.raises(ModelError, match="HSNet lets 2 shots vote on masks and has no joint logits"):
        resnet50(*episode(1, [2, 3], [4, 5], SMALL))


def test_matching_leaves_kept_features_as_they_are(resnet50: HSNet) -> None:
    kept = resnet50.encode(image(1, SMALL))
    before = [m.clone() for m in kept]
    logits = resnet50.match(kept, [m[:, None].expand(-1, 2, -1, -1, -1) for m in kept])
    assert logits.shape == (1, 2, 2, 16, 16)
    assert all(a.equal(b) for a, b in zip(kept, before, strict=True))

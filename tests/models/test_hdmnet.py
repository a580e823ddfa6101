"""HDMNet against outputs of the published model, its checkpoints, its options, and its rules by hand."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from filling import doubled, episode, episode64, fill, image, mask
from golden import EXACT, ROUNDED, Golden, difference, read
from torch import Tensor, nn

from fssbench.base.errors import CheckpointError, ModelError, UsageError
from fssbench.base.files import sha256_file
from fssbench.engine.evaluate import answers
from fssbench.models import build_model
from fssbench.models.checkpoints import load_checkpoint
from fssbench.models.hdmnet import HDMNet
from fssbench.models.hdmnet.ensemble import base_foreground, gram_matrix, merging, scene_difference, shot_weights
from fssbench.models.hdmnet.features import FROZEN
from fssbench.models.hdmnet.losses import Losses, distillation_loss, segmentation_loss
from fssbench.models.hdmnet.matching import MATCHINGS, MatchLayer
from fssbench.models.hdmnet.outputs import Outputs
from fssbench.models.hdmnet.prior import prior_map, prototype
from fssbench.models.hdmnet.transformer import STRUCTURES
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet

FINAL = 100
"""How much further than the meta and base maps the final one may be off, as shares of their standard deviations.

It is made of probabilities, which move by up to a quarter of what their logits move. The deviation of these random
weights' logits is around 100, that of the final map 0.28.
"""
SMALL = 65  # maps of 9, 5 and 3 positions a side

Maps = tuple[Tensor, Tensor, Tensor]


@pytest.fixture(scope="module")
def golden() -> Golden:
    return read("hdmnet")


@pytest.fixture(scope="module")
def small() -> HDMNet:
    return fill(HDMNet(size=SMALL))


def like(model: HDMNet, **options: object) -> HDMNet:
    """The same weights, as far as there are such, with other options."""
    other = build_model("hdmnet", size=SMALL, **options)
    assert isinstance(other, HDMNet)
    other.load_state_dict(model.state_dict(), strict=False)
    return other


def by_seeds(shot: int, size: int = SMALL) -> tuple[Tensor, Tensor, Tensor]:
    return episode(1, range(10, 10 + shot), range(20, 20 + shot), size)


def listed(model: nn.Module) -> set[str]:
    """Names and shapes, written as in the golden file."""
    return {f"{name} {tuple(tensor.shape)}" for name, tensor in model.state_dict().items()}


def is_frozen(name: str) -> bool:
    """Whether it is a tensor of the backbone or the base learner."""
    return name.partition(".")[0] in FROZEN


def target(size: int) -> Tensor:
    """The ground truth of the golden losses, (1, size, size)."""
    truth = mask(30, size).long()
    truth[torch.from_numpy(np.random.RandomState(5).rand(1, size, size) < 0.02)] = 255
    return truth


def losses(model: HDMNet, shot: int, size: int = SMALL) -> Losses:
    truth = target(size)
    found = model.outputs(*by_seeds(shot, size), leave_out=torch.tensor([3]))
    return model.losses(found, target=truth, base_target=torch.zeros_like(truth))


# --- the published model's outputs ---


@pytest.fixture(scope="module")
def known() -> dict[tuple[str, str], Maps]:
    """Maps by backbone and image: nearly all of a run, and those of both benchmarks are the same."""
    return {}


def published(benchmark: str, backbone: str, shot: int, golden: Golden) -> tuple[str, HDMNet]:
    """A golden run's name, and its model, whose names and shapes are the published ones."""
    run = f"hdmnet.{benchmark}.{backbone}.{shot}shot"
    model = fill(HDMNet(backbone=backbone, benchmark=benchmark, shot=shot, size=int(golden[f"{run}.size"])))
    assert listed(model) == set(golden[f"{run}.state_dict_keys"].tolist())
    learned = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert learned == golden[f"{run}.learnable_parameters"]
    return run, model


def require_near(found: Outputs, run: str, golden: Golden, *, within: float) -> None:
    """Fail unless the meta and base maps are ``within`` that share of the standard deviation, the final one `FINAL`."""
    assert difference(found.meta[..., ::4, ::4], golden[f"{run}.meta_s4"]) <= within
    assert difference(found.base[:, :4, ::4, ::4], golden[f"{run}.base_s4"]) <= within
    assert difference(found.final[..., ::4, ::4], golden[f"{run}.final_s4"]) <= FINAL * within


@pytest.mark.published
@pytest.mark.parametrize(
    ("benchmark", "backbone"),
    [
        pytest.param("coco", "resnet50", marks=pytest.mark.slow),
        ("pascal", "resnet50"),
        pytest.param("coco", "vgg16", marks=pytest.mark.slow),
    ],
)
@torch.no_grad()
def test_outputs_in_float64_are_the_published_ones(
    benchmark: str,
    backbone: str,
    golden: Golden,
    known: dict[tuple[str, str], Maps],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """But for the rounding of the stored file, which is the same on every processor."""
    run, model = published(benchmark, backbone, 1, golden)
    model.double()
    maps = model.maps

    def remembered(images: Tensor) -> Maps:
        key = (backbone, sha256(images.numpy().tobytes()).hexdigest())
        if key not in known:
            known[key] = maps(images)
        return known[key]

    monkeypatch.setattr(model, "maps", remembered)
    asked = [part.double() for part in by_seeds(1, model.preprocess.side)]
    require_near(model.outputs(*asked), run, golden, within=2e-5)

    if f"{run}.train_losses" in golden:
        truth = target(model.preprocess.side)
        found = model.outputs(*asked, leave_out=torch.tensor([3]))
        each = model.losses(found, target=truth, base_target=torch.zeros_like(truth))
        expected = golden[f"{run}.train_losses"]
        found_losses = [float(each.final + each.meta), float(each.distillation), float(each.base)]
        np.testing.assert_allclose(found_losses, expected, rtol=1e-5)
        assert float(each.total) == pytest.approx(expected.sum(), rel=1e-5)


@pytest.mark.slow
@pytest.mark.published
@torch.no_grad()
def test_outputs_of_five_shots_in_float32_are_the_published_ones(golden: Golden) -> None:
    run, model = published("coco", "resnet50", 5, golden)
    require_near(model.outputs(*by_seeds(5, model.preprocess.side)), run, golden, within=ROUNDED)


# --- checkpoints ---


def test_a_published_checkpoint_loads(small: HDMNet, tmp_path: Path) -> None:
    state = {f"module.{name}": tensor for name, tensor in small.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state, "optimizer": {"param_groups": [{"lr": 1e-4}]}}, tmp_path / "a.pth")
    model = HDMNet(size=SMALL)
    load_checkpoint(model, tmp_path / "a.pth")
    assert all(tensor.equal(small.state_dict()[name]) for name, tensor in model.state_dict().items())


def test_a_base_learner_fills_what_is_frozen_and_nothing_else(small: HDMNet, golden: Golden, tmp_path: Path) -> None:
    """The file is a PSPNet with the published names, which hold the backbone twice."""
    filled = small.state_dict()
    published: dict[str, Tensor] = {}
    for name, shape in (one.split(" ", 1) for one in golden["hdmnet.coco.resnet50.1shot.pspnet_keys"].tolist()):
        ours = name.replace("encoder.", "layer").replace("cls.4.", "base_learnear.2.")
        assert str(tuple(filled[ours].shape)) == shape
        published[f"module.{name}"] = filled[ours]
    path = tmp_path / "best.pth"
    torch.save({"epoch": 9, "state_dict": published, "optimizer": {}}, path)

    fresh, model = HDMNet(size=SMALL), HDMNet(size=SMALL, backbone_weights=str(path))
    for name, tensor in model.state_dict().items():
        assert tensor.equal((filled if is_frozen(name) else fresh.state_dict())[name])
    assert model.backbone_info is not None
    assert (model.backbone_info.name, model.backbone_info.weights) == ("resnet50", "file")
    assert model.backbone_info.sha256 == sha256_file(path)

    with pytest.raises(CheckpointError, match=r"best\.pth does not fit BaseLearner: 2 wrongly shaped \(base_learnear"):
        HDMNet(size=SMALL, benchmark="pascal", backbone_weights=str(path))


def test_a_checkpoint_of_other_shots_is_refused(small: HDMNet) -> None:
    with pytest.raises(CheckpointError, match=r"does not fit HDMNet: 4 missing \(kshot_rw"):
        load_checkpoint(HDMNet(size=SMALL, shot=5), small.state_dict())


# --- as a segmenter ---


@torch.no_grad()
def test_an_evaluation_gives_the_masks_of_predict(small: HDMNet, toy_set: EpisodeSet) -> None:
    """Features that are held over from other episodes change nothing."""
    for answer in answers(small, toy_set, shot=1, seed=0, episodes=4):
        shown = [(small.preprocess.image(f.image), small.preprocess.mask(f.mask)) for f in answer.supports]
        query = small.preprocess.normalise(small.preprocess.image(answer.query.image))[None]
        supports = small.preprocess.normalise(torch.stack([pixels for pixels, _ in shown]))[None]
        masks = torch.stack([one for _, one in shown])[None].float()
        assert answer.masks["model"].equal(small.predict(query, supports, masks)[0])
        size = answer.query.mask.shape
        assert answer.masks["original"].equal(small.predict_sizes(query, supports, masks, [size])[0][0])


@torch.no_grad()
def test_a_mask_of_another_size_goes_by_way_of_the_inputs_size(small: HDMNet) -> None:
    query, supports, masks = by_seeds(1)
    final = small.outputs(query, supports, masks).final
    assert final.shape == (1, 2, SMALL, SMALL)
    assert small(query, supports, masks).equal(final)
    expected = F.interpolate(final, (200, 91), mode="bilinear", align_corners=True).argmax(dim=1)
    assert small.predict_sizes(query, supports, masks, [(200, 91)])[0].equal(expected.to(torch.uint8))


@torch.no_grad()
def test_episodes_of_a_batch_do_not_mix(small: HDMNet) -> None:
    model = doubled(small)
    first, second = episode64(1, [10], [20], SMALL), episode64(2, [11], [21], SMALL)
    both = model(*(torch.cat(pair) for pair in zip(first, second, strict=True)))
    assert difference(both, torch.cat([model(*first), model(*second)]).numpy()) <= EXACT


def test_episodes_of_other_shots_are_refused(small: HDMNet) -> None:
    with pytest.raises(ModelError, match=r"one of 1 shots, the episode has 3; build it with shot=3"):
        small.predict(*by_seeds(3))


@torch.no_grad()
@pytest.mark.slow
def test_shots_are_matched_together_whatever_their_order(small: HDMNet) -> None:
    """Without the ensemble, whose published weights do depend on it."""
    model = like(small, shot=2, ensemble=False).double()
    query, supports, masks = (part.double() for part in by_seeds(2))
    turned = model(query, supports.flip(1), masks.flip(1))
    found = model(query, supports, masks)
    assert difference(turned, found.numpy()) <= EXACT
    other = model(query, supports[:, [0, 0]], masks[:, [0, 0]])
    assert (other - found).abs().max() > 0.1


# --- options ---


def test_a_benchmark_has_its_classes_and_its_size() -> None:
    coco, pascal = HDMNet(), HDMNet(benchmark="pascal")
    assert (coco.preprocess.size, pascal.preprocess.size) == (633, 473)
    assert not coco.preprocess.antialias
    assert [len(model.state_dict()["base_learnear.2.bias"]) for model in (coco, pascal)] == [61, 16]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("backbone", "resnet101", "HDMNet has no backbone 'resnet101'; known are resnet50, vgg16"),
        ("benchmark", "fss", "HDMNet has no benchmark 'fss'; known are coco, pascal"),
        ("matching", "dot", r"HDMNet has no matching 'dot'; known are cosine\+inverse-softmax"),
        ("distillation", "l2", r"HDMNet has no distillation 'l2'; known are kl\+kd, ce\+kd, ce, none"),
        ("stages", 5, "HDMNet has no stages '5'; known are 1, 2, 3, 4"),
        ("stages", 2.0, "option 'stages' of model 'hdmnet' must be a whole number, got 2.0"),
        ("shot", 0, "shot must be a whole number from 1, got 0"),
        ("shot", "five", "option 'shot' of model 'hdmnet' must be a whole number, got 'five'; its default is 1"),
        ("ensemble", "no", "option 'ensemble' of model 'hdmnet' must be true or false, got 'no'"),
        ("temperature", 0.0, "temperature must be above 0, got 0.0"),
        ("size", 64, "input must be 8n [+] 1 pixels a side, at least 57, got 64; the benchmark's usual size is 633"),
        ("backbone_weights", "imagenet", "from a PSPNet .* not from ImageNet; pass --backbone-weights PATH"),
    ],
)
def test_an_option_it_cannot_have_is_refused(option: str, value: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_model("hdmnet", **{option: value})


@pytest.mark.parametrize("stages", [1, 2, 3, 4])
@torch.no_grad()
def test_stages_are_those_of_the_pyramid_from_the_finest(small: HDMNet, stages: int) -> None:
    model = like(small, stages=stages)
    sides = [c.shape[-1] for c in model.outputs(*by_seeds(1)).correlations]
    assert sides == [2, 3, 5, 9][4 - stages :]
    # Table 7 counts 1.3, 2.1, 2.8 and 3.6 million in its decoders.
    counted = sum(p.numel() for p in model.transformer.parameters())
    assert counted == {1: 1_563_458, 2: 2_453_122, 3: 3_309_634, 4: 4_166_146}[stages]


@torch.no_grad()
def test_with_one_stage_there_is_nothing_to_interleave(small: HDMNet) -> None:
    """The two structures have the same layers: of one stage they are one function, of two they are not."""
    options = [{"stages": stages, "structure": structure} for stages in (1, 2) for structure in STRUCTURES]
    models = [like(small, **one) for one in options]
    assert models[2].state_dict().keys() == models[3].state_dict().keys()
    one, also_one, two, not_two = (model(*by_seeds(1)) for model in models)
    assert one.equal(also_one)
    assert not two.equal(not_two)


@torch.no_grad()
def test_interleaved_shots_have_no_order(small: HDMNet) -> None:
    model = like(small, structure="interleaved", ensemble=False, shot=3)
    query, supports, masks = by_seeds(3)
    turned = model(query, supports.flip(1), masks.flip(1))
    torch.testing.assert_close(model(query, supports, masks), turned, rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.slow
def test_every_option_of_the_answer_changes_it(small: HDMNet) -> None:
    asked = by_seeds(1)
    options: list[dict[str, object]] = [{"matching": matching} for matching in MATCHINGS]
    options += [{"support_mask": False}, {"ensemble": False}, {"stages": 2}]
    options += [{"structure": "interleaved"}]
    found = [like(small, **one)(*asked) for one in options]
    assert not any(a.equal(b) for i, a in enumerate(found) for b in found[:i])


@torch.no_grad()
def test_without_the_support_mask_no_mask_matters(small: HDMNet) -> None:
    query, supports, masks = by_seeds(1)
    blind = like(small, support_mask=False)
    assert blind(query, supports, masks).equal(blind(query, supports, 1 - masks))
    assert blind(query, supports, masks).equal(small(query, supports, torch.ones_like(masks)))
    assert not small(query, supports, masks).equal(small(query, supports, 1 - masks))


@torch.no_grad()
def test_without_the_ensemble_the_transformer_answers_alone(small: HDMNet) -> None:
    alone, found = like(small, ensemble=False).outputs(*by_seeds(1)), small.outputs(*by_seeds(1))
    assert alone.final.equal(alone.meta)
    assert alone.meta.equal(found.meta)


# --- training ---


@pytest.mark.parametrize("shot", [1, 2])
def test_gradients_reach_what_is_learned_and_nothing_else(shot: int) -> None:
    model = HDMNet(size=SMALL, shot=shot)
    assert model.training
    frozen = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.random.fork_rng():
        torch.manual_seed(0)  # dropout
        torch.autograd.backward(losses(model, shot).total)
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad != is_frozen(name)
        assert (parameter.grad is not None) == parameter.requires_grad, name
    # Also batch norm's statistics, the transformer's own included, are as they were.
    assert all(tensor.equal(frozen[name]) for name, tensor in model.state_dict().items())
    assert not any(m.training for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    assert model.down_query[2].training
    assert model.base_learnear[1].training  # published so, though frozen


def test_ignored_pixels_cost_nothing() -> None:
    logits = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    truth = torch.tensor([[[0, 1, 255, 255]] * 4])
    kept = F.cross_entropy(logits[..., :2], truth[..., :2])
    assert segmentation_loss(logits, truth).item() == pytest.approx(kept.item())


def kl(taught: Tensor, learned: Tensor) -> float:
    """KL divergence of distributions over positions (B, h, w), batch mean."""
    p, q = taught.flatten(1), learned.flatten(1)
    return float(torch.where(p > 0, p * (p / q).log(), 0).sum(dim=1).mean())


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_distillation_goes_from_the_truth_to_the_coarse_to_the_fine(temperature: float) -> None:
    generator = torch.Generator().manual_seed(0)
    coarse, fine = (torch.randn(2, side, side, generator=generator).double() for side in (4, 8))
    truth = torch.zeros(2, 4, 4, dtype=torch.int64)
    truth[:, :2, 1:], truth[:, 3, 3] = 1, 255
    even = truth.eq(1).double() / truth.eq(1).sum(dim=(1, 2), keepdim=True)

    def spread(x: Tensor) -> Tensor:
        return (x / temperature).flatten(1).softmax(dim=1).view_as(x)

    up = F.interpolate(coarse[:, None], (8, 8), mode="bilinear", align_corners=False)[:, 0]
    expected = (kl(even, spread(coarse)) + kl(spread(up), spread(fine))) / 2
    assert float(distillation_loss([coarse, fine], truth, temperature=temperature)) == pytest.approx(expected)


def test_a_teacher_does_not_learn_from_its_student() -> None:
    generator = torch.Generator().manual_seed(0)
    coarse, fine = (
        torch.randn(1, side, side, generator=generator, dtype=torch.float64, requires_grad=True) for side in (4, 8)
    )
    truth = torch.zeros(1, 8, 8, dtype=torch.int64)
    truth[:, 2:5, 2:5] = 1
    torch.autograd.backward(distillation_loss([coarse, fine], truth))
    assert coarse.grad is not None
    joint = coarse.grad.clone()
    coarse.grad = None
    torch.autograd.backward(distillation_loss([coarse], truth) / 2)
    torch.testing.assert_close(joint, coarse.grad)


def test_cross_entropy_is_that_of_each_position_with_the_truth() -> None:
    generator = torch.Generator().manual_seed(0)
    coarse, fine = (torch.randn(1, 4, 4, generator=generator) for _ in range(2))
    truth = torch.zeros(1, 4, 4, dtype=torch.int64)
    truth[:, :2], truth[:, 3] = 1, 255

    def entropy(x: Tensor) -> float:
        certainty = torch.where(truth == 1, x.sigmoid(), 1 - x.sigmoid())
        return float(-certainty[truth != 255].log().mean())

    maps = [coarse, fine]
    taught = kl(coarse.flatten(1).softmax(1), fine.flatten(1).softmax(1))
    assert float(distillation_loss(maps, truth, method="ce")) == pytest.approx((entropy(coarse) + entropy(fine)) / 2)
    assert float(distillation_loss(maps, truth, method="ce+kd")) == pytest.approx((entropy(coarse) + taught) / 2)
    assert float(distillation_loss(maps, truth, method="none")) == 0


@torch.no_grad()
def test_the_models_distillation_is_the_one_asked_for(small: HDMNet) -> None:
    options: list[dict[str, object]] = [{"distillation": name} for name in ("kl+kd", "ce+kd", "ce")]
    options.append({"temperature": 2.0})
    found = [float(losses(like(small, **one), 1).distillation) for one in options]
    assert len(set(found)) == 4
    assert float(losses(like(small, distillation="none"), 1).distillation) == 0


# --- its parts ---


def test_the_prior_is_the_highest_similarity_with_the_mask_averaged_over_shots() -> None:
    query = torch.tensor([[1.0, 0.0], [0.0, 2.0]]).view(1, 2, 1, 2)  # positions (1, 0) and (0, 2)
    first = torch.tensor([[3.0, 0.0], [4.0, 5.0]]).view(1, 1, 2, 1, 2)  # positions (3, 4) and (0, 5)
    second = -first
    shown = torch.cat([first, second], dim=1)
    prior = prior_map(query, shown, torch.tensor([[[[1, 0]], [[1, 1]]]]))
    # Position (0, 5) is outside the first mask; what is left out counts as 0, so nothing is below it.
    assert prior.flatten().tolist() == pytest.approx([(0.6 + 0) / 2, (0.8 + -0.8) / 2])


def test_a_prototype_is_the_mean_over_the_mask() -> None:
    x = torch.arange(8.0).view(1, 2, 2, 2)
    shown = torch.tensor([[[1, 0], [0, 1]]])
    assert prototype(x, shown).flatten().tolist() == pytest.approx([1.5, 5.5], rel=1e-3)
    assert prototype(x, torch.zeros_like(shown)).flatten().tolist() == [0, 0]


@pytest.mark.parametrize("matching", MATCHINGS)
@torch.no_grad()
def test_what_is_outside_the_mask_shows_nothing(matching: str) -> None:
    """Of other tokens there only a softmax over the support takes notice; values and correlation never do."""
    layer = fill(MatchLayer(matching))
    generator = torch.Generator().manual_seed(0)
    query, support = torch.randn(1, 64, 3, 3, generator=generator), torch.randn(1, 9, 64, generator=generator)
    inside = torch.tensor([[1, 1, 1, 1, 0, 0, 0, 0, 0]])
    changed = support.clone()
    changed[:, 4:] = torch.randn(1, 5, 64, generator=generator)
    (first, one), (second, two) = layer(query, support, inside), layer(query, changed, inside)
    torch.testing.assert_close(one, two)
    over_support = matching in ("cosine+softmax", "cross-attention")
    assert torch.allclose(first, second, atol=1e-5) != over_support


@torch.no_grad()
def test_matching_weighs_by_its_rule() -> None:
    scores = torch.tensor([[1.0, 2.0], [3.0, 0.0], [0.0, 0.0]]).view(1, 1, 3, 2)
    shown = torch.full((1, 1, 1, 1), 2.0)
    weights = {matching: MatchLayer(matching)._weights(scores, shown) for matching in MATCHINGS}
    assert weights["cosine+inverse-softmax"].sum(dim=2).flatten().tolist() == pytest.approx([1, 1])
    for matching in ("cosine+softmax", "cross-attention"):
        assert weights[matching].sum(dim=3).flatten().tolist() == pytest.approx([1, 1, 1])
    assert weights["cosine"].flatten().tolist() == pytest.approx([0.05, 0.1, 0.15, 0, 0, 0])


def test_gram_matrices_are_cosines_of_channels() -> None:
    x = torch.tensor([[3.0, 4.0], [4.0, -3.0], [6.0, 8.0]]).view(1, 3, 1, 2)
    expected = [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
    torch.testing.assert_close(gram_matrix(x)[0], torch.tensor(expected).float(), rtol=0, atol=1e-5)


@torch.no_grad()
def test_weights_of_sorted_differences_multiply_the_unsorted_ones() -> None:
    weigh = fill(shot_weights(3))
    query = torch.zeros(1, 2, 2)
    supports = torch.stack([torch.full((2, 2), value) for value in (3.0, 1.0, 2.0)])[None]
    weights = weigh(torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1)).flatten().softmax(dim=0)
    expected = (weights * torch.tensor([3.0, 1.0, 2.0])).sum()
    assert scene_difference(query, supports, weigh=weigh).tolist() == pytest.approx([expected.item()])
    assert scene_difference(query, supports[:, :1], weigh=None).tolist() == [3.0]


def test_merging_begins_as_the_first_map() -> None:
    maps = torch.randn(1, 2, 3, 3)
    assert merging()(maps).equal(maps[:, :1])


def test_an_episodes_own_class_is_no_distractor_in_training() -> None:
    logits = torch.tensor([0.1, 0.2, 0.3, 0.4]).log().view(1, 4, 1, 1).expand(2, 4, 1, 1)
    assert base_foreground(logits, None).flatten().tolist() == pytest.approx([0.9, 0.9])
    assert base_foreground(logits, torch.tensor([0, 2])).flatten().tolist() == pytest.approx([0.7, 0.5])


@torch.no_grad()
def test_vggs_maps_have_the_size_of_its_third_layer() -> None:
    """Its pools round up: 65, 33, 17, 9, 5."""
    maps = HDMNet(backbone="vgg16", size=SMALL).eval().maps(image(1, SMALL))
    assert [tuple(m.shape[1:]) for m in maps] == [(256, 5, 5), (768, 5, 5), (512, 5, 5)]

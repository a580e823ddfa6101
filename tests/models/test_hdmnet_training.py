"""HDMNet in training: what learns, what stays, what is minimised, and that it falls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from batches import OTHER, OWN, SIDE, episode_batch
from torch import Tensor, nn

from fssbench.models import build_model
from fssbench.models.hdmnet import HDMNet
from fssbench.models.hdmnet.features import FROZEN
from fssbench.models.hdmnet.losses import DISTILLATIONS, segmentation_loss
from fssbench.models.trainable import Step, Trainable

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def model() -> HDMNet:
    """For tests that leave it as it is; without dropout, whose noise they could not do with."""
    return make().eval()


def make(**options: object) -> HDMNet:
    model = build_model("hdmnet", size=SIDE, **options)
    assert isinstance(model, HDMNet)
    model.learn()
    return model


def optimizer(model: HDMNet, rate: float = 1e-3) -> torch.optim.Optimizer:
    groups = [{"params": g.parameters, "lr": rate * g.rate} for g in model.groups()]
    return torch.optim.AdamW(groups, weight_decay=0.01)


def step(model: HDMNet, size: int, *, shot: int = 1) -> Step:
    """A step with the same dropout every time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return model.step(episode_batch(size, shot=shot))


def copied(model: nn.Module) -> State:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def learned(model: HDMNet) -> dict[str, list[str]]:
    """The names of each group's parameters."""
    names = {id(p): name for name, p in model.named_parameters()}
    return {group.name: [names[id(p)] for p in group.parameters] for group in model.groups()}


ABLATIONS: list[dict[str, object]] = [
    {"shot": 2},
    {"structure": "interleaved", "matching": "cross-attention", "distillation": "none", "shot": 2},
    {"backbone": "vgg16"},
    {"ensemble": False, "shot": 2, "stages": 1},
    {"matching": "cosine+softmax", "distillation": "ce", "support_mask": False, "stages": 4},
    {"matching": "cosine", "distillation": "ce+kd", "temperature": 2.0},
    {"matching": "cross-attention", "distillation": "none"},
]


@pytest.mark.parametrize("options", ABLATIONS, ids=str)
def test_a_step_changes_exactly_what_is_in_a_group(options: dict[str, object]) -> None:
    """Whatever the ablation: every parameter of a group gets a gradient; no other tensor moves, no statistic either."""
    model = make(**options)
    before = copied(model)
    optimize = optimizer(model)
    found = step(model, 1, shot=model.shot)
    torch.autograd.backward(found.loss)
    named = dict(model.named_parameters())
    grouped = {name for group in learned(model).values() for name in group}
    assert all(named[name].grad is not None for name in grouped)
    optimize.step()
    after = model.state_dict()
    changed = {name for name in before if not after[name].equal(before[name])}
    # A ReLU behind a 1x1 convolution, a softmax or a normalisation may leave single tensors without a slope,
    # but what AdamW decays moves all the same.
    assert changed <= grouped
    assert len(changed) > 0.9 * len(grouped)
    assert not any(name.partition(".")[0] in (*FROZEN, "kshot_rw") for name in grouped)


def test_the_transformer_learns_slowly_and_all_around_it_ten_times_as_fast() -> None:
    model = make(shot=5)
    assert isinstance(model, Trainable)
    assert {group.name: group.rate for group in model.groups()} == {"transformer": 1, "around": 10}
    names = learned(model)
    assert {name.partition(".")[0] for name in names["transformer"]} == {"transformer"}
    around = {"down_query", "down_supp", "query_merge", "supp_merge", "gram_merge", "cls_merge"}
    assert {name.partition(".")[0] for name in names["around"]} == around
    # The published optimizer has no group with kshot_rw, whose gradients come to nothing.
    left = {name for name, p in model.named_parameters() if p.requires_grad} - {n for g in names.values() for n in g}
    assert {name.partition(".")[0] for name in left} == {"kshot_rw"}
    assert sum(p.numel() for group in make().groups() for p in group.parameters) == 4_161_734


def test_what_is_frozen_and_every_batch_norm_stay_in_eval_mode() -> None:
    model = make()
    model.eval()
    model.learn()
    assert not any(module.training for module in model.modules() if isinstance(module, nn.BatchNorm2d))
    frozen = [module for name in FROZEN for module in model.get_submodule(name).modules()]
    assert {type(module) for module in frozen if module.training} == {nn.Sequential, nn.ReLU, nn.Dropout2d, nn.Conv2d}
    assert all(
        not module.training for name in FROZEN if name != "base_learnear" for module in [model.get_submodule(name)]
    )
    dropouts = [m for m in model.modules() if isinstance(m, nn.Dropout | nn.Dropout2d) and m.training]
    # Of the fusions and the base learner; of the six transformer layers and the three matchings: one after the
    # attention, two in the Mix-FFN.
    assert len(dropouts) == 3 + 3 * (3 * 2 + 3)
    first, second = model.step(episode_batch()), model.step(episode_batch())
    assert not first.loss.equal(second.loss)


@pytest.mark.parametrize(
    "distillation", [name if name == "kl+kd" else pytest.param(name, marks=pytest.mark.slow) for name in DISTILLATIONS]
)
def test_the_loss_of_one_batch_falls(distillation: str) -> None:
    model = make(distillation=distillation)
    model.eval()  # the dropout's noise would hide what ten steps do
    optimize = optimizer(model, 1e-4)
    losses = []
    for _ in range(6):
        found = model.step(episode_batch(1))
        losses.append({name: float(value) for name, value in found.parts.items()})
        optimize.zero_grad()
        torch.autograd.backward(found.loss)
        optimize.step()
    first, last = losses[0], losses[-1]
    assert last["final"] + last["meta"] < first["final"] + first["meta"]
    assert last["base"] == first["base"]
    assert first["distillation"] == 0 if distillation == "none" else last["distillation"] < first["distillation"]


def test_the_parts_sum_to_the_loss_and_the_predictions_are_the_final_maps(model: HDMNet) -> None:
    batch = episode_batch()
    found = model.step(batch)
    assert set(found.parts) == {"final", "meta", "distillation", "base"}
    assert float(found.loss.detach()) == pytest.approx(float(sum(found.parts.values(), torch.tensor(0.0))))
    assert not any(part.requires_grad for part in found.parts.values())
    outputs = model.outputs(
        model.preprocess.normalise(batch.query),
        model.preprocess.normalise(batch.support),
        (batch.support_target == 1).float(),
        leave_out=batch.class_positions,
    )
    assert found.predictions.equal(outputs.final.argmax(dim=1))
    meta = segmentation_loss(outputs.meta, batch.query_target.long())
    base = segmentation_loss(outputs.base, batch.query_labels.long())
    torch.testing.assert_close(found.parts["meta"], meta.detach())
    torch.testing.assert_close(found.parts["base"], base.detach())


def test_without_the_ensemble_one_map_is_not_counted_twice() -> None:
    model = make(ensemble=False)
    parts = step(model, 1).parts
    assert parts["meta"] == 0
    assert parts["final"] > 0
    assert not any(name.startswith(("gram_merge", "cls_merge")) for group in learned(model).values() for name in group)


@pytest.fixture(scope="module")
def sure() -> Callable[[int], HDMNet]:
    """A model that finds everywhere what it is asked for, but for where its base learner is sure of another class.

    That sees one base class everywhere.
    """
    model = make().eval()
    bias, answer = model.base_learnear[2].bias, model.transformer.mix_transformer.cls[-1].bias
    assert isinstance(bias, Tensor)
    assert isinstance(answer, Tensor)

    def of(position: int) -> HDMNet:
        with torch.no_grad():
            answer[1] = 9.0
            model.cls_merge.weight[:, 1] = 1.0
            bias.zero_()
            bias[1 + position] = 50.0
        return model

    return of


def test_the_class_that_is_asked_for_is_no_distractor(sure: Callable[[int], HDMNet]) -> None:
    """But every other one is, and the same one in an episode of another."""
    batch = episode_batch(1)
    own, other = (sure(position).step(batch) for position in (OWN, OTHER))
    of_other = replace(batch, class_positions=torch.tensor([OTHER]))
    assert not other.predictions.any()
    assert own.predictions.all()
    assert sure(OTHER).step(of_other).predictions.equal(own.predictions)


def test_ignored_support_pixels_are_not_shown(model: HDMNet) -> None:
    batch = episode_batch()
    blank = replace(batch, support_target=torch.where(batch.support_target == 255, 0, batch.support_target))
    assert model.step(blank).loss.equal(model.step(batch).loss)


def test_ignored_query_pixels_cost_nothing(model: HDMNet) -> None:
    """Not even where nothing else is left, as after an unlucky crop."""
    batch = episode_batch(1)
    void = replace(
        batch,
        query_target=torch.full_like(batch.query_target, 255),
        query_labels=torch.full_like(batch.query_labels, 255),
    )
    parts = model.step(void).parts
    assert parts["final"] == parts["meta"] == parts["base"] == 0
    assert parts["distillation"].isfinite()


def test_only_what_is_compared_is_computed(model: HDMNet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The backbone sees a query and a masked support; the support's whole image is not looked at."""
    seen: list[int] = []
    maps = model.maps

    def counted(images: Tensor) -> Any:
        seen.append(len(images))
        return maps(images)

    monkeypatch.setattr(model, "maps", counted)
    model.step(episode_batch(3))
    assert sum(seen) == 3 * (1 + 1)


def test_a_step_in_bfloat16_is_finite(model: HDMNet) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = model.step(episode_batch(1))
    torch.autograd.backward(found.loss)
    assert found.loss.dtype == torch.float32
    assert all(p.grad is not None and p.grad.isfinite().all() for g in model.groups() for p in g.parameters)

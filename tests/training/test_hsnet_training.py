"""What HSNet and HMFS minimise, and what of them learns."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from small import episode_batch

from fssbench.models.batch import IGNORED, EpisodeBatch
from fssbench.models.feature_store import FeatureStore
from fssbench.models.hmfs import HMFS
from fssbench.models.hsnet import HSNet
from fssbench.models.trainable import Trainable

SIDE = 64


def enlarged(indices: tuple[int, ...]) -> EpisodeBatch:
    """The small episodes at a side that HSNet can take."""
    small = episode_batch(0, indices)

    def larger(tensor: torch.Tensor) -> torch.Tensor:
        by = -(-SIDE // tensor.shape[-1])
        return tensor.repeat_interleave(by, -1).repeat_interleave(by, -2)[..., :SIDE, :SIDE]

    return replace(
        small,
        query=larger(small.query),
        query_target=larger(small.query_target),
        support=larger(small.support),
        support_target=larger(small.support_target),
    )


@pytest.fixture(scope="module", params=["hsnet", "hmfs"])
def model(request: pytest.FixtureRequest) -> HSNet:
    return (HSNet if request.param == "hsnet" else HMFS)(size=SIDE)


def test_the_loss_is_the_mean_over_all_pixels_with_the_boundary_as_background(model: HSNet) -> None:
    assert isinstance(model, Trainable)
    batch = enlarged((0, 1))
    target = batch.query_target.clone()
    target[:, :8] = IGNORED
    model.learn()
    step = model.step(replace(batch, query_target=target))
    normalise = model.preprocess.normalise
    logits = model(normalise(batch.query), normalise(batch.support), batch.support_target)
    expected = F.cross_entropy(logits, (target == 1).long())
    assert torch.allclose(step.loss, expected, atol=1e-6)
    assert torch.equal(step.predictions, logits.argmax(dim=1))


def test_every_shot_is_matched_alone_and_its_loss_counts_alike(model: HSNet) -> None:
    one, other = enlarged((0, 3)), enlarged((3, 0))  # of one class
    both = replace(
        one,
        support=torch.cat([one.support, other.support], dim=1),
        support_target=torch.cat([one.support_target, other.support_target], dim=1),
    )
    swapped = replace(one, support=other.support, support_target=other.support_target)
    model.learn()
    with torch.no_grad():
        losses = [model.step(batch).loss for batch in (one, swapped)]
        assert torch.allclose(model.step(both).loss, torch.stack(losses).mean(), atol=1e-6)


def test_a_step_reaches_the_squeezing_network_and_nothing_else(model: HSNet) -> None:
    model.learn()
    assert not any(module.training for module in model.backbone.modules())
    buffers = {name: b.clone() for name, b in model.backbone.named_buffers()}
    torch.autograd.backward(model.step(enlarged((0,))).loss)
    reached = {name for name, p in model.named_parameters() if p.grad is not None}
    assert reached == {name for name, _ in model.named_parameters() if name.startswith("hpn_learner.")}
    assert all(torch.equal(b, buffers[name]) for name, b in model.backbone.named_buffers())
    model.zero_grad(set_to_none=True)


def test_a_backbone_that_is_not_frozen_learns_too() -> None:
    model = HSNet(size=SIDE, freeze_backbone=False)
    model.learn()
    torch.autograd.backward(model.step(enlarged((0,))).loss)
    first = next(model.backbone.parameters())
    assert first.grad is not None
    assert first.grad.abs().sum() > 0


def test_remembered_features_do_not_depend_on_what_was_met_before(model: HSNet) -> None:
    """A resumed run begins with nothing remembered, and must go on to the same bits."""
    first, batch = enlarged((0, 1)), enlarged((1, 2))
    model.learn()
    with torch.no_grad():
        model.features = FeatureStore(10**9)
        before = model.step(first).loss, model.step(batch).loss
        held = model.features.bytes
        again = model.step(batch).loss
        assert model.features.bytes == held, "nothing was encoded twice"
        model.features = FeatureStore(1)  # room for one image: the last
        late = model.step(batch).loss
        model.features = None
        plain = model.step(batch).loss
    assert torch.equal(before[1], again)
    assert torch.equal(before[1], late)
    assert torch.allclose(plain, late, atol=1e-5)

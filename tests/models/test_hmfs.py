"""HMFS against outputs of the published model, and the four maskings told apart."""

from __future__ import annotations

import pytest
import torch
from filling import doubled, episode, episode64, fill, image, mask
from golden import EXACT, ROUNDED, Golden, difference, read

from fssbench.base.errors import UsageError
from fssbench.engine.evaluate import evaluate
from fssbench.models import build_model
from fssbench.models.checkpoints import load_checkpoint
from fssbench.models.hmfs import HMFS, hybrid
from fssbench.models.hsnet import HSNet, mask_features
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet

pytestmark = pytest.mark.usefixtures("no_gradients")

SMALL = 64


@pytest.fixture(scope="module")
def golden() -> Golden:
    return read("hmfs")


@pytest.fixture(scope="module")
def resnet50() -> HMFS:
    return fill(HMFS(backbone="resnet50"))


def like(model: HMFS, **options: str) -> HMFS:
    """The same weights with other options."""
    other = HMFS(size=SMALL, **options).eval()
    load_checkpoint(other, model.state_dict())
    return other


@pytest.mark.published
def test_logits_in_float64_are_the_published_ones(resnet50: HMFS) -> None:
    logits = doubled(resnet50)(*episode64(1, [2], [3], 200))
    assert difference(logits[..., ::4, ::4], read("golden64")["hmfs.resnet50.200.logits_s4"]) <= EXACT


@pytest.mark.published
def test_logits_in_float32_are_the_published_ones(resnet50: HMFS, golden: Golden) -> None:
    logits = resnet50(*episode(1, [2], [3], 400))
    assert difference(logits[..., ::4, ::4], golden["hmfs.resnet50.logits_s4"]) <= ROUNDED


def test_a_checkpoint_of_hsnet_fits_and_gives_hsnets_answers_with_its_masking(resnet50: HMFS) -> None:
    for masking in ("fm", "none"):
        theirs = HSNet(size=SMALL, masking=masking).eval()
        load_checkpoint(theirs, resnet50.state_dict())
        asked = episode(1, [2], [3], SMALL)
        assert like(resnet50, masking=masking)(*asked).equal(theirs(*asked))


def test_input_masking_leaves_zeros_and_is_not_masked_again(resnet50: HMFS) -> None:
    model = like(resnet50, masking="im")
    images, shown = image(2, SMALL), mask(3, SMALL)
    cut = images.clone()
    cut[(shown == 0)[:, None].expand_as(cut)] = 0
    found = model.condition(model.encode(images), images, shown)
    assert all(a.equal(b) for a, b in zip(found, model.encode(cut), strict=True))


@pytest.mark.parametrize("replaced", ["nonpositive", "zero"])
def test_hybrid_maps_are_made_of_both(resnet50: HMFS, replaced: str) -> None:
    model = like(resnet50, replaced=replaced)
    images, shown = image(2, SMALL), mask(3, SMALL)
    features = model.encode(images)
    outer = mask_features(features, shown)
    inner = like(resnet50, masking="im").condition(features, images, shown)
    for found, a, b in zip(model.condition(features, images, shown), outer, inner, strict=True):
        gap = a <= 0 if replaced == "nonpositive" else a == 0
        assert gap.any()
        assert found[gap].equal(b[gap])
        assert found[~gap].equal(a[~gap])


def test_negative_values_are_replaced_as_published_or_kept_as_the_algorithm_says() -> None:
    masked, inner = torch.tensor([-2.0, 0.0, 3.0]), torch.tensor([5.0, -6.0, 7.0])
    assert hybrid([masked], [inner])[0].tolist() == [5, -6, 3]
    assert hybrid([masked], [inner], replaced="zero")[0].tolist() == [-2, -6, 3]


def test_every_masking_answers_otherwise(resnet50: HMFS) -> None:
    asked = episode(1, [2], [3], SMALL)
    options = [{"masking": masking} for masking in HMFS.maskings] + [{"replaced": "zero"}]
    answers = [like(resnet50, **one)(*asked) for one in options]
    assert not any(a.equal(b) for i, a in enumerate(answers) for b in answers[:i])


def test_it_is_built_by_its_name_and_asked(toy_set: EpisodeSet) -> None:
    model = build_model("hmfs", size=SMALL)
    assert isinstance(model, HMFS)
    assert model.needs_training
    assert model.preprocess.size == SMALL
    table = evaluate(model, toy_set, shot=2, seed=0, episodes=2)
    assert len(table.counts) == 2


def test_what_it_does_not_have_is_refused() -> None:
    with pytest.raises(UsageError, match="HMFS has no masking 'crop'; known are hm, im, fm, none"):
        HMFS(masking="crop")
    with pytest.raises(UsageError, match="HMFS cannot replace 'negative' values; known are nonpositive, zero"):
        HMFS(replaced="negative")

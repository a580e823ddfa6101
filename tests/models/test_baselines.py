"""The baselines: fixed answers, copied masks, and prototypes of a frozen network."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from fssbench.base.errors import ModelError
from fssbench.models import build_model
from fssbench.models.baselines import AllForeground, CopySupport
from fssbench.models.interface import FewShotSegmenter
from fssbench.models.prototype import Prototype

SIDE = 64
FINGERPRINT = """
import hashlib, torch
torch.manual_seed(99)
from fssbench.models.prototype import Prototype
state = Prototype(backbone="resnet18", backbone_weights="none").state_dict()
print(hashlib.sha256(b"".join(state[k].numpy().tobytes() for k in sorted(state))).hexdigest())
"""


@pytest.fixture(scope="module")
def prototype() -> Prototype:
    return Prototype(backbone="resnet18", backbone_weights="none", size=SIDE)


def episodes(batch: int, shot: int, side: int = SIDE, *, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    query = torch.randn(batch, 3, side, side, generator=generator)
    supports = torch.randn(batch, shot, 3, side, side, generator=generator)
    return query, supports, (torch.rand(batch, shot, side, side, generator=generator) > 0.5).float()


# --- fixed answers --------------------------------------------------------------------------------------


def test_all_foreground_is_foreground_everywhere() -> None:
    answer = AllForeground(size=8).predict(*episodes(2, 3, 8))
    assert answer.dtype == torch.uint8
    assert answer.shape == (2, 8, 8)
    assert answer.all()


def test_one_support_is_copied() -> None:
    query, supports, shown = episodes(2, 1, 8)
    answer = CopySupport(size=8).predict(query, supports, shown)
    assert answer.dtype == torch.uint8
    assert (answer == shown[:, 0]).all()


@pytest.mark.parametrize(
    ("column", "foreground"), [((1, 0), 1), ((0, 0), 0), ((1, 0, 0), 0), ((1, 1, 0), 1), ((1, 1, 0, 0, 0), 0)]
)
def test_several_supports_are_merged_by_majority_and_a_tie_is_foreground(
    column: tuple[int, ...], foreground: int
) -> None:
    query, supports, _ = episodes(1, len(column), 2)
    shown = torch.tensor(column).view(1, -1, 1, 1).expand(1, len(column), 2, 2).float()
    assert (CopySupport(size=2).predict(query, supports, shown) == foreground).all()


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=4, max_dims=4, max_side=5), elements=st.integers(0, 1)))
def test_a_pixel_is_foreground_where_at_least_half_of_the_masks_are(drawn: npt.NDArray[np.uint8]) -> None:
    b, k, h, w = drawn.shape
    answer = CopySupport().predict(torch.zeros(b, 3, h, w), torch.zeros(b, k, 3, h, w), torch.from_numpy(drawn))
    assert (answer.numpy() == (drawn.mean(axis=1) >= 0.5)).all()


@pytest.mark.parametrize("model", [AllForeground(), CopySupport()])
def test_baselines_check_their_inputs(model: FewShotSegmenter) -> None:
    query, supports, shown = episodes(2, 2, 8)
    with pytest.raises(ModelError, match="expected query"):
        model.predict(query, supports[:, :1], shown)


@pytest.mark.parametrize("model", [AllForeground(size=20), CopySupport(size=20)])
def test_baselines_need_no_weights(model: FewShotSegmenter) -> None:
    assert model.preprocess.size == 20
    assert not model.needs_training
    assert model.backbone_info is None
    assert not list(model.parameters())


# --- prototypes -----------------------------------------------------------------------------------------


def fingerprint(model: Prototype) -> str:
    state = model.state_dict()
    return hashlib.sha256(b"".join(state[k].numpy().tobytes() for k in sorted(state))).hexdigest()


@pytest.mark.slow
def test_random_weights_are_the_same_in_every_process(prototype: Prototype) -> None:
    """Whatever was drawn before, here and in another process."""
    torch.rand(3)
    here = fingerprint(Prototype(backbone="resnet18", backbone_weights="none"))
    there = subprocess.run([sys.executable, "-c", FINGERPRINT], check=True, capture_output=True, text=True)
    assert fingerprint(prototype) == here == there.stdout.strip()


def test_building_it_does_not_disturb_the_global_generator() -> None:
    state = torch.get_rng_state()
    Prototype(backbone="resnet18", backbone_weights="none")
    assert torch.equal(torch.get_rng_state(), state)


def test_nothing_of_it_is_trained() -> None:
    prototype = build_model("prototype", backbone="resnet18", backbone_weights="none", size=SIDE)
    assert not prototype.needs_training
    assert prototype.preprocess.size == SIDE
    assert not any(p.requires_grad for p in prototype.parameters())
    assert not any(module.training for module in prototype.modules())
    assert prototype.backbone_info is not None
    assert (prototype.backbone_info.name, prototype.backbone_info.weights) == ("resnet18", "none")
    assert prototype.backbone_info.sha256 is None


@pytest.mark.parametrize(("batch", "shot"), [(1, 1), (2, 1), (2, 3)])
def test_masks_and_logits_have_the_querys_size(prototype: Prototype, batch: int, shot: int) -> None:
    given_episodes = episodes(batch, shot)
    answer, logits = prototype.predict(*given_episodes), prototype(*given_episodes)
    assert answer.shape == (batch, SIDE, SIDE)
    assert answer.dtype == torch.uint8
    assert logits.shape == (batch, 2, SIDE, SIDE)


def test_the_mask_is_the_greater_logit(prototype: Prototype) -> None:
    given_episodes = episodes(2, 2)
    logits = prototype(*given_episodes)
    assert (prototype.predict(*given_episodes) == (logits[:, 1] > logits[:, 0])).all()
    assert logits.abs().max() <= 1 + 1e-5  # cosines


def unit(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Vectors (…, C) of length 1."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def by_hand(prototype: Prototype, query: Tensor, supports: Tensor, masks: Tensor) -> npt.NDArray[np.float64]:
    """PANet's rule for one episode: logits (2, h, w) of background and foreground."""
    (maps,), (shown,) = prototype.encode(query[None]), prototype.encode(supports)
    means = []
    for features, mask in zip(shown.double().numpy(), masks.double().numpy(), strict=True):
        c, h, w = features.shape
        share = mask.reshape(h, mask.shape[0] // h, w, mask.shape[1] // w).mean(axis=(1, 3))  # of each cell
        flat = features.reshape(c, -1)
        means.append([(flat * weight.ravel()).sum(axis=1) / weight.sum() for weight in (1 - share, share)])
    background, foreground = np.mean(means, axis=0)
    directions = unit(maps[0].double().numpy().transpose(1, 2, 0))  # (h, w, C)
    return np.stack([directions @ unit(background), directions @ unit(foreground)])


@pytest.mark.parametrize("shot", [1, 3])
def test_a_class_is_the_mean_over_shots_of_its_mean_feature_under_the_mask(prototype: Prototype, shot: int) -> None:
    """Logits at the map's size are the cosines with the mean prototypes, written out in numpy."""
    query, supports, shown = episodes(2, shot, seed=shot)
    conditioned = prototype.condition(
        prototype.encode(supports.flatten(0, 1)), supports.flatten(0, 1), shown.flatten(0, 1)
    )
    logits = prototype.match(prototype.encode(query), [f.view(2, shot, *f.shape[1:]) for f in conditioned])
    assert logits.shape == (2, 1, 2, SIDE // 16, SIDE // 16)
    for i in range(2):
        expected = by_hand(prototype, query[i], supports[i], shown[i])
        np.testing.assert_allclose(logits[i, 0].numpy(), expected, rtol=0, atol=1e-5)


def test_repeating_a_shot_changes_nothing(prototype: Prototype) -> None:
    query, supports, shown = episodes(1, 1)
    once = prototype(query, supports, shown)
    thrice = prototype(query, supports.expand(1, 3, 3, SIDE, SIDE), shown.expand(1, 3, SIDE, SIDE))
    torch.testing.assert_close(once, thrice, rtol=0, atol=1e-5)


def test_a_support_without_foreground_leaves_everything_background(prototype: Prototype) -> None:
    query, supports, shown = episodes(2, 2)
    assert not prototype.predict(query, supports, torch.zeros_like(shown)).any()


def test_a_support_of_nothing_but_foreground_leaves_everything_foreground(prototype: Prototype) -> None:
    query, supports, shown = episodes(2, 2)
    assert prototype.predict(query, supports, torch.ones_like(shown)).all()


def test_what_was_never_shown_is_as_unlike_as_can_be(prototype: Prototype) -> None:
    """Cosine −1: even features that point away from the one prototype there is are nearer to that."""
    query = torch.tensor([-1.0, 0.1]).view(1, 2, 1, 1)
    for there, absent in ((0, 1), (1, 0)):
        prototypes = torch.zeros(1, 1, 2, 2)
        prototypes[0, 0, there, 0] = 3
        logits = prototype.match([query], [prototypes])[0, 0, :, 0, 0]
        assert logits[absent] == -1
        assert -1 < logits[there] < -0.9


def test_a_shot_without_foreground_adds_no_prototype_to_the_others(prototype: Prototype) -> None:
    """The foreground is that of the shots that show it; the empty shot still tells the background."""
    query, supports, shown = episodes(1, 2)
    empty = shown.clone()
    empty[:, 1] = 0
    both, alone = prototype(query, supports, empty), prototype(query, supports[:, :1], shown[:, :1])
    torch.testing.assert_close(both[:, 1], alone[:, 1], rtol=0, atol=1e-5)
    assert (both[:, 0] - alone[:, 0]).abs().max() > 1e-4


@pytest.mark.parametrize("place", [(0, 0), (17, 40), (63, 63)])
def test_an_object_of_a_single_pixel_is_the_feature_of_its_cell(prototype: Prototype, place: tuple[int, int]) -> None:
    _, supports, _ = episodes(1, 1)
    image, mask = supports[0], torch.zeros(1, SIDE, SIDE)
    mask[0, place[0], place[1]] = 1
    features = prototype.encode(image)
    (prototypes,) = prototype.condition(features, image, mask)
    cell = features[0][0, :, place[0] // 16, place[1] // 16]
    torch.testing.assert_close(prototypes[0, 1], cell, rtol=1e-4, atol=1e-5)


def two_textures(foreground: npt.NDArray[np.bool_], *, seed: int) -> Tensor:
    """An image (3, H, W): bright where ``foreground``, dark elsewhere, with grain."""
    grain = np.random.default_rng(seed).normal(0, 0.1, (3, *foreground.shape))
    return torch.from_numpy(np.where(foreground, 2.0, -2.0) + grain).float()


@pytest.mark.parametrize("shot", [1, 2])
def test_two_strongly_different_textures_are_told_apart(shot: int) -> None:
    """Even random features do: an object that has moved and changed its size is found again, and so is the ground."""
    side = 256
    model = Prototype(backbone="resnet18", backbone_weights="none", size=side)
    truth = np.zeros((side, side), bool)
    truth[64:224, 96:] = True
    shown = np.zeros((shot, side, side), bool)
    shown[:, 32:160, :128] = True
    query = two_textures(truth, seed=9)[None]
    supports = torch.stack([two_textures(mask, seed=k) for k, mask in enumerate(shown)])[None]
    for masks, wanted in ((shown, truth), (~shown, ~truth)):
        (answer,) = model.predict(query, supports, torch.from_numpy(masks)[None].float()).numpy().astype(bool)
        assert (answer & wanted).sum() / (answer | wanted).sum() > 0.8

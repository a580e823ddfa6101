"""What every model gets and gives: inputs as pixels mean them, masks resized and voted on by the stated rules."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from strategies import Mask, masks
from torch import Tensor
from toys import Redder, Voters, nearest

from fssbench.base.errors import ModelError
from fssbench.models.interface import FewShotSegmenter, Preprocess, check_inputs, resize_mask, vote

Pixels = npt.NDArray[np.uint8]

shapes = st.tuples(st.integers(1, 40), st.integers(1, 40))


def noise(height: int, width: int, *, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


# --- images ---------------------------------------------------------------------------------------------


def squash_axis(pixels: Pixels, size: int) -> Pixels:
    """Pillow's bilinear filter along the first axis: a triangle as wide as the scale, in 22-bit fixed point."""
    length = pixels.shape[0]
    if length == size:
        return pixels
    scale = length / size
    width = max(scale, 1.0)
    rows = []
    for out in range(size):
        centre = (out + 0.5) * scale
        first, last = max(int(centre - width + 0.5), 0), min(int(centre + width + 0.5), length)
        triangle = [max(0.0, 1 - abs((i - centre + 0.5) / width)) for i in range(first, last)]
        weights = np.array([int(0.5 + t / sum(triangle) * (1 << 22)) for t in triangle])
        summed = np.tensordot(weights, pixels[first:last].astype(np.int64), axes=1)
        rows.append(((summed + (1 << 21)) >> 22).clip(0, 255))
    return np.array(rows, dtype=np.uint8)


def squash(pixels: Pixels, size: int) -> Pixels:
    across = squash_axis(pixels.swapaxes(0, 1), size).swapaxes(0, 1)
    return squash_axis(across, size)


@pytest.mark.parametrize(
    ("height", "width", "size"), [(50, 80, 24), (9, 7, 32), (50, 37, 40), (64, 10, 32), (32, 32, 32), (1, 3, 5)]
)
def test_an_image_is_squashed_by_pillows_antialiased_bilinear_filter(height: int, width: int, size: int) -> None:
    """The same pixels, to the last bit, as the filter written out: across first, then down.

    Pillow takes the other order for tall images since version 13, and rounds between the two.
    """
    pixels = noise(height, width)
    image = Preprocess(size=size).image(pixels)
    assert image.dtype == torch.uint8
    assert image.shape == (3, size, size)
    assert (image.permute(1, 2, 0).numpy() == squash(pixels, size)).all()


def test_downscaling_an_image_averages_rather_than_drops_pixels() -> None:
    stripes = np.zeros((40, 40, 3), np.uint8)
    stripes[:, ::2] = 200
    small = Preprocess(size=5).image(stripes)
    assert (small.float() - 100).abs().max() <= 15


def between(pixels: npt.NDArray[Any], size: int) -> npt.NDArray[np.float64]:
    """The first axis by linear interpolation between pixel centres; what is beyond the outermost is theirs."""
    centres = (np.arange(size) + 0.5) * pixels.shape[0] / size - 0.5
    flat = pixels.reshape(pixels.shape[0], -1).astype(np.float64)
    columns = [np.interp(centres, np.arange(pixels.shape[0]), column) for column in flat.T]
    return np.stack(columns, axis=1).reshape(size, *pixels.shape[1:])


@pytest.mark.parametrize(("height", "width", "size"), [(50, 80, 24), (9, 7, 32), (64, 10, 32), (32, 32, 32), (1, 3, 5)])
def test_without_antialiasing_an_image_is_read_between_its_pixels(height: int, width: int, size: int) -> None:
    """OpenCV's bilinear rule on float images: nothing is averaged and nothing rounded."""
    pixels = noise(height, width)
    image = Preprocess(size=size, antialias=False).image(pixels)
    assert image.dtype == torch.float32
    assert image.shape == (3, size, size)
    down = between(pixels, size)
    expected = between(down.swapaxes(0, 1), size).swapaxes(0, 1)
    np.testing.assert_allclose(image.permute(1, 2, 0).numpy(), expected, rtol=0, atol=1e-2)


def test_normalising_scales_to_one_then_subtracts_the_mean_and_divides_by_the_deviation() -> None:
    preprocess = Preprocess(size=4, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 2.0))
    images = np.random.default_rng(1).integers(0, 256, (2, 5, 3, 4, 4), dtype=np.uint8)
    expected = images.astype(np.float64) / 255
    for channel in range(3):
        expected[:, :, channel] = (expected[:, :, channel] - preprocess.mean[channel]) / preprocess.std[channel]
    normalised = preprocess.normalise(torch.from_numpy(images))
    assert normalised.dtype == torch.float32
    np.testing.assert_allclose(normalised.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_the_default_normalisation_is_imagenets() -> None:
    assert Preprocess().mean == (0.485, 0.456, 0.406)
    assert Preprocess().std == (0.229, 0.224, 0.225)


@pytest.mark.parametrize("size", [0, -3])
def test_an_input_size_below_one_is_refused(size: int) -> None:
    with pytest.raises(ModelError, match=f"input size must be at least 1, got {size}"):
        Preprocess(size=size)


# --- masks ----------------------------------------------------------------------------------------------


@given(shapes.flatmap(masks), st.integers(1, 40))
def test_a_mask_is_squashed_by_torchs_nearest_rule(mask: Mask, size: int) -> None:
    """Output i reads input floor(i · in / out): no other pixel, and no mixture of pixels."""
    squashed = Preprocess(size=size).mask(mask)
    assert squashed.dtype == torch.bool
    assert (squashed.numpy() == nearest(mask, (size, size))).all()


@given(shapes.flatmap(masks), shapes)
def test_resizing_follows_the_same_rule_for_any_two_sizes(mask: Mask, size: tuple[int, int]) -> None:
    assert (resize_mask(torch.from_numpy(mask), size).numpy() == nearest(mask, size)).all()


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float32])
@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
@pytest.mark.parametrize("size", [(4, 6), (5, 3)])
def test_resizing_keeps_type_and_leading_dimensions(
    dtype: torch.dtype, lead: tuple[int, ...], size: tuple[int, int]
) -> None:
    mask = (torch.arange(24 * int(np.prod(lead))).view(*lead, 4, 6) % 2).to(dtype)
    resized = resize_mask(mask, size)
    assert resized.dtype == dtype
    assert resized.shape == (*lead, *size)
    flat = mask.reshape(-1, 4, 6).numpy()
    assert (resized.reshape(-1, *size).numpy() == np.stack([nearest(one, size) for one in flat])).all()


# --- voting ---------------------------------------------------------------------------------------------


def ballots(*votes: int, shots: int) -> Tensor:
    """An episode's masks (1, K, 1, W): pixel i is foreground in the first ``votes[i]`` of them."""
    return torch.tensor([[[[int(shot < n) for n in votes]] for shot in range(shots)]])


@pytest.mark.parametrize(
    ("votes", "foreground"),
    [
        ((3, 2, 1, 0), (1, 1, 0, 0)),  # of at most 3, one is less than half
        ((1, 0, 1, 0), (1, 0, 1, 0)),  # of at most 1, one is all
        ((2, 1, 0, 0), (1, 1, 0, 0)),  # exactly half is enough
        ((5, 3, 2, 0), (1, 1, 0, 0)),
        ((4, 2, 1, 0), (1, 1, 0, 0)),
        ((0, 0, 0, 0), (0, 0, 0, 0)),
    ],
)
def test_foreground_is_at_least_half_of_the_most_votes_any_pixel_got(
    votes: tuple[int, ...], foreground: tuple[int, ...]
) -> None:
    """HSNet's rule for K = 5, worked out by hand: the threshold follows the most-voted pixel, not K."""
    voted = vote(ballots(*votes, shots=5))
    assert voted.dtype == torch.uint8
    assert voted.tolist() == [[list(foreground)]]


def test_a_single_shot_is_its_own_mask() -> None:
    mask = ballots(1, 0, 0, 1, shots=1)
    assert (vote(mask) == mask[:, 0]).all()


def test_each_episode_of_a_batch_has_its_own_most_voted_pixel() -> None:
    """One vote is all there is in the first episode, and less than half in the second."""
    batch = torch.cat([ballots(1, 0, shots=3), ballots(3, 1, shots=3)])
    assert vote(batch).tolist() == [[[1, 0]], [[1, 0]]]


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=4, max_dims=4, max_side=5), elements=st.integers(0, 1)))
def test_voting_is_the_rule_pixel_by_pixel(drawn: npt.NDArray[np.uint8]) -> None:
    """Votes divided by the episode's most, at least one, are at least a half; the order of shots is nothing."""
    voted = vote(torch.from_numpy(drawn))
    for episode, answer in zip(drawn.astype(int), voted.numpy(), strict=True):
        votes = episode.sum(axis=0)
        for place in np.ndindex(votes.shape):
            assert answer[place] == (votes[place] / max(votes.max(), 1) >= 0.5)
    assert (vote(torch.from_numpy(drawn[:, ::-1].copy())) == voted).all()


# --- inputs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "supports", "shown"),
    [
        ((3, 8, 8), (1, 1, 3, 8, 8), (1, 1, 8, 8)),  # no batch
        ((1, 1, 8, 8), (1, 1, 1, 8, 8), (1, 1, 8, 8)),  # grey
        ((1, 3, 8, 8), (1, 3, 8, 8), (1, 1, 8, 8)),  # no shots
        ((1, 3, 8, 8), (1, 1, 3, 8, 8), (1, 8, 8)),
        ((2, 3, 8, 8), (1, 1, 3, 8, 8), (1, 1, 8, 8)),  # another batch
        ((1, 3, 8, 8), (1, 1, 3, 8, 9), (1, 1, 8, 9)),  # another size
        ((1, 3, 8, 8), (1, 2, 3, 8, 8), (1, 1, 8, 8)),  # fewer masks than supports
        ((1, 3, 8, 8), (1, 1, 3, 8, 8), (1, 1, 4, 4)),  # masks of another size
    ],
)
def test_inputs_that_are_no_episodes_are_refused_with_all_three_shapes(
    query: tuple[int, ...], supports: tuple[int, ...], shown: tuple[int, ...]
) -> None:
    stated = re.escape(f"(B, K, 3, H, W) and masks (B, K, H, W), got {query}, {supports} and {shown}")
    with pytest.raises(ModelError, match=stated):
        check_inputs(torch.zeros(query), torch.zeros(supports), torch.zeros(shown))


@pytest.mark.parametrize("shot", [1, 5])
def test_inputs_that_are_episodes_pass(shot: int) -> None:
    check_inputs(torch.zeros(2, 3, 8, 9), torch.zeros(2, shot, 3, 8, 9), torch.zeros(2, shot, 8, 9))


# --- models ---------------------------------------------------------------------------------------------


def episodes(batch: int, shot: int, side: int = 16) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(batch + 10 * shot)
    query = torch.randn(batch, 3, side, side, generator=generator)
    supports = torch.randn(batch, shot, 3, side, side, generator=generator)
    return query, supports, (torch.rand(batch, shot, side, side, generator=generator) > 0.4).float()


def test_a_model_without_predict_cannot_be_made() -> None:
    class Nothing(FewShotSegmenter):
        pass

    with pytest.raises(TypeError, match="predict"):
        Nothing()  # type: ignore[abstract]


def test_other_sizes_of_a_mask_are_the_mask_resized() -> None:
    """A model with `predict` alone answers at every size, by the nearest rule."""
    given_episodes = episodes(2, 1)
    sizes = [(16, 16), (5, 30)]
    predicted = Redder().predict(*given_episodes)
    for size, answer in zip(sizes, Redder().predict_sizes(*given_episodes, sizes), strict=True):
        assert answer.dtype == torch.uint8
        assert (answer.numpy() == np.stack([nearest(mask, size) for mask in predicted.numpy()])).all()


@pytest.mark.parametrize("side", [8, 32])
def test_a_mask_of_another_size_than_the_query_is_refused(side: int) -> None:
    """`predict` must answer at the query's size; anything else would be scored enlarged or shrunk."""

    class OfAnotherSize(FewShotSegmenter):
        def predict(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
            return torch.ones(len(query), side, side, dtype=torch.uint8)

    with pytest.raises(ModelError, match=re.escape(f"(2, {side}, {side}), expected (2, 16, 16)")):
        OfAnotherSize().predict_sizes(*episodes(2, 1), [(20, 20)])


def test_a_model_of_masks_has_no_logits() -> None:
    with pytest.raises(ModelError, match="Redder gives masks, not logits; call predict"):
        Redder()(*episodes(1, 1))


def enlarge(plane: npt.NDArray[np.float64], size: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Bilinear resizing with corners on corners."""
    (h, w), (height, width) = plane.shape, size
    rows = np.linspace(0, h - 1, height) if height > 1 else np.zeros(1)
    columns = np.linspace(0, w - 1, width) if width > 1 else np.zeros(1)
    across = np.stack([np.interp(columns, np.arange(w), row) for row in plane])
    return np.stack([np.interp(rows, np.arange(h), column) for column in across.T], axis=1)


@pytest.mark.parametrize("shot", [1, 3])
@pytest.mark.parametrize("size", [(16, 16), (7, 23)])
def test_a_model_of_features_conditions_matches_and_decides(shot: int, size: tuple[int, int]) -> None:
    """The answer is what its three steps give by hand: logits enlarged, the greater taken, shots voting."""
    model = Voters()
    query, supports, shown = episodes(2, shot)
    conditioned = [
        torch.stack(layer)
        for layer in zip(
            *(model.condition(model.encode(s), s, m) for s, m in zip(supports, shown, strict=True)), strict=True
        )
    ]
    logits = model.match(model.encode(query), conditioned)
    assert logits.shape == (2, shot, 2, 4, 4)
    masks = [
        [enlarge(v[1].double().numpy(), size) > enlarge(v[0].double().numpy(), size) for v in episode]
        for episode in logits
    ]
    expected = vote(torch.from_numpy(np.array(masks)).to(torch.uint8))
    (answer,) = model.predict_sizes(query, supports, shown, [size])
    assert answer.dtype == torch.uint8
    assert 0 < expected.float().mean() < 1
    assert (answer == expected).all()
    if size == (16, 16):
        assert (model.predict(query, supports, shown) == expected).all()


def test_equal_logits_are_background() -> None:
    assert not Voters().decide(torch.zeros(1, 1, 2, 4, 4), (4, 4)).any()


def test_several_sizes_are_decided_from_one_matching() -> None:
    model = Voters()
    answers = model.predict_sizes(*episodes(2, 3), [(16, 16), (5, 9), (1, 1)])
    assert [tuple(answer.shape) for answer in answers] == [(2, 16, 16), (2, 5, 9), (2, 1, 1)]
    assert (model.encoded, model.conditioned) == (2 + 6, 6)


def test_episodes_of_a_batch_do_not_touch_each_other() -> None:
    model = Voters()
    query, supports, shown = episodes(3, 2)
    alone = [model.predict(query[i : i + 1], supports[i : i + 1], shown[i : i + 1]) for i in range(3)]
    assert (model.predict(query, supports, shown) == torch.cat(alone)).all()


def test_one_shots_logits_are_enlarged_to_the_query_and_carry_gradients() -> None:
    query, supports, shown = episodes(2, 1)
    logits = Voters()(query.requires_grad_(), supports, shown)
    assert logits.shape == (2, 2, 16, 16)
    assert (logits.argmax(dim=1) == Voters().predict(query, supports, shown)).all()
    logits.sum().backward()
    assert query.grad is not None
    assert query.grad.abs().sum() > 0


def test_shots_that_vote_have_no_joint_logits() -> None:
    with pytest.raises(ModelError, match="Voters lets 3 shots vote on masks and has no joint logits; pass one support"):
        Voters()(*episodes(1, 3))


def test_a_model_of_features_checks_its_inputs() -> None:
    query, supports, shown = episodes(2, 1)
    with pytest.raises(ModelError, match="expected query"):
        Voters().predict(query[:1], supports, shown)

"""Augmentation: image and labels move together, padding is known as such, and the key alone decides."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fssbench.base.errors import UsageError
from fssbench.models.batch import IGNORED
from fssbench.models.interface import Preprocess
from fssbench.pipelines.training_sets.augment import Augmentation, fit
from fssbench.pipelines.training_sets.draws import Draws

Pixels = npt.NDArray[np.uint8]
SIZE = Preprocess(size=48)
MEAN = [round(255 * value) for value in SIZE.mean]

augmentations = st.builds(
    Augmentation,
    scale=st.sampled_from([(1.0, 1.0), (0.5, 2.0)]),
    rotate=st.sampled_from([0.0, 30.0]),
    rotate_share=st.just(1.0),
    blur=st.sampled_from([0.0, 1.0]),
    flip=st.sampled_from([0.0, 0.5]),
    fit=st.sampled_from(["squash", "crop"]),
)


def scene(height: int = 60, width: int = 80) -> tuple[Pixels, Pixels]:
    """A white block on black, off the centre, and where it is."""
    labels = np.zeros((height, width), np.uint8)
    labels[15:45, 10:40] = 1
    pixels = np.repeat(labels[..., None] * 255, 3, axis=2).astype(np.uint8)
    return pixels, labels


def run(augmentation: Augmentation, *key: str | int) -> tuple[torch.Tensor, torch.Tensor]:
    pixels, labels = scene()
    image, maps = augmentation(pixels, [labels, 1 - labels], preprocess=SIZE, draws=Draws("test", *key))
    return image, maps


@settings(max_examples=60)
@given(augmentations, st.integers(0, 1000))
def test_the_labels_go_where_the_image_goes(augmentation: Augmentation, key: int) -> None:
    """What is white is labelled 1, black 0 and padding as unknown, up to the blur of edges."""
    image, maps = run(augmentation, key)
    assert (image.shape, maps.shape) == ((3, 48, 48), (2, 48, 48))
    assert (image.dtype, maps.dtype) == (torch.uint8, torch.uint8)
    assert type(image) is type(maps) is torch.Tensor
    first, second = maps
    assert torch.equal(first == IGNORED, second == IGNORED)
    known = first != IGNORED
    assert set(first.flatten().tolist()) <= {0, 1, IGNORED}
    assert torch.equal(first[known], 1 - second[known])
    agree = (image[0].float() / 255 > 0.5) == (first == 1)
    assert agree[known].float().mean() > 0.85


@given(augmentations, st.integers(0, 1000))
@settings(max_examples=20)
def test_the_key_alone_decides(augmentation: Augmentation, key: int) -> None:
    """Neither the global generator nor what was made before changes a sample."""
    torch.manual_seed(0)
    first = run(augmentation, key)
    torch.manual_seed(1)
    run(augmentation, "another")
    assert all(torch.equal(a, b) for a, b in zip(first, run(augmentation, key), strict=True))


def test_nothing_asked_for_is_what_the_model_sees_in_a_test() -> None:
    pixels, labels = scene()
    image, maps = run(Augmentation(), 0)
    plain, plain_maps = fit(pixels, [labels, 1 - labels], preprocess=SIZE)
    assert torch.equal(image, plain)
    assert torch.equal(plain, SIZE.image(pixels))
    assert torch.equal(maps, plain_maps)
    assert torch.equal(maps[0].bool(), SIZE.mask(labels.astype(bool)))


def test_padding_has_the_mean_colour_and_no_truth() -> None:
    small = Augmentation(scale=(0.25, 0.25), fit="crop")
    image, maps = run(small, 0)
    outside = maps[0] == IGNORED
    assert int((~outside).sum()) == 15 * 20
    assert (image[:, outside] == torch.tensor(MEAN)[:, None]).all()
    turned, maps = run(Augmentation(rotate=45, rotate_share=1), 0)
    corner = maps[0] == IGNORED
    assert corner.any()
    assert (turned[:, corner].float() - torch.tensor(MEAN)[:, None]).abs().mean() < 10


def test_a_crop_shows_a_window_at_the_images_own_scale_and_windows_differ() -> None:
    windows = [run(Augmentation(fit="crop"), n)[1][0] for n in range(12)]
    assert len({tuple(window.flatten().tolist()) for window in windows}) > 6
    for window in windows:
        rows = window.any(dim=1).sum()
        assert int(rows) in range(0, 31)
        assert not (window == IGNORED).any()


def test_a_window_that_loses_too_much_of_label_1_is_drawn_again() -> None:
    """As released: until it shows 85 % of it, or after 31 further draws; what is not labelled 1 does not count."""
    whole, keeps = 30 * 30, Augmentation(fit="crop", crop_keep=0.85)
    kept = [int((run(keeps, n)[1][0] == 1).sum()) >= 0.85 * whole for n in range(40)]
    any_window = [int((run(Augmentation(fit="crop"), n)[1][0] == 1).sum()) >= 0.85 * whole for n in range(40)]
    assert sum(kept) == 40 > sum(any_window)
    assert all(torch.equal(run(keeps, n)[0], run(Augmentation(fit="crop"), n)[0]) for n in range(40) if any_window[n])
    large = Augmentation(scale=(3.0, 3.0), fit="crop", crop_keep=0.85)  # no window can show so much
    assert run(large, 0)[0].shape == (3, 48, 48)


def test_a_flip_mirrors_both_in_half_of_the_samples() -> None:
    plain = run(Augmentation(), 0)
    flipped = [torch.equal(run(Augmentation(flip=0.5), n)[1], plain[1].flip(-1)) for n in range(60)]
    assert 15 < sum(flipped) < 45


def test_colour_changes_the_image_alone() -> None:
    plain, maps = run(Augmentation(), 0)
    seen = [run(Augmentation(colour=1.0), n) for n in range(4)]
    assert all(torch.equal(found, maps) for _, found in seen)
    assert all(not torch.equal(image, plain) for image, _ in seen)
    grey = [image for image, _ in seen]
    assert len({tuple(image.flatten().tolist()) for image in grey}) > 1


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"scale": (1.2, 0.8)}, "scale must be two factors"),
        ({"scale": (0.0, 1.0)}, "scale must be two factors"),
        ({"rotate": -1}, "rotate must be degrees"),
        ({"blur": 1.5}, "blur must be a share"),
        ({"blur_kernel": 4}, "blur_kernel must be odd"),
        ({"fit": "stretch"}, "fit must be squash or crop"),
    ],
)
def test_what_means_nothing_is_refused(wrong: dict[str, object], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        Augmentation(**wrong)  # type: ignore[arg-type]


@given(st.integers(1, 50), st.floats(-5, 5), st.floats(0, 5))
def test_draws_lie_where_they_should(n: int, low: float, width: float) -> None:
    """Integers below n; reals between the bounds; what happens to none or all does."""
    draws = Draws("law", n)
    assert 0 <= draws.below(n) < n
    assert low <= draws.between(low, low + width) <= low + width
    assert not draws.chance(0.0)
    assert draws.chance(1.0)

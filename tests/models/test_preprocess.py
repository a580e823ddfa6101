"""How images become inputs, and what comes back: nothing is lost, moved, or made of padding."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from fssbench.base.errors import ModelError
from fssbench.models.answers import as_answer, content_of, masks_at
from fssbench.models.geometry import Geometry, Size
from fssbench.models.interface import Preprocess, resize_mask
from fssbench.results.model_size import model_size, most_pixels
from fssbench.schemas.result import ModelRecord

sides = st.integers(1, 40)
sizes = st.tuples(sides, sides)
multiples = st.none() | st.integers(1, 9)
paddings = st.sampled_from(["end", "centre"])
squashed = st.builds(Preprocess, size=sizes | sides)
kept = st.builds(
    Preprocess,
    resize=st.just("keep"),
    size=st.tuples(st.integers(9, 40), st.integers(9, 40)),
    round_to=multiples,
    pad_multiple=multiples,
    pad_where=paddings,
)
native = st.builds(Preprocess, resize=st.just("none"), round_to=multiples, pad_multiple=multiples, pad_where=paddings)
any_way = squashed | kept | native


def noise(size: Size, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def blobs(size: Size, seed: int = 0) -> npt.NDArray[np.bool_]:
    mask: npt.NDArray[np.bool_] = np.random.default_rng(seed).random(size) < 0.5
    return mask


def unpadded(geometry: Geometry) -> Geometry:
    return Geometry(original=geometry.original, content=geometry.content, corner=(0, 0), input=geometry.content)


# --- where an image lies --------------------------------------------------------------------------------


@given(any_way, sizes)
def test_an_image_lies_within_its_input_which_has_the_size_that_is_promised(show: Preprocess, size: Size) -> None:
    """Content lies inside the input; image and mask have the input's size, which is fixed where it is said to be."""
    geometry = show.geometry(size)
    left, right, above, below = geometry.margins
    assert min(left, right, above, below, *geometry.corner) >= 0
    assert (above + geometry.content[0] + below, left + geometry.content[1] + right) == geometry.input
    assert (above, left) == geometry.corner
    assert tuple(show.image(noise(size)).shape) == (3, *geometry.input)
    assert tuple(show.mask(blobs(size)).shape) == geometry.input
    if show.shape is not None:
        assert geometry.input == show.shape
    if show.pad_multiple is not None:
        assert all(side % show.pad_multiple == 0 for side in geometry.input)
        assert all(
            side - inner < show.pad_multiple for side, inner in zip(geometry.input, geometry.content, strict=True)
        )


@given(kept, sizes)
def test_keeping_keeps_the_shape_to_a_pixel_and_fills_one_side(show: Preprocess, size: Size) -> None:
    """Both sides are scaled alike, to a pixel or a multiple, and the frame is filled along one of them."""
    (height, width), (h, w) = size, show.geometry(size).content
    frame = show._frame
    scale = min(frame[0] / height, frame[1] / width)
    step = show.round_to or 1
    assert h <= frame[0]
    assert w <= frame[1]
    for side, original in ((h, height), (w, width)):
        assert side % step == 0
        assert abs(side - scale * original) < step or side == step
    assert h > frame[0] - step or w > frame[1] - step


@pytest.mark.parametrize(
    ("show", "content", "whole", "corner"),
    [
        (Preprocess(size=(30, 50)), (30, 50), (30, 50), (0, 0)),
        (Preprocess(resize="keep", size=1024), (768, 1024), (1024, 1024), (0, 0)),
        (Preprocess(resize="keep", size=1024, pad_where="centre"), (768, 1024), (1024, 1024), (128, 0)),
        (Preprocess(resize="keep", size=473, round_to=8), (352, 472), (473, 473), (0, 0)),
        (Preprocess(resize="keep", size=100, pad_multiple=14), (75, 100), (84, 112), (0, 0)),
        (Preprocess(resize="none"), (480, 640), (480, 640), (0, 0)),
        (Preprocess(resize="none", pad_multiple=14), (480, 640), (490, 644), (0, 0)),
        (Preprocess(resize="none", round_to=14), (476, 630), (476, 630), (0, 0)),
    ],
)
def test_a_photograph_of_480_by_640(show: Preprocess, content: Size, whole: Size, corner: Size) -> None:
    geometry = show.geometry((480, 640))
    assert (geometry.content, geometry.input, geometry.corner) == (content, whole, corner)


# --- there and back -------------------------------------------------------------------------------------


@given(any_way, sizes)
def test_a_mask_that_keeps_its_size_comes_back_as_it_was(show: Preprocess, size: Size) -> None:
    """Carried there and back through any way that does not resize it, a mask equals itself."""
    exact = {
        "squash": Preprocess(size=size),
        "keep": Preprocess(resize="keep", size=size, pad_multiple=show.pad_multiple, pad_where=show.pad_where),
        "none": Preprocess(resize="none", pad_multiple=show.pad_multiple, pad_where=show.pad_where),
    }[show.resize]
    mask = blobs(size)
    geometry = exact.geometry(size)
    assert geometry.content == size
    there = exact.mask(mask)
    (back,) = masks_at(as_answer(there, of="it"), [size], geometry=geometry)
    assert (back.numpy() == mask).all()
    logits = torch.stack([1.0 - there.float(), there.float()])
    (back,) = masks_at(as_answer(logits, of="it"), [size], geometry=geometry)
    assert (back.numpy() == mask).all()


@given(any_way, sizes)
def test_what_is_padded_is_the_image_again_when_the_padding_is_cut_off(show: Preprocess, size: Size) -> None:
    """Unpadding after padding is nothing at all, for images and for masks; nothing is in the padding of a mask."""
    geometry, mask = show.geometry(size), blobs(size)
    there = show.mask(mask)
    assert there[geometry.window].equal(resize_mask(torch.from_numpy(mask), geometry.content))
    assert int(there.sum()) == int(there[geometry.window].sum())
    alone = Preprocess(size=geometry.content).image(noise(size))
    assert show.image(noise(size))[:, *geometry.window].equal(alone)


@given(any_way, sizes, st.lists(sizes, min_size=1, max_size=3))
def test_padding_is_never_scored(show: Preprocess, size: Size, wanted: list[Size]) -> None:
    """An answer that is foreground in the padding alone is background everywhere in the image."""
    geometry = show.geometry(size)
    padding = torch.ones(geometry.input, dtype=torch.uint8)
    padding[geometry.window] = 0
    for answer in (padding, 2 * padding[None].float() - 1, torch.stack([1 - padding, padding]).float()):
        found = masks_at(as_answer(answer, of="it"), wanted, geometry=geometry)
        assert [tuple(mask.shape) for mask in found] == wanted
        assert not any(mask.any() for mask in found)


@given(any_way, sizes, sizes, st.integers(1, 3))
def test_logits_of_another_scale_are_brought_to_the_inputs_and_cut(
    show: Preprocess, size: Size, wanted: Size, stride: int
) -> None:
    """Logits of a whole input are enlarged to it, the padding is cut off, and the rest is resized to the image."""
    geometry = show.geometry(size)
    small = (max(1, geometry.input[0] // stride), max(1, geometry.input[1] // stride))
    logits = torch.from_numpy(np.random.default_rng(stride).normal(size=(2, *small)).astype(np.float32))
    (found,) = masks_at(as_answer(logits, of="it"), [wanted], geometry=geometry)
    whole = logits[None]
    if geometry.padded:
        whole = F.interpolate(whole, geometry.input, mode="bilinear", align_corners=False)
        whole = whole[..., geometry.window[0], geometry.window[1]]
    resized = F.interpolate(whole, wanted, mode="bilinear", align_corners=False)[0]
    assert found.equal((resized[1] > resized[0]).to(torch.uint8))
    assert content_of(logits[None], unpadded(geometry)).equal(logits[None])


# --- pixels ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bilinear", "bicubic", "nearest"])
def test_filters_are_those_of_pillow_and_of_torch(name: Any) -> None:
    pixels = noise((31, 45))
    by_pillow = Image.fromarray(pixels).resize((24, 17), Image.Resampling[name.upper()])
    assert (Preprocess(size=(17, 24), filter=name).image(pixels).permute(1, 2, 0).numpy() == np.array(by_pillow)).all()
    image = torch.from_numpy(pixels).permute(2, 0, 1).float()
    corners = {} if name == "nearest" else {"align_corners": False}
    by_torch = F.interpolate(image[None], (17, 24), mode=name, **corners)[0]
    assert Preprocess(size=(17, 24), filter=name, antialias=False).image(pixels).equal(by_torch)


def test_channels_and_ranges_are_what_networks_of_old_and_new_were_trained_on() -> None:
    pixels = noise((8, 8))
    plain = torch.from_numpy(pixels).permute(2, 0, 1).float()
    nothing: dict[str, Any] = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    assert Preprocess(size=8, **nothing).input(pixels).equal(plain / 255)
    assert Preprocess(size=8, **nothing, value_range=(0, 255)).input(pixels).equal(plain)
    around = Preprocess(size=8, **nothing, value_range=(-1, 1)).input(pixels)
    assert (around - (plain / 127.5 - 1)).abs().max() < 1e-6
    blue_first = Preprocess(
        size=8, channels="BGR", value_range=(0, 255), mean=(104.0, 117.0, 123.0), std=(1.0, 1.0, 1.0)
    ).input(pixels)
    assert blue_first.equal(plain.flip(0) - torch.tensor([104.0, 117.0, 123.0])[:, None, None])


@pytest.mark.parametrize("value_range", [(0.0, 1.0), (0.0, 255.0), (-1.0, 1.0)])
def test_padding_with_the_mean_is_nothing_after_normalisation(value_range: tuple[float, float]) -> None:
    show = Preprocess(resize="keep", size=16, pad_value="mean", value_range=value_range)
    padded = show.input(noise((8, 16)))
    assert padded[:, 8:].abs().max() < 1e-6 * max(map(abs, value_range))
    assert padded[:, :8].abs().max() > 0.1
    assert show.image(noise((16, 16))).dtype == show.image(noise((8, 16))).dtype  # so that they can be one batch


def test_padding_has_the_colour_that_is_asked_for() -> None:
    one = Preprocess(resize="keep", size=8, pad_value=7).image(noise((4, 8)))
    each = Preprocess(resize="keep", size=8, pad_value=(1, 2, 3), pad_where="centre").image(noise((4, 8)))
    assert one.dtype == each.dtype == torch.uint8
    assert (one[:, 4:] == 7).all()
    assert (each[:, :2] == torch.tensor([1, 2, 3])[:, None, None]).all()
    assert (each[:, 6:] == torch.tensor([1, 2, 3])[:, None, None]).all()


# --- what is said of it ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"resize": "crop"}, "has 'crop' as its resize, expected squash or keep or none"),
        ({"filter": "lanczos"}, "expected bilinear or bicubic or nearest"),
        ({"size": (0, 5)}, r"must be at least 1, got \(0, 5\)"),
        ({"pad_multiple": 8}, "has 8 as its pad_multiple and resize='squash'; give a whole number of at least 1"),
        ({"resize": "none", "round_to": 0}, "has 0 as its round_to"),
        ({"resize": "keep", "size": 6, "round_to": 8}, "cannot be multiples of round_to=8"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Preprocess(**arguments)


@pytest.mark.parametrize(
    "show", [Preprocess(size=(4, 5)), Preprocess(resize="keep", size=4), Preprocess(resize="none")]
)
def test_only_a_square_has_a_side(show: Preprocess) -> None:
    assert show.square is None
    with pytest.raises(ModelError, match=r"must be squashed to a square; give Preprocess a size alone"):
        _ = show.side
    assert Preprocess(size=9).side == 9


def test_of_the_default_way_results_say_no_more_than_the_side() -> None:
    assert Preprocess(size=9, antialias=False, mean=(0.0, 0.0, 0.0)).recorded() == {}
    assert Preprocess(resize="none", pad_multiple=14).recorded() == {"resize": "none", "pad_multiple": 14}
    told = Preprocess(resize="keep", size=9, pad_value=(1.0, 2.0, 3.0), channels="BGR").recorded()
    assert told == {"resize": "keep", "size": [9, 9], "pad_value": [1.0, 2.0, 3.0], "channels": "BGR"}


@given(any_way, sizes)
def test_a_result_says_how_large_masks_at_the_models_size_are(show: Preprocess, size: Size) -> None:
    """The size of an image's mask, and a bound that needs no more than its pixels, follow from the record alone."""
    record = ModelRecord.unseen("mine", input_size=show.square).model_copy(update={"preprocess": show.recorded()})
    record = ModelRecord.model_validate_json(record.model_dump_json())
    content = show.geometry(size).content
    assert model_size(record, size) == content
    if show.resize != "none" or show.round_to is None:
        assert content[0] * content[1] <= most_pixels(record, size[0] * size[1])


def test_of_masks_without_a_size_nothing_is_known() -> None:
    assert model_size(ModelRecord.unseen("mine"), (4, 5)) is None


# --- answers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        np.eye(4, dtype=bool),
        np.eye(4, dtype=np.uint8)[None],
        Image.fromarray(np.eye(4, dtype=np.uint8)),
        torch.eye(4).long(),
        2 * torch.eye(4)[None] - 1,
        2 * torch.eye(4)[None, None] - 1,
        torch.stack([1 - torch.eye(4), torch.eye(4)]),
        torch.stack([1 - torch.eye(4), torch.eye(4)])[None].double(),
    ],
)
def test_every_form_of_an_answer_is_the_same_mask(given: Any) -> None:
    (mask,) = masks_at(as_answer(given, of="it"), [(4, 4)])
    assert mask.dtype == torch.uint8
    assert mask.equal(torch.eye(4, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (torch.eye(4), r"it gave torch.float32 of shape \(4, 4\); return a mask"),
        (255 * np.eye(4, dtype=np.uint8), "a mask with other values than 0 and 1"),
        (torch.zeros(3, 4, 4), r"of shape \(3, 4, 4\)"),
        (torch.full((2, 4, 4), float("nan")), "logits that are NaN or infinite"),
        (torch.zeros(4, 4, dtype=torch.complex64), "torch.complex64"),
        ("a mask", "str"),
    ],
)
def test_what_is_no_answer_is_refused(given: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        as_answer(given, of="it")


def test_a_resized_photograph_has_the_pixels_that_sams_and_bams_own_code_make() -> None:
    """Longer side to 1024 by rounding to the nearest; and down to multiples of 8 within 473, zeros right and below."""
    pixels = noise((427, 640))
    show = Preprocess(resize="keep", size=1024)
    assert show.geometry((427, 640)).content == (int(427 * 1024 / 640 + 0.5), 1024)
    bam = Preprocess(resize="keep", size=473, round_to=8, antialias=False)
    h, w = int(427 * 473 / 640) // 8 * 8, 473 // 8 * 8
    image: Tensor = torch.zeros(3, 473, 473)
    scaled = F.interpolate(torch.from_numpy(pixels).permute(2, 0, 1)[None].float(), (h, w), mode="bilinear")
    image[:, :h, :w] = scaled[0]
    assert bam.image(pixels).equal(image)

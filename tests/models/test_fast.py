"""Accelerated twins give what the models give: in float64, where no kernel's rounding shows."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from filling import doubled, episode64, fill, image, mask
from golden import EXACT, ROUNDED, certain, difference, differing, read
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torchvision.models import ResNet, resnet50
from torchvision.models.resnet import Bottleneck

from fssbench.models.center_pivot import CenterPivotConv4d
from fssbench.models.fast import products
from fssbench.models.fast.accelerate import accelerate
from fssbench.models.fast.black import OnBlack
from fssbench.models.fast.center_pivot import Correlated, SupportLevel, convolved, correlated, normalised_rest
from fssbench.models.fast.compact import Compact
from fssbench.models.fast.elsewhere import Elsewhere
from fssbench.models.fast.folding import folded
from fssbench.models.fast.hdmnet import InsideMatchLayer, prior_of_inside
from fssbench.models.fast.hmfs import FastHMFS
from fssbench.models.fast.hsnet import FastHSNet
from fssbench.models.fast.semantic import PooledConvolution
from fssbench.models.fast.squeeze import DenseLayer, Grid2Layer
from fssbench.models.fast.windows import Span, Window, bounding_box
from fssbench.models.fast.winograd import Winograd, parts_of, winograd
from fssbench.models.hdmnet import HDMNet
from fssbench.models.hdmnet.base_learner import PyramidPooling
from fssbench.models.hdmnet.matching import MATCHINGS, MatchLayer
from fssbench.models.hdmnet.prior import prior_map
from fssbench.models.hmfs import HMFS
from fssbench.models.hsnet import HSNet
from fssbench.models.interface import FeatureSegmenter
from fssbench.models.prototype import Prototype
from fssbench.models.pyramids import resnet_maps

pytestmark = pytest.mark.usefixtures("no_gradients")

MODELS: dict[str, Callable[[], FeatureSegmenter]] = {
    "hsnet": lambda: HSNet(size=97),
    "hsnet resnet101": lambda: HSNet(backbone="resnet101", size=97),
    "hsnet vgg16": lambda: HSNet(backbone="vgg16", size=97),
    "hsnet variant": lambda: HSNet(backbone="efficientnet-lite0", size=97),
    "hsnet whole supports": lambda: HSNet(masking="none", size=97),
    "hsnet two levels": lambda: HSNet(finest_level=2, size=97),
    "hsnet last maps": lambda: HSNet(hypercorrelation="deep", size=97),
    "hmfs": lambda: HMFS(size=97),
    "hmfs variant": lambda: HMFS(backbone="efficientnet-lite0", size=97),
    "hmfs zero": lambda: HMFS(size=97, replaced="zero"),
    "hmfs input masking": lambda: HMFS(size=97, masking="im"),
    "hdmnet": lambda: HDMNet(size=97, shot=2),
    "hdmnet interleaved": lambda: HDMNet(structure="interleaved", size=97, shot=2),
    "hdmnet whole supports": lambda: HDMNet(support_mask=False, size=97, shot=2),
    "hdmnet vgg16": lambda: HDMNet(backbone="vgg16", size=97, shot=2),
}

LARGE = ("hsnet resnet101", "hsnet vgg16", "hdmnet interleaved", "hdmnet whole supports", "hdmnet vgg16")
"""Models that take long, and whose parts the others or the tests of parts have."""

FILLED = ("hsnet", "hmfs", "hdmnet")


@cache
def filled(name: str) -> FeatureSegmenter:
    """One of `FILLED`, not to be changed."""
    return fill(MODELS[name](), skip="backbone.fc")


def asked(side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Two episodes of two shots whose masks are an object, a corner, nothing, and everything."""
    query = torch.cat([image(seed, side) for seed in (1, 2)]).double()
    supports = torch.stack([torch.cat([image(seed, side) for seed in (3, 4)]) for _ in range(2)]).double()
    masks = torch.zeros(2, 2, side, side, dtype=torch.float64)
    masks[0, 0] = mask(5, side)
    masks[0, 1, -7:, -9:] = 1
    masks[1, 1] = 1
    return query, supports, masks


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in MODELS]
)
def test_logits_are_the_models_own(name: str) -> None:
    model = doubled(filled(name) if name in FILLED else MODELS[name]().eval())
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    twin = accelerate(model)
    assert twin is not model
    episodes = asked(97)
    expected, found = model._logits(*episodes), twin._logits(*episodes)
    assert found.dtype == torch.float64
    assert difference(found, expected.numpy()) <= EXACT
    for size in ((97, 97), (50, 80)):
        mask, other = model.decide(expected, size), twin.decide(found, size)
        assert differing(other, mask, certain(expected, size, slack=1e-6)) == 0
    assert all((tensor == before[key]).all() for key, tensor in model.state_dict().items()), "the model is as it was"


@pytest.mark.slow
@pytest.mark.parametrize("shot", [1, 5])
@pytest.mark.parametrize(
    "build",
    [
        lambda shot: HSNet(size=65),
        lambda shot: HMFS(size=65),
        lambda shot: HDMNet(size=65, shot=shot),
        lambda shot: HDMNet(size=65, shot=shot, structure="interleaved"),
    ],
)
def test_logits_are_the_models_own_of_any_shots(build: Callable[[int], FeatureSegmenter], shot: int) -> None:
    model = doubled(fill(build(shot), skip="backbone.fc"))
    episode = episode64(1, range(2, 2 + shot), range(9, 9 + shot), 65)
    assert difference(accelerate(model)._logits(*episode), model._logits(*episode).numpy()) <= EXACT


@pytest.mark.parametrize("name", FILLED)
def test_float32_is_no_rougher_than_in_the_model(name: str) -> None:
    """What kernels make of float32 differs; both are compared with the model in float64."""
    model = filled(name)
    exact = doubled(model)._logits(*asked(97)).numpy()
    shown = [part.float() for part in asked(97)]
    rounding, found = (difference(one._logits(*shown).double(), exact) for one in (model, accelerate(model)))
    assert found <= max(10 * rounding, ROUNDED)


def test_models_without_a_twin_are_their_own() -> None:
    for model in (Prototype(backbone="resnet18"), HSNet(kernel="separable"), HSNet(block_layers=2)):
        assert accelerate(model) is model
    assert isinstance(accelerate(HSNet()), FastHSNet)
    assert isinstance(accelerate(HMFS()), FastHMFS)
    assert not isinstance(accelerate(HMFS(masking="fm")), FastHMFS)


@pytest.mark.published
@pytest.mark.parametrize("name", ["hsnet", "hmfs"])
def test_logits_are_the_published_ones(name: str) -> None:
    model = fill({"hsnet": HSNet, "hmfs": HMFS}[name]()).double()
    logits = accelerate(model)(*episode64(1, [2], [3], 200))
    assert difference(logits[..., ::4, ::4], read("golden64")[f"{name}.resnet50.200.logits_s4"]) <= EXACT


# --- parts ----------------------------------------------------------------------------------------------


def test_folding_leaves_no_batch_norm_and_the_same_function() -> None:
    network = resnet50(weights=None).double().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = 0.1 * torch.randn(module.num_features, dtype=torch.float64)
            module.running_var = 1 + 0.1 * torch.rand(module.num_features, dtype=torch.float64)
    twin = folded(network)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in twin.modules())
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    assert difference(twin(x), network(x).numpy()) <= EXACT


@pytest.fixture(scope="module")
def small_resnet() -> ResNet:
    return folded(ResNet(Bottleneck, [1, 2, 1, 1]).double())


@pytest.mark.parametrize("size", [(224, 200), (161, 97)])
@pytest.mark.parametrize("box", [(60, 90, 70, 90), (0, 10, 0, 10), (150, 161, 90, 97), (0, 161, 0, 97), (30, 31, 4, 5)])
def test_a_black_image_is_looked_at_in_its_box_alone(
    small_resnet: ResNet, size: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    window = Window(Span(*box[:2]), Span(*box[2:]))
    image = torch.zeros(1, 3, *size).double()
    image[..., window.rows.slice, window.columns.slice] = torch.randn(1, 3, *window.shape).double()
    expected, on_black = resnet_maps(small_resnet, image), OnBlack(small_resnet)
    for _ in range(2):  # with and without what is remembered of the first time
        found = on_black.maps(image, window)
        assert all(difference(one, other.numpy()) <= EXACT for one, other in zip(found, expected, strict=True))
    black = on_black.black(image)
    for one, other, seen in zip(found, black, on_black.windows(window, size), strict=True):
        apart = (one != other).any(dim=1)[0]
        apart[seen.rows.slice, seen.columns.slice] = False
        assert not apart.any(), "what does not see the box is as of a black image"


@given(data=st.data(), size=st.integers(1, 30), shape=st.sampled_from([(5, 4), (5, 2), (3, 2), (3, 1)]))
def test_a_window_knows_what_a_convolution_makes_of_it(data: Any, size: int, shape: tuple[int, int]) -> None:
    """Outputs are reached exactly if the convolution of ones within the span is not zero there."""
    kernel, stride = shape
    start = data.draw(st.integers(0, size - 1))
    span = Span(start, data.draw(st.integers(start + 1, size)))
    ones = torch.zeros(1, 1, size)
    ones[..., span.slice] = 1
    out = nn.functional.conv1d(ones, torch.ones(1, 1, kernel), stride=stride, padding=kernel // 2)[0, 0]
    there = out.nonzero().flatten().tolist()
    reached = span.reached(kernel=kernel, stride=stride, size=size)
    assert list(range(len(out)))[reached.slice] == there
    if not there:
        return
    seen = reached.seen(kernel=kernel, stride=stride)
    assert (seen.start, len(seen)) == (there[0] * stride - kernel // 2, (len(there) - 1) * stride + kernel)
    kept = [i for i in range(-(-size // stride)) if i * stride in range(span.start, span.stop)]
    assert list(range(len(out)))[span.kept(stride).slice] == kept


@given(data=st.data(), of=st.integers(1, 60), n=st.integers(1, 30))
def test_a_window_knows_which_samples_see_it(data: Any, of: int, n: int) -> None:
    """Interpolation of ones within the span gives something in the span that is sampled, and nothing out of it."""
    start = data.draw(st.integers(0, of - 1))
    span = Span(start, data.draw(st.integers(start + 1, of)))
    ones = torch.zeros(1, 1, of, dtype=torch.float64)
    ones[..., span.slice] = 1
    out = nn.functional.interpolate(ones, n, mode="linear", align_corners=True)[0, 0]
    sampled = span.sampled(of=of, n=n)
    there = (out > 0).nonzero().flatten().tolist()
    assert set(there) <= set(range(n)[sampled.slice])
    assert 1 <= len(sampled) <= max(1, len(there) + 2)  # at its ends are such as touch it


@settings(deadline=None)
@given(data=st.data(), size=st.integers(8, 60), shape=st.sampled_from([(5, 4), (3, 2), (3, 1)]))
def test_what_is_constant_in_its_middle_is_known_from_few_of_its_positions(
    data: Any, size: int, shape: tuple[int, int]
) -> None:
    """So is what a convolution makes of it, and so are its windows."""
    (kernel, stride), start = shape, data.draw(st.integers(0, size - 1))
    stop = data.draw(st.integers(start + 1, size))
    compact = Compact.of(start, stop, size=size, kernel=kernel, stride=stride)
    whole = torch.randn(1, 1, size, dtype=torch.float64)
    whole[..., start:stop] = 0.5
    kept = whole[..., compact.positions]
    assert kept.shape[-1] == size - stride * compact.left_out
    weight = torch.randn(1, 1, kernel, dtype=torch.float64)
    expected, found = (nn.functional.conv1d(one, weight, stride=stride, padding=kernel // 2) for one in (whole, kept))
    assert torch.allclose(found[..., compact.outputs], expected)
    first = data.draw(st.integers(0, size - 1))
    span = Span(first, data.draw(st.integers(first + 1, size)))
    left = whole[..., span.slice].clone()
    for run, same in compact.runs(span):
        left[..., run] -= kept[..., same]
    assert (left == 0).all()


def test_a_middle_that_is_constant_is_compared_once() -> None:
    assert Compact.of(6, 44, size=50, kernel=5, stride=4).left_out == 8


def test_bounding_boxes_hold_all_that_is_inside_and_no_more() -> None:
    inside = torch.zeros(3, 5, 7, dtype=torch.bool)
    inside[0, 1:3, 2:6] = True
    inside[1] = True
    boxes = torch.stack(bounding_box(inside), dim=1).tolist()
    assert boxes == [[1, 3, 2, 6], [0, 5, 0, 7], [0, 1, 0, 1]]


@settings(deadline=None, max_examples=20)
@given(top=st.integers(0, 8), left=st.integers(0, 8), rows=st.integers(1, 5), columns=st.integers(1, 5))
def test_a_background_is_convolved_as_if_it_were_there(top: int, left: int, rows: int, columns: int) -> None:
    """A map that is constant outside of a window is convolved as the 4D convolution convolves all of it."""
    layer = CenterPivotConv4d(2, 3, kernel=3, support_stride=2).double()
    window = Window(Span(top, top + rows), Span(left, left + columns))
    generator = torch.Generator().manual_seed(0)
    background = torch.randn(2, generator=generator, dtype=torch.float64)
    rest = torch.randn(4 * 5, rows, columns, 2, generator=generator, dtype=torch.float64)
    whole = background.expand(20, 13, 13, 2).clone()
    whole[:, window.rows.slice, window.columns.slice] += rest
    expected = layer(whole.view(1, 4, 5, 13, 13, 2).permute(0, 5, 1, 2, 3, 4))  # (1, C', 4, 5, 7, 7)
    found = convolved(Correlated(rest, background, (13, 13), window), layer, (4, 5))
    assert torch.allclose(found, expected.permute(0, 2, 3, 4, 5, 1)[0].flatten(0, 1))


@pytest.mark.parametrize("grid", [(1, 1), (2, 2), (3, 2), (4, 4)])
@pytest.mark.parametrize("layer", [DenseLayer, Grid2Layer])
def test_layers_are_4d_convolutions_in_another_order(grid: tuple[int, int], layer: type[DenseLayer]) -> None:
    stride = 1 if layer is Grid2Layer else 2
    original = CenterPivotConv4d(4, 6, kernel=3, support_stride=stride).double()
    x = torch.randn(2, 4, 5, 3, *grid, dtype=torch.float64)
    expected = original(x).permute(0, 2, 3, 4, 5, 1).flatten(1, 2)
    found = layer(original)(x.permute(0, 2, 3, 4, 5, 1).flatten(1, 2).contiguous(), (5, 3))
    assert torch.allclose(found, expected)


@pytest.mark.parametrize("side", [(1, 1), (1, 4), (2, 3), (4, 1), (7, 10), (16, 3)])
@pytest.mark.parametrize("dilation", [1, 2, 4])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_winograds_convolution_is_the_convolution(side: tuple[int, int], dilation: int, dtype: torch.dtype) -> None:
    x, weight = torch.randn(1, 5, *side, dtype=dtype), torch.randn(6, 5, 3, 3, dtype=dtype)
    expected = nn.functional.conv2d(x, weight, padding=dilation, dilation=dilation)
    found = winograd(x[0].permute(1, 2, 0), parts_of(weight), padding=(dilation,) * 4, dilation=dilation)
    assert torch.allclose(found.permute(2, 0, 1)[None], expected, atol=1e-8 if dtype == torch.float64 else 1e-4)


def test_winograds_convolution_is_no_rougher() -> None:
    x = torch.rand(2, 512, 32, 32)
    convolution = nn.Conv2d(512, 512, 3, padding=2, dilation=2).requires_grad_(False)
    assert Winograd.pays(convolution)
    exact = doubled(convolution)(x.double()).numpy()
    rounding, found = (difference(one(x).double(), exact) for one in (convolution, Winograd(convolution)))
    assert 0 < found <= max(10 * rounding, ROUNDED)


@pytest.mark.parametrize(
    "other",
    [nn.Conv2d(512, 256, 3, padding=1), nn.Conv2d(512, 512, 3), nn.Conv2d(512, 512, 3, stride=2, padding=1), nn.ReLU()],
)
def test_other_convolutions_are_not_winograds(other: nn.Module) -> None:
    assert not Winograd.pays(other)


@pytest.mark.parametrize("window", [(0, 9, 0, 7), (0, 1, 6, 7), (2, 5, 1, 7)])
def test_pooled_cells_are_convolved_as_if_they_were_interpolated_first(window: tuple[int, int, int, int]) -> None:
    pooling, convolution = PyramidPooling(8).double().eval(), nn.Conv2d(16, 6, 3, padding=1).double()
    deep = torch.randn(1, 8, 9, 7).double()
    expected = convolution(pooling(deep))[0].permute(1, 2, 0)
    top, bottom, left, right = window
    found = PooledConvolution(pooling, convolution)(deep, Window(Span(top, bottom), Span(left, right)))
    assert torch.allclose(found, expected[top:bottom, left:right])


@pytest.mark.parametrize("matching", MATCHINGS)
def test_matching_reads_what_is_inside_the_mask(matching: str) -> None:
    """So it does of a mask with something, everything and nothing in it."""
    layer = MatchLayer(matching).double().eval()
    q, k, v = (torch.randn(3, 2, n, 32).double() for n in (20, 31, 31))
    inside = (torch.rand(3, 31) > 0.5).double()
    inside[1], inside[2] = 1, 0
    expected = layer.attended(q, k, v, inside)
    found = InsideMatchLayer(layer).attended(q, k, v, inside)
    assert all(torch.allclose(one, other) for one, other in zip(found, expected, strict=True))


def test_correlations_are_the_same_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = CenterPivotConv4d(2, 3, kernel=5, support_stride=4).double()
    query, rows = ([torch.randn(n, 8).double() for _ in range(2)] for n in (6 * 5, 9 * 9))
    support = SupportLevel(rows, None, (9, 9), Window(Span(0, 9), Span(0, 9)))
    whole = normalised_rest(correlated(query, support, layer, (6, 5)), nn.GroupNorm(1, 3).double())
    monkeypatch.setattr(products, "PIECE", 1)
    pieces = normalised_rest(correlated(query, support, layer, (6, 5)), nn.GroupNorm(1, 3).double())
    assert torch.allclose(pieces.rest, whole.rest)


@pytest.mark.parametrize("window", [(9, 14, 0, 6), (0, 21, 18, 21), (8, 12, 8, 12), (0, 1, 0, 1)])
def test_what_is_elsewhere_is_correlated_as_if_it_were_in_the_window(window: tuple[int, int, int, int]) -> None:
    """Of supports that outside of a window are all the same map, which is constant in its middle."""
    layer, seen = (
        CenterPivotConv4d(2, 3, kernel=5, support_stride=4).double(),
        Window(Span(*window[:2]), Span(*window[2:])),
    )
    query = [nn.functional.normalize(torch.randn(6 * 5, 8).double(), dim=1) for _ in range(2)]
    profile = torch.randn(21, 1, 8).double() + torch.randn(1, 21, 8).double()
    profile[:, 3:18] = profile[:, 3:4]
    profile[3:18] = profile[3:4]
    maps = [nn.functional.normalize(profile * sign, dim=-1) for sign in (1, -1)]
    compact = Compact.of(3, 18, size=21, kernel=5, stride=4)
    assert compact.left_out
    kept = [one[compact.positions][:, compact.positions].flatten(0, 1) for one in maps]
    rows = [one.clone() for one in maps]
    for one in rows:
        one[seen.rows.slice, seen.columns.slice] = nn.functional.normalize(torch.randn(*seen.shape, 8).double(), dim=-1)
    flat = [one.flatten(0, 1) for one in rows]
    whole = correlated(query, SupportLevel(flat, None, (21, 21), Window(Span(0, 21), Span(0, 21))), layer, (6, 5))
    level = SupportLevel(flat, None, (21, 21), seen, Elsewhere(kept, compact, compact))
    found = correlated(query, level, layer, (6, 5))
    assert found.window == whole.window
    assert torch.allclose(found.rest, whole.rest)


@pytest.mark.slow
@pytest.mark.parametrize("masking", ["hm", "im"])
def test_a_small_object_is_compared_in_its_window(masking: str) -> None:
    model, side = doubled(fill(HMFS(size=257, masking=masking), skip="backbone.fc")), 257
    query, support = image(1, side).double(), image(2, side).double()[None]
    shown = torch.zeros(1, 1, side, side, dtype=torch.float64)
    shown[..., 120:150, 90:140] = 1
    twin = accelerate(model)
    assert len(twin.condition(twin.encode(support[0]), support[0], shown[0])) > sum(model.levels)
    assert difference(twin._logits(query, support, shown), model._logits(query, support, shown).numpy()) <= EXACT


def test_the_prior_of_what_is_inside_is_the_prior() -> None:
    query, supports = torch.randn(2, 8, 5, 5).double(), torch.randn(2, 3, 8, 5, 5).double()
    masks = (torch.rand(2, 3, 20, 20) > 0.5).double()
    masks[0, 0], masks[0, 1] = 0, 1
    supports[1, 0] = -query[1]  # nothing inside is like it
    assert torch.allclose(prior_of_inside(query, supports, masks), prior_map(query, supports, masks))

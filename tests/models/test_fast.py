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
from torchvision.models import resnet50

from fssbench.models.center_pivot import CenterPivotConv4d
from fssbench.models.fast.accelerate import accelerate
from fssbench.models.fast.center_pivot import Correlated, convolved
from fssbench.models.fast.folding import folded
from fssbench.models.fast.hdmnet import prior_of_inside
from fssbench.models.fast.hsnet import FastHMFS, FastHSNet
from fssbench.models.fast.squeeze import DenseLayer, Grid2Layer
from fssbench.models.fast.windows import Span, Window, bounding_box
from fssbench.models.hdmnet import HDMNet
from fssbench.models.hdmnet.prior import prior_map
from fssbench.models.hmfs import HMFS
from fssbench.models.hsnet import HSNet
from fssbench.models.interface import FeatureSegmenter
from fssbench.models.prototype import Prototype

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
    "hdmnet vgg16": lambda: HDMNet(backbone="vgg16", size=97, shot=2),
}

LARGE = ("hsnet resnet101", "hsnet vgg16", "hdmnet vgg16")
"""Models that take long and differ from others in their backbone alone."""

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


def test_the_prior_of_what_is_inside_is_the_prior() -> None:
    query, supports = torch.randn(2, 8, 5, 5).double(), torch.randn(2, 3, 8, 5, 5).double()
    masks = (torch.rand(2, 3, 20, 20) > 0.5).double()
    masks[0, 0], masks[0, 1] = 0, 1
    supports[1, 0] = -query[1]  # nothing inside is like it
    assert torch.allclose(prior_of_inside(query, supports, masks), prior_map(query, supports, masks))

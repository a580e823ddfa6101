"""PSPNet: its published names, where it begins, its training, and its way into HDMNet."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from batches import SIDE, semantic_batch
from filling import fill, image
from golden import read
from torch import Tensor, nn
from torchvision.models.vgg import cfgs, make_layers

from fssbench.base.errors import CheckpointError, UsageError
from fssbench.base.files import sha256_file
from fssbench.models import build_model, build_module, model_names
from fssbench.models.cards import write_safetensors
from fssbench.models.checkpoints import load_checkpoint
from fssbench.models.hdmnet import HDMNet
from fssbench.models.hdmnet.features import FROZEN
from fssbench.models.pspnet import PSPNet
from fssbench.models.trainable import Trainable


@pytest.fixture(scope="module")
def small() -> PSPNet:
    return fill(PSPNet(size=SIDE))


# --- the published model ---


def test_names_and_shapes_are_the_published_ones(small: PSPNet) -> None:
    """Those the stored file names; a VGG's follow from HDMNet's, which are stored too."""
    golden = read("hdmnet")
    found = {f"{name} {tuple(tensor.shape)}" for name, tensor in small.state_dict().items()}
    assert found == set(golden["hdmnet.coco.resnet50.1shot.pspnet_keys"].tolist())
    vgg = {f"{name} {tuple(tensor.shape)}" for name, tensor in PSPNet(backbone="vgg16").state_dict().items()}
    listed = golden["hdmnet.coco.vgg16.1shot.state_dict_keys"].tolist()
    frozen = {line.replace("base_learnear.2.", "cls.4.") for line in listed if line.partition(".")[0] in FROZEN}
    assert {line for line in vgg if not line.startswith("encoder.")} == frozen
    twice = {line.replace("layer", "encoder.", 1) for line in frozen if line.startswith("layer")}
    assert {line for line in vgg if line.startswith("encoder.")} == twice


@torch.no_grad()
@pytest.mark.parametrize("backbone", ["resnet50", "vgg16"])
@pytest.mark.slow
def test_in_an_hdmnet_it_says_what_it_said_alone(backbone: str, tmp_path: Path) -> None:
    """Also out of safetensors, which hold a tensor with two names twice."""
    alone = fill(PSPNet(backbone=backbone, benchmark="pascal", size=SIDE))
    facts = {"training_set": None, "protocol": None, "selection": None, "backbone_sha256": None}
    path = tmp_path / "pspnet.safetensors"
    write_safetensors(path, alone.state_dict(), model="pspnet", options={}, converted_from_sha256="0" * 64, **facts)
    model = HDMNet(backbone=backbone, benchmark="pascal", size=SIDE, backbone_weights=str(path)).eval()
    assert model.backbone_info is not None
    assert (model.backbone_info.weights, model.backbone_info.sha256) == ("file", sha256_file(path))
    asked, shown = image(1, SIDE).double(), image(2, SIDE)[:, None].double()
    said = model.double().outputs(asked, shown, torch.ones(1, 1, SIDE, SIDE)).base
    torch.testing.assert_close(said, alone.double()(asked))
    again = PSPNet(backbone=backbone, benchmark="pascal", size=SIDE).eval()
    load_checkpoint(again, path)
    assert again.double()(asked).equal(alone(asked))


# --- where it begins ---


def by_imagenet_names(model: PSPNet) -> dict[str, Tensor]:
    """The encoder of a ResNet as files with a stem of three convolutions name it."""
    stem = {"0": "conv1", "1": "bn1", "3": "conv2", "4": "bn2", "6": "conv3", "7": "bn3"}
    named = {}
    for name, tensor in model.encoder.state_dict().items():
        stage, _, rest = name.partition(".")
        layer, _, leaf = rest.partition(".")
        named[f"layer{stage}.{rest}" if stage != "0" else f"{stem[layer]}.{leaf}"] = tensor
    return named


def test_it_begins_with_the_imagenet_weights_of_a_file(small: PSPNet, tmp_path: Path) -> None:
    """With a classifier, which is not needed, and without counts of batches, as old files are."""
    old = {name: t for name, t in by_imagenet_names(small).items() if not name.endswith("num_batches_tracked")}
    path = tmp_path / "resnet50_v2.pth"
    torch.save(old | {"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}, path)
    model = PSPNet(size=SIDE, backbone_weights=str(path))
    assert (model.backbone_info.weights, model.backbone_info.sha256) == ("file", sha256_file(path))
    filled, fresh = small.state_dict(), PSPNet(size=SIDE).state_dict()
    for name, tensor in model.state_dict().items():
        assert tensor.equal((filled if name.startswith(("encoder.", "layer")) else fresh)[name])

    torch.save({name: tensor for name, tensor in old.items() if name != "conv3.weight"}, path)
    with pytest.raises(CheckpointError, match=r"resnet50_v2.pth does not fit Backbone: 1 missing \(conv3.weight\)"):
        PSPNet(size=SIDE, backbone_weights=str(path))


def test_its_vgg_is_torchvisions(tmp_path: Path) -> None:
    theirs: nn.Sequential = fill(make_layers(cfgs["D"], batch_norm=True))
    torch.save({f"features.{name}": tensor for name, tensor in theirs.state_dict().items()}, tmp_path / "vgg16_bn.pth")
    model = PSPNet(backbone="vgg16", size=SIDE, backbone_weights=str(tmp_path / "vgg16_bn.pth")).eval()
    asked = image(
        1, 64
    ).double()  # of a power of two, where pools that round up do not differ from those that round down
    with torch.no_grad():
        torch.testing.assert_close(model.double().encoder(asked), theirs.double()[:43](asked))


def test_torchvision_has_no_such_resnet() -> None:
    with pytest.raises(UsageError, match=r"no ImageNet weights for the resnet50 .* resnet50_v2\.pth"):
        PSPNet(backbone_weights="imagenet")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        (
            "backbone",
            "resnet18",
            "PSPNet has no backbone 'resnet18'; did you mean 'resnet50'[?] known are resnet50, vgg16",
        ),
        ("benchmark", "fss", "PSPNet has no benchmark 'fss'; known are coco, pascal"),
        ("size", 64, r"must be 8n [+] 1 pixels a side, at least 9, got 64; the usual size is 417"),
        ("size", "big", "option 'size' of model 'pspnet' must be a whole number, got 'big'"),
    ],
)
def test_an_option_it_cannot_have_is_refused(option: str, value: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_module("pspnet", **{option: value})


def test_it_is_no_model_that_answers_episodes() -> None:
    assert "pspnet" not in model_names()
    with pytest.raises(UsageError, match="answers no episodes; train it with fssbench train --model pspnet"):
        build_model("pspnet")


# --- training ---


def test_a_step_teaches_all_of_it_and_batch_norms_learn_too() -> None:
    model = PSPNet(size=SIDE)
    assert isinstance(model, Trainable)
    model.learn()
    groups = {group.name: group for group in model.groups()}
    assert {name: group.rate for name, group in groups.items()} == {"encoder": 1, "head": 10}
    grouped = [p for group in groups.values() for p in group.parameters]
    assert {id(p) for p in grouped} == {id(p) for p in model.parameters()}
    assert len(grouped) == len(list(model.parameters()))

    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimize = torch.optim.SGD(grouped, lr=1e-3, momentum=0.9, weight_decay=1e-4)
    losses = []
    for _ in range(3):
        found = model.step(semantic_batch())
        optimize.zero_grad()
        torch.autograd.backward(found.loss)
        optimize.step()
        losses.append(float(found.parts["segmentation"]))
    assert losses[0] > losses[1] > losses[2]
    assert found.predictions.shape == (2, SIDE, SIDE)
    unmoved = [name for name, tensor in model.state_dict().items() if tensor.equal(before[name])]
    assert not unmoved


def test_it_learns_from_a_single_image_too() -> None:
    """As the last batch of an epoch may be; the one batch norm that cannot waits for the next batch."""
    model = PSPNet(size=SIDE)
    model.learn()
    model.step(semantic_batch(1))
    seen = {name: int(t) for name, t in model.state_dict().items() if name.endswith("num_batches_tracked")}
    assert {name for name, batches in seen.items() if not batches} == {"ppm.features.0.2.num_batches_tracked"}
    model.step(semantic_batch(2))
    assert int(model.state_dict()["ppm.features.0.2.num_batches_tracked"]) == 1


def test_ignored_pixels_cost_nothing(small: PSPNet) -> None:
    batch = semantic_batch(1)
    loss = small.step(batch).parts["segmentation"]
    logits = small(small.preprocess.normalise(batch.images)).detach()
    there = (batch.labels != 255).expand_as(batch.labels)
    expected = F.cross_entropy(logits.movedim(1, -1)[there], batch.labels[there].long())
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=0)  # the same sum in another order

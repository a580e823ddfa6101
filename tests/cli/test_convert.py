"""Converting checkpoints: published to ours and back without a changed bit, and refusals that say what would fit."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from command import Command
from torch import Tensor

from fssbench.models.checkpoints import read_state_dict
from fssbench.models.hsnet import HSNet
from fssbench.models.pspnet import PSPNet
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet

CARD = ("--training-set", "coco-20i fold 0 train", "--protocol", "hsnet", "--selection", "best validation mIoU")


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """An HSNet of ResNet-50 whose weights are not those it starts with."""
    found: dict[str, Tensor] = HSNet().state_dict()
    return {name: tensor * 1.01 if tensor.is_floating_point() else tensor for name, tensor in found.items()}


@pytest.fixture(scope="module")
def published(state: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("published") / "best_model.pt"
    torch.save({f"module.{name}": tensor for name, tensor in state.items()}, path)
    return path


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(first[name].equal(second[name]) for name in first)


def test_there_and_back_changes_no_bit(
    fssbench: Command, published: Path, state: dict[str, Tensor], tmp_path: Path
) -> None:
    ours, back = tmp_path / "hsnet.safetensors", tmp_path / "back.pt"
    backbone = tmp_path / "backbone.pth"
    backbone.write_bytes(b"weights")
    ran = fssbench("convert", published, ours, "--model", "hsnet", "--backbone-file", backbone, *CARD)
    assert ran.code == 0, ran.err
    card = json.loads((tmp_path / "hsnet.json").read_text())
    assert card == {
        "schema_version": 1,
        "kind": "fssbench-checkpoint",
        "model": "hsnet",
        "options": {},
        "weights_sha256": sha256(ours.read_bytes()).hexdigest(),
        "converted_from_sha256": sha256(published.read_bytes()).hexdigest(),
        "backbone_sha256": sha256(b"weights").hexdigest(),
        "training_set": "coco-20i fold 0 train",
        "protocol": "hsnet",
        "selection": "best validation mIoU",
        "training": None,
    }
    assert same(read_state_dict(ours), state)
    assert fssbench("convert", ours, back).code == 0
    assert all(name.startswith("module.") for name in torch.load(back, weights_only=True))
    assert same(read_state_dict(back), state)


def test_ours_is_evaluated_like_a_published_one(
    fssbench: Command, published: Path, toy_set: EpisodeSet, tmp_path: Path
) -> None:
    ours = tmp_path / "hsnet.safetensors"
    fssbench("convert", published, ours, "--model", "hsnet")
    arguments = (
        "eval",
        "-m",
        "hsnet",
        "-b",
        "toy",
        "-d",
        toy_set.path,
        "-f",
        0,
        "--option",
        "size=64",
        "--limit",
        3,
        "--json",
    )
    results = [
        json.loads(fssbench(*arguments, "--weights", weights, "-o", tmp_path / weights.suffix).out)[0]["result"]
        for weights in (published, ours)
    ]
    assert results[0]["policies"] == results[1]["policies"]
    assert results[1]["model"]["checkpoint_sha256"] == sha256(ours.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--backbone", "resnet101"), "it fits with --backbone resnet50"),
        (("--option", "kernel=original"), "it fits with --option kernel=center-pivot"),
        (("--option", "block_layers=1"), "it fits with --option block_layers=3"),
        (("--backbone", "vgg16", "--option", "block_layers=1"), "build the model with the backbone and options"),
    ],
)
def test_a_mismatch_is_listed_and_what_would_fit_is_said(
    fssbench: Command, published: Path, tmp_path: Path, given: tuple[str, ...], said: str
) -> None:
    ran = fssbench("convert", published, tmp_path / "a.safetensors", "--model", "hsnet", *given)
    assert ran.code == 2
    assert re.search(r"best_model\.pt does not fit HSNet: \d+ (missing|unexpected|wrongly shaped) \(", ran.error)
    assert said in ran.error
    assert not list(tmp_path.iterdir())


def test_weights_are_those_the_card_names(fssbench: Command, published: Path, tmp_path: Path) -> None:
    ours = tmp_path / "a.safetensors"
    fssbench("convert", published, ours, "--model", "hsnet")
    data = bytearray(ours.read_bytes())
    data[-1] ^= 1
    ours.write_bytes(data)
    ran = fssbench("convert", ours, tmp_path / "b.pt")
    assert ran.code == 2
    assert re.search(r"a\.safetensors has the SHA-256 .*, its card says", ran.error)
    assert not (tmp_path / "b.pt").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a.pt", "b.bin", "-m", "hsnet"), r"OUT must end in \.safetensors, \.pt or \.pth, got b\.bin"),
        (("a.pt", "there.pt", "-m", "hsnet"), r"there\.pt is there already; pass --overwrite"),
        (("a.pt", "there.safetensors", "-m", "hsnet"), r"there\.json is there already"),
        (("a.pt", "b.safetensors", "-m", "hsnet"), r"there is no checkpoint a\.pt"),
        (("bad.safetensors", "b.pt", "-m", "hsnet"), r"bad\.safetensors cannot be read as safetensors"),
        (("good.pt", "b.safetensors"), r"good\.pt has no card that says whose it is; pass --model"),
        (("good.pt", "b.safetensors", "-m", "copy-support"), r"does not fit CopySupport: 1 unexpected \(weight\)"),
    ],
)
def test_what_cannot_be_converted_is_refused(
    fssbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there.pt").touch()
    Path("there.json").touch()
    Path("bad.safetensors").write_bytes(b"no tensors")
    torch.save({"weight": torch.zeros(1)}, "good.pt")
    ran = fssbench("convert", *arguments)
    assert ran.code == 2
    assert re.search(message, ran.error), ran.error


def test_a_base_learner_is_converted_too(fssbench: Command, tmp_path: Path) -> None:
    """It answers no episodes, and its published file has the backbone under two names."""
    state = PSPNet(backbone="vgg16", benchmark="pascal").state_dict()
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}, tmp_path / "best.pth")
    asked = ("convert", tmp_path / "best.pth", tmp_path / "pspnet.safetensors", "-m", "pspnet", "--backbone", "vgg16")
    refused = fssbench(*asked)
    assert refused.code == 2
    assert "it fits with --option benchmark=pascal" in refused.error
    ran = fssbench(*asked, "--option", "benchmark=pascal")
    assert ran.code == 0, ran.err
    assert same(read_state_dict(tmp_path / "pspnet.safetensors"), dict(state))

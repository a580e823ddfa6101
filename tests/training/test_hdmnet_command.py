"""``fssbench train`` of a base learner, of the HDMNet around it, and ``eval`` of that."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from command import Command

from fssbench.base.files import sha256_file
from fssbench.episodes.benchmarks import TOY_20I
from fssbench.episodes.protocols import STRICT
from fssbench.models.cards import read_card, read_safetensors
from fssbench.models.hdmnet.base_learner import published_name
from fssbench.pipelines.episode_sets.build_episode_set import build
from fssbench.pipelines.episode_sets.plan import Request, plan_folds
from fssbench.pipelines.sources import open_source
from fssbench.pipelines.sources.toy import draw_toy
from fssbench.pipelines.training_sets.build_training_set import build_training, plan_training
from fssbench.schemas.result import read_result

SMALL = ("--backbone", "vgg16", "--batch", 2, "--max-steps", 1, "--device", "cpu")


@pytest.fixture(scope="module")
def data(toy_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An episode set of the toy's fold 0, and images to train on. Not to be changed."""
    folder = tmp_path_factory.mktemp("toy")
    source = open_source(TOY_20I, toy_raw)
    request = Request(benchmark=TOY_20I, protocol=STRICT, folds=(0,), episodes=4)
    (plan,) = plan_folds(source, request, folder / "sets")
    build(plan, source)
    draw_toy(folder / "raw", part="training")
    training = open_source(TOY_20I, folder / "raw", part="training")
    build_training(plan_training(training, folder / "sets"), training)
    return folder / "sets"


def home() -> Path:
    return Path(os.environ["FSSBENCH_HOME"]) / "checkpoints" / "toy-20i"


@pytest.mark.slow
def test_hdmnet_is_trained_around_the_base_learner_of_its_fold(fssbench: Command, data: Path, tmp_path: Path) -> None:
    asked = ("train", "-m", "hdmnet", "-b", "toy", "-d", data, *SMALL)
    refused = fssbench(*asked, "-f", 0)
    assert refused.code == 2
    assert "around a pspnet that knows the base classes of fold 0, and there is none with vgg16 in" in refused.error
    assert "train one with fssbench train -m pspnet -b toy -f 0, pass" in refused.error
    assert not home().exists()

    assert fssbench("train", "-m", "pspnet", "-b", "toy", "-f", 0, "-d", data, *SMALL).code == 0
    learner = home() / "pspnet-vgg16-fold0"
    ran = fssbench(*asked, "-f", 0)
    assert ran.code == 0, ran.err
    weights = home() / "hdmnet-vgg16-fold0" / "last.safetensors"
    chosen = learner / "best.safetensors"
    assert read_card(chosen).selection == "best mIoU of the base classes on held-out images"
    assert read_card(weights).backbone_sha256 == sha256_file(chosen)
    trained, taught = read_safetensors(weights), read_safetensors(chosen)
    assert all(tensor.equal(trained[published_name(name)]) for name, tensor in taught.items())

    evaluated = fssbench(
        "eval", "-m", "hdmnet", "--backbone", "vgg16", "-b", "toy", "-f", 0, "-d", data, "-o", tmp_path
    )
    assert evaluated.code == 0, evaluated.err
    (path,) = tmp_path.rglob("*seed0.json")
    record = read_result(path).model
    assert (record.training, record.selection, record.input_size) == ("trained", "the last step", 65)

    other = fssbench(*asked, "-f", 1, "--backbone-weights", learner)
    assert other.code == 2
    assert "was trained for fold 0 of toy-20i: on 20 of the classes that fold 1 tests" in other.error


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            ("--backbone-weights", "absent.pth"),
            "there is no pspnet absent.pth; train one with fssbench train -m pspnet",
        ),
        (
            ("--backbone-weights", "none", "--option", "benchmark=pascal"),
            "hdmnet was built for 15 base classes, fold 0 of Toy-20i has 60; choose --option benchmark by their number",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_left(
    fssbench: Command, data: Path, more: tuple[object, ...], said: str
) -> None:
    ran = fssbench("train", "-m", "hdmnet", "-b", "toy", "-f", 0, "-d", data, *SMALL, *more)
    assert ran.code == 2
    assert said in ran.error
    assert not home().exists()


def test_a_base_learner_cannot_be_chosen_by_episodes(fssbench: Command, data: Path) -> None:
    asked = ("train", "-m", "pspnet", "-b", "toy", "-f", 0, "-d", data, *SMALL)
    for more in (("--select-on", "test-fold"), ("--set", "data.held_out_images=0")):
        ran = fssbench(*asked, *more)
        assert ran.code == 2
        assert "pspnet answers no episodes to choose weights by; pass --select-on last, or" in ran.error
    ran = fssbench("train", "-m", "hsnet", *asked[3:], "--set", "data.held_out_images=0.1")
    assert ran.code == 2
    assert "hsnet is chosen by episodes, and data.held_out_images holds out none" in ran.error
    assert not home().exists()


@pytest.mark.slow
def test_a_trial_needs_no_base_learner_and_says_so(fssbench: Command, data: Path, tmp_path: Path) -> None:
    flags = ("--backbone-weights", "none", "--shot", 2, "-o", tmp_path / "run")
    validated = ("--select-on", "base-val", "--set", "run.validation_episodes=4")
    assert fssbench("train", "-m", "hdmnet", "-b", "toy", "-f", 0, "-d", data, *SMALL, *flags, *validated).code == 0
    card = read_card(tmp_path / "run" / "best.safetensors")
    assert card.backbone_sha256 is None
    assert card.training is not None
    assert card.training.recipe["options"]["backbone_weights"] == "none"
    assert (card.training.shot, card.options["shot"]) == (2, 2)
    assert [step for step, _ in card.training.validated] == [1]

"""``fssbench train`` from end to end, and ``eval`` of what it leaves."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from command import Command
from small import RECIPE

from fssbench.episodes.benchmarks import TOY_20I
from fssbench.episodes.protocols import STRICT
from fssbench.models.cards import read_card
from fssbench.pipelines.episode_sets.build_episode_set import build
from fssbench.pipelines.episode_sets.plan import Request, plan_folds
from fssbench.pipelines.sources import open_source
from fssbench.pipelines.sources.toy import draw_toy
from fssbench.pipelines.training_sets.build_training_set import build_training, plan_training
from fssbench.schemas.result import read_result
from fssbench.training.recipe import parse_recipe

SMALL = Path(__file__).with_name("small.py")
MODEL = f"{SMALL}:Small"


@pytest.fixture(scope="module")
def data(toy_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Episode sets of the toy's folds 0 and 1, and images to train on. Not to be changed."""
    folder = tmp_path_factory.mktemp("toy")
    draw_toy(folder / "raw", part="training")
    request = Request(benchmark=TOY_20I, protocol=STRICT, folds=(0, 1), episodes=20)
    source = open_source(TOY_20I, toy_raw)
    for plan in plan_folds(source, request, folder / "sets"):
        build(plan, source)
    training = open_source(TOY_20I, folder / "raw", part="training")
    build_training(plan_training(training, folder / "sets"), training)
    return folder / "sets"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(
        RECIPE.replace('"small"', '"small.py:Small"') + "episodes = 24\nvalidation_episodes = 12\n", encoding="utf-8"
    )
    return path


def home() -> Path:
    return Path(os.environ["FSSBENCH_HOME"]) / "checkpoints" / "toy-20i"


def arguments(data: Path, config: Path, *more: object) -> tuple[object, ...]:
    return ("train", "-m", MODEL, "-b", "toy", "-f", 0, "--config", config, "-d", data, "--device", "cpu", *more)


def test_what_is_trained_is_what_eval_finds(fssbench: Command, data: Path, config: Path, tmp_path: Path) -> None:
    ran = fssbench(*arguments(data, config))
    assert ran.code == 0, ran.err
    assert "images both trained and tested: 0" in ran.out
    assert "step 18: loss" in ran.out
    folder = home() / "small-Small-fold0"
    left = {path.name for path in folder.iterdir()}
    assert {"best.json", "best.safetensors", "curve.png", "last.json", "log.jsonl", "state.pt"} <= left
    card = read_card(folder / "best.safetensors").training
    assert card is not None
    assert {c % 4 for c in (*card.classes, *card.held_out)} == {1, 2, 3}
    assert len(card.held_out) == 12
    best = max(card.validated, key=lambda found: found[1])
    assert (card.steps, card.planned_steps) == (best[0], 18)

    assert fssbench("eval", "-m", MODEL, "-b", "toy", "-f", 0, "-d", data, "-o", tmp_path / "out").code == 0
    (path,) = (tmp_path / "out").rglob("*seed0.json")
    record = read_result(path).model
    assert record.selection == "best mIoU on held-out base classes"
    assert not record.selected_on_test_fold
    assert record.trained is not None
    assert record.trained.images_with_novel_classes == card.leakage.novel_images > 0


def test_weights_chosen_on_the_test_fold_say_so(fssbench: Command, data: Path, config: Path, tmp_path: Path) -> None:
    flags = ("--select-on", "test-fold", "--max-steps", 6, "--set", "run.validation_episodes=20")
    ran = fssbench(*arguments(data, config, *flags, "-o", tmp_path / "run"))
    assert ran.code == 0, ran.err
    evaluate = ("eval", "-m", MODEL, "-b", "toy", "-d", data, "-o", tmp_path / "out", "--weights", tmp_path / "run")
    ran = fssbench(*evaluate, "-f", 0)
    assert "the weights are those that scored best on this very fold" in ran.err
    (path,) = (tmp_path / "out").rglob("*seed0.json")
    assert read_result(path).model.selected_on_test_fold
    # Validation and evaluation score the same episodes alike.
    found = json.loads((tmp_path / "run/best.json").read_text())["training"]["validated"][-1][1]
    assert read_result(path).score.miou.value == pytest.approx(found, abs=1e-12)

    ran = fssbench(*evaluate, "-f", 1)
    assert ran.code == 2
    assert "was trained for fold 0 of toy-20i: on 20 of the classes that fold 1 tests, such as red square" in ran.error


def test_a_run_is_gone_on_with_only_if_asked_and_only_as_it_was(
    fssbench: Command, data: Path, config: Path, tmp_path: Path
) -> None:
    run, whole = tmp_path / "run", tmp_path / "whole"
    assert fssbench(*arguments(data, config, "-o", whole)).code == 0
    assert fssbench(*arguments(data, config, "-o", run, "--max-steps", 7)).code == 0
    assert "has a run already; pass --resume" in fssbench(*arguments(data, config, "-o", run)).error
    other = fssbench(*arguments(data, config, "-o", run, "--resume", "--rate", 0.1))
    assert "is another run: its optimizer.rate is 0.05, and 0.1 was asked for" in other.error
    assert fssbench(*arguments(data, config, "-o", run, "--resume")).code == 0
    assert (run / "last.safetensors").read_bytes() == (whole / "last.safetensors").read_bytes()
    assert fssbench(*arguments(data, config, "-o", run, "--overwrite", "--max-steps", 1)).code == 0
    assert json.loads((run / "log.jsonl").read_text().splitlines()[-1])["step"] == 1
    assert "there is no run to go on with" in fssbench(*arguments(data, config, "-o", tmp_path / "x", "--resume")).error


def test_a_run_whose_validation_settles_ends_and_says_so_everywhere(
    fssbench: Command, data: Path, config: Path, tmp_path: Path
) -> None:
    """In the output, the log, the cards, the result, and when it is gone on with; no row calls it cut short."""
    asked = arguments(data, config, "-o", tmp_path, "--rate", 1e-30, "--epochs", 50, "--set", "run.stop_interval=2")
    ran = fssbench(*asked, "--set", "run.validate_every=6")
    assert ran.code == 0, ran.err
    assert "ended before the planned 300 steps: 2 epochs without a better validation" in ran.out
    *_, last = map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines())
    assert last["settled"]
    for path in sorted(tmp_path.glob("*.safetensors")):
        card = read_card(path).training
        assert card is not None
        assert card.settled_after == last["step"] < 300
        assert not card.cut_short
    again = fssbench(*asked, "--set", "run.validate_every=6", "--resume")
    assert "ended before the planned 300 steps" in again.out
    folder = ("eval", "-m", MODEL, "-b", "toy", "-f", 0, "-d", data, "--weights", tmp_path, "-o", tmp_path / "out")
    assert fssbench(*folder, "--limit", 4).code == 0
    (path,) = (tmp_path / "out").rglob("*seed0.json")
    trained = read_result(path).model.trained
    assert trained is not None
    assert trained.settled_after == last["step"]


def test_a_dry_run_says_what_would_be_done_and_leaves_nothing(fssbench: Command, data: Path, config: Path) -> None:
    more = ("--micro-batch", 3, "--set", "run.stop_interval=5", "--set", "run.stop_gain=0.01", "--dry-run")
    ran = fssbench(*arguments(data, config, *more))
    assert ran.code == 0, ran.err
    assert "batch: 4 a step = 3 at a time × 1 + 1 accumulated × 1 process\n" in ran.out
    assert (
        "length: 3 epochs of 24 = 6 steps; 18 steps in all, or less: "
        "it stops after 5 epochs without a better validation by 1 points of mIoU" in ran.out
    )
    assert "weights: the best on 12 episodes of 12 base classes held out, every 5 steps" in ran.out
    assert re.search(r"^time: about [\d.e-]+ s a step, (\d+|less than 1) s in all without validation$", ran.out, re.M)
    assert re.search(r"^memory: about \d+\.\d GB on cpu, in each process$", ran.out, re.M)
    assert not home().exists()


@pytest.mark.slow
def test_a_dry_run_says_how_images_and_weights_are_chosen(fssbench: Command, data: Path) -> None:
    plan = fssbench(
        "train", "-m", "hdmnet", "-b", "toy", "-f", 0, "-d", data, "--backbone-weights", "none", "--dry-run"
    )
    assert "weights: the last\n" in plan.out
    learner = fssbench("train", "-m", "pspnet", "-b", "toy", "-f", 0, "-d", data, "--batch", 24, "--dry-run")
    assert "each once an epoch; 64 held out" in learner.out


def test_more_steps_than_the_epochs_have_are_not_promised(
    fssbench: Command, data: Path, config: Path, tmp_path: Path
) -> None:
    asked = arguments(data, config, "-o", tmp_path, "--epochs", 1, "--max-steps", 400)
    assert "; 6 steps in all" in fssbench(*asked, "--dry-run").out
    ran = fssbench(*asked)
    assert "note: the run ends after 6 steps, in its 1 epoch, and not after 400; pass --epochs for more\n" in ran.err
    assert "\n6 steps; to evaluate: " in ran.out


def test_ctrl_c_saves_and_says_how_to_go_on(data: Path, config: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "fssbench", *map(str, arguments(data, config, "-o", run, "--epochs", 10_000))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("step"):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
    assert process.returncode == 128 + signal.SIGINT, err
    assert "and saved; go on with --resume" in err
    assert torch.load(run / "state.pt", weights_only=True)["progress"]["step"] >= 5
    assert "to evaluate" in out


def test_what_is_printed_is_a_recipe_with_the_flags_in_it(fssbench: Command) -> None:
    flags = ("--batch", 7, "--rate", 0.5, "--set", "schedule.name=poly", "--option", "size=200", "-k", 2)
    ran = fssbench("train", "-m", "hsnet", "-b", "coco", "--print-config", *flags)
    recipe = parse_recipe(ran.out, where="printed")
    assert (recipe.run.batch, recipe.optimizer.rate, recipe.schedule.name, recipe.run.shot) == (7, 0.5, "poly", 2)
    assert recipe.options == {"backbone": "resnet50", "backbone_weights": "imagenet", "size": 200}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("-b", "coco", "-f", 0), r"there is no training set .*build it with: fssbench prepare coco --train"),
        (("-b", "coco"), "COCO-20i has 4 folds, and each has weights of its own; pass --fold 0 to 3"),
        (("-b", "coco", "-f", 4), "COCO-20i has no fold 4"),
        (("-b", "coco", "-f", 0, "--select-on", "train"), "run.select_on: .*got 'train'"),
        (("-b", "coco", "-f", 0, "--set", "batch=3"), "--set must be heading.name=value, got 'batch=3'"),
        (("-b", "coco", "-f", 0, "--resume", "--overwrite"), "--resume and --overwrite contradict each other"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_one_line(fssbench: Command, more: tuple[object, ...], said: str) -> None:
    ran = fssbench("train", "-m", "hsnet", *more)
    assert ran.code == 2
    assert re.search(said, ran.error), ran.error


def test_images_may_be_read_from_end_to_end(fssbench: Command, data: Path, config: Path, tmp_path: Path) -> None:
    """The weights are those of other episodes than read at random, and the same for any number of threads."""
    few = ("--max-steps", 3, "--select-on", "last", "--set", "data.queries=image-uniform")
    streamed = (*few, "--set", "data.buffer=60")
    for name, more in (("random", few), ("one", (*streamed, "-w", 1)), ("many", (*streamed, "-w", 5))):
        ran = fssbench(*arguments(data, config, *more, "-o", tmp_path / name))
        assert ran.code == 0, ran.err
    weights = {path.parent.name: path.read_bytes() for path in tmp_path.glob("*/last.safetensors")}
    assert weights["one"] == weights["many"] != weights["random"]
    ran = fssbench(*arguments(data, config, "--max-steps", 1, "--set", "data.buffer=60"))
    assert "a stream gives images as they come" in ran.error


def test_images_that_are_tested_are_not_trained_on(
    fssbench: Command, data: Path, config: Path, toy_raw: Path, tmp_path: Path
) -> None:
    """Refused before anything is learned: the images to train on are those of the test."""
    source = open_source(TOY_20I, toy_raw)
    build_training(plan_training(source, tmp_path / "sets"), source)
    (tmp_path / "sets/toy-20i/strict").symlink_to(data / "toy-20i/strict")
    ran = fssbench(*arguments(tmp_path / "sets", config, "-o", tmp_path / "run"))
    assert ran.code == 2
    assert re.search(r"\d+ of \d+ images to train on are tested", ran.error)
    assert not (tmp_path / "run").exists()

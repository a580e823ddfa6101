"""`fssbench.prepare`, `load_training` and `train`: what the command line builds and refuses, from Python."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from command import Command
from torch import Tensor, nn

import fssbench
from fssbench.base.errors import TrainingSetError, UsageError
from fssbench.episodes.benchmarks import TOY_20I
from fssbench.pipelines.sources import open_source
from fssbench.pipelines.training_sets.build_training_set import build_training, plan_training


@pytest.fixture(scope="module")
def sets(toy_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fold 0 of the toy and its images to train on, built from Python. Not to be changed."""
    folder = tmp_path_factory.mktemp("sets")
    fssbench.prepare("toy", source=toy_raw, output=folder, folds=[0], episodes=20)
    fssbench.prepare_training("toy", source=folder / "raw", output=folder)
    return folder


def test_python_builds_what_the_command_line_builds(
    sets: Path, toy_raw: Path, tmp_path: Path, fssbench: Command
) -> None:
    """The same bytes under the same names."""
    for asked in (["--fold", 0, "--episodes", 20, "-s", toy_raw], ["--train", "-s", sets / "raw"]):
        assert fssbench("prepare", "toy", *asked, "-o", tmp_path).code == 0

    def files(folder: Path) -> dict[str, bytes]:
        found = (path for path in folder.rglob("*") if path.is_file() and "raw" not in path.parts)
        return {str(path.relative_to(folder)): path.read_bytes() for path in found}

    assert files(sets / "toy-20i") == files(tmp_path / "toy-20i")


def test_it_says_what_it_found_there(sets: Path, toy_raw: Path, caplog: pytest.LogCaptureFixture) -> None:
    outcomes: list[str] = []
    with caplog.at_level(logging.INFO, logger="fssbench"):
        (built,) = fssbench.prepare(
            "toy", source=toy_raw, output=sets, folds=[0], episodes=20, after=lambda one: outcomes.append(one.outcome)
        )
    assert outcomes == ["up to date"]
    assert built.path == sets / "toy-20i" / "strict" / "fold0"
    assert "results on this will not be official: Toy-20i is drawn" in caplog.text


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"benchmark": "tyo"}, "there is no benchmark 'tyo'; did you mean 'toy'"),
        ({"folds": [4]}, "Toy-20i has no fold 4"),
        ({"benchmark": "coco"}, "there is no folder .*coco"),
        ({"benchmark": "folder"}, "a benchmark of your own needs --source"),
    ],
)
def test_what_cannot_be_prepared_is_refused(asked: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(fssbench.FssbenchError, match=message):
        fssbench.prepare(**{"benchmark": "toy", "output": tmp_path, "episodes": 20, **asked})
    assert list(tmp_path.iterdir()) == []


# --- learning ---


def test_epochs_are_the_same_for_the_same_seed_and_share_no_class_with_what_is_held_out(sets: Path) -> None:
    first, second = (fssbench.load_training("toy", data=sets, size=32, batch=4, episodes=8) for _ in range(2))
    assert len(first) == 2
    assert not first.classes.keys() & first.held_out.keys()
    assert not {*first.classes, *first.held_out} & set(range(0, 80, 4))  # the novel classes of fold 0
    for a, b in zip(first.epoch(1), second.epoch(1), strict=True):
        assert a.query.equal(b.query)
        assert a.support_target.equal(b.support_target)
        assert {*a.class_ids.tolist()} <= first.classes.keys()
    assert next(first.epoch(0)).episodes != next(first.epoch(1)).episodes


class Knowing(nn.Module):
    """Answers with the first support's mask."""

    def forward(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        return masks[:, 0].bool()


def test_a_module_is_validated_on_held_out_classes(sets: Path) -> None:
    episodes = fssbench.load_training("toy", data=sets, size=32, batch=4, episodes=8)
    model = Knowing().train()
    scored = episodes.validate(model, episodes=12)
    assert 0 < scored < 1
    assert scored == episodes.validate(model, episodes=12)
    assert model.training


def test_what_is_tested_is_not_trained_on(toy_raw: Path, tmp_path: Path) -> None:
    """The audit is asked wherever training begins."""
    fssbench.prepare("toy", source=toy_raw, output=tmp_path / "sets", folds=[0], episodes=20)
    source = open_source(TOY_20I, toy_raw)  # the images of the test
    build_training(plan_training(source, tmp_path / "sets"), source)
    asked: dict[str, Any] = {"fold": 0, "data": tmp_path / "sets", "output": tmp_path / "run", "device": "cpu"}
    with pytest.raises(TrainingSetError, match=r"\d+ of \d+ images to train on are tested"):
        fssbench.train("hsnet", "toy", changes={"data.min_pixels": 1}, **asked)
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_trained_is_refused(sets: Path, tmp_path: Path) -> None:
    for asked, message in (
        ({"fold": None}, "Toy-20i has 4 folds, and each has weights of its own"),
        ({"changes": {"run.batches": 3}}, r"has no setting 'run\.batches'"),
        ({"resume": True, "overwrite": True}, "contradict each other"),
        ({"data": tmp_path}, "there is no training set"),
    ):
        arguments: dict[str, Any] = {"model": "hsnet", "benchmark": "toy", "fold": 0, "data": sets, **asked}
        with pytest.raises((UsageError, fssbench.FssbenchError), match=message):
            fssbench.train(**arguments)


def test_a_model_learns_from_python_and_is_evaluated(sets: Path, tmp_path: Path) -> None:
    changes = {"run.epochs": 1, "run.episodes": 20, "run.validation_episodes": 20}
    trained = fssbench.train(
        "hsnet", "toy", fold=0, data=sets, changes=changes, output=tmp_path / "run", device="cpu", workers=1
    )
    assert trained.weights.is_file()
    result = fssbench.evaluate("hsnet", "toy", fold=0, data=sets, weights=trained.weights, options={"size": 96})
    assert isinstance(result, fssbench.Evaluation)
    assert result.record.model.trained is not None
    assert result.record.model.trained.fold == 0


def test_a_reason_that_is_not_true_of_all_tracks_names_those_it_is_true_of(
    toy_raw: Path, tmp_path: Path, fssbench: Command
) -> None:
    asked = ("-f", 0, "-f", 1, "--shots", "1,5", "-n", 20, "--min-pixels", 4_500, "--allow-missing-classes")
    ran = fssbench("prepare", "toy", "-s", toy_raw, *asked, "-o", tmp_path, "--json")
    (line,) = [line for line in ran.err.splitlines() if "will not be official" in line]
    for fold, built in enumerate(json.loads(ran.out)):
        for track in built["tracks"]:
            absent = f"{len(track['absent_classes'])} of 20 classes are absent for want of images"
            assert f"; {absent} (fold {fold} {track['shot']}-shot seed 0)" in line
    assert "Toy-20i is drawn, not a published benchmark;" in line

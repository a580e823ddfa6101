"""A command touches only what it was asked about: damage beside that is nobody's business but its own."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from command import Command, Ran
from toys import build_toy_sets, copy_support

from fssbench.base.home import Home
from fssbench.engine.job import Job
from fssbench.engine.run import run
from fssbench.pipelines.training_sets.training_set import TrainingSet

GARBAGE = b'{"kind": "fssbench-result", "schema_version": '
SETS = Path("episodes/toy-20i/strict")
RESULTS = Path("results/toy-20i/strict")


@pytest.fixture(scope="module")
def worn(toy_raw: Path, toy_training: TrainingSet, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A home whose fold 1, a training set, a checkpoint and a result are garbage, and a sound result on fold 0."""
    home = Home(tmp_path_factory.mktemp("worn"))
    first, _ = build_toy_sets(toy_raw, home.episodes, folds=(0, 1), episodes=40)
    shutil.copytree(toy_training.path, home.episodes / "toy-20i" / "train")
    shutil.copytree(toy_raw, home.raw("toy"))
    job = Job(episode_set=first, shot=1, seed=0, episodes=20, output=home.results)
    sound = run(copy_support(), job).path
    for damaged in (
        home.episodes / "toy-20i/strict/fold1/manifest.json",
        home.episodes / "pascal-5i/strict/fold0/manifest.json",
        home.episodes / "mine/strict/fold0/manifest.json",
        home.episodes / "coco-20i/train/training.json",
        home.checkpoints / "toy-20i/hmfs-resnet50-fold0.safetensors",
        home.checkpoints / "toy-20i/hmfs-resnet50-fold0.json",
        home.results / "toy-20i/strict/hsnet-0/fold1-1shot-seed0.json",
    ):
        damaged.parent.mkdir(parents=True, exist_ok=True)
        damaged.write_bytes(GARBAGE)
    return home.path, sound


@pytest.fixture
def at_home(worn: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Path, Path]:
    monkeypatch.setenv("FSSBENCH_HOME", str(worn[0]))
    monkeypatch.chdir(tmp_path)
    return worn


COMMANDS = [
    "list benchmarks",
    "list protocols",
    "list models",
    "info",
    "info {home}/episodes/toy-20i/strict/fold0",
    "info {home}/episodes/toy-20i/train",
    "info {sound}",
    "verify {home}/episodes/toy-20i/strict/fold0",
    "verify {home}/episodes/toy-20i/train",
    "show {home}/episodes/toy-20i/strict/fold0 -n 1",
    "episodes toy --fold 0 -n 20",
    "doctor {home}/raw/toy",
    "prepare toy -f 0 -n 40 --seeds 0,1",
    "prepare toy --train",
    "prepare toy -f 2 -n 20",
    "eval -m copy-support -b toy -f 0 -n 5 --option size=32 -o eval",
    "eval -m copy-support -b toy -f 0 -n 5 --option size=32 --dry-run",
    "train -m hsnet -b toy -f 0 --print-config",
    "train -m hsnet -b toy -f 0 --max-steps 1 --batch 2 --option size=64 --backbone-weights none -o run",
    "score {sound} --check",
    "compare {sound} {sound}",
    "stability {sound}",
    "report {sound}",
    "submit {sound} -o submission.tar",
    "leaderboard build {sound_folder} -o board.json",
    "leaderboard show board.json",
    "leaderboard verify board.json --results {sound_folder}",
    "reproduce --list",
    "reproduce hsnet-table1 --dry-run",
    "check-model copy-support",
    "profile -m copy-support --repeats 1",
    "convert --help",
    "conformance --help",
]


def ask(fssbench: Command, command: str, at_home: tuple[Path, Path]) -> Ran:
    home, sound = at_home
    return fssbench(*(word.format(home=home, sound=sound, sound_folder=sound.parent) for word in command.split()))


def test_commands_work_beside_what_is_damaged(fssbench: Command, at_home: tuple[Path, Path]) -> None:
    """Every command, asked about something sound in a home where everything else is garbage, does its work."""
    failed = {command: ran.err for command in COMMANDS if (ran := ask(fssbench, command, at_home)).code != 0}
    assert not failed


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("list sets", r"4 of \d sets are damaged"),
        ("verify {home}/episodes", r"4 of \d sets are damaged"),
        ("info {home}/episodes/toy-20i/strict/fold1", "fold1/manifest.json is damaged"),
        ("show {home}/episodes/toy-20i/strict/fold1", "fold1/manifest.json is damaged"),
        ("prepare toy -f 0 -f 1 -n 40", "fold1/manifest.json is damaged"),
        ("prepare coco --train --source {home}/raw/toy", "coco-20i/train/training.json is damaged"),
        ("eval -m copy-support -b toy", "fold1/manifest.json is damaged"),
        ("eval -m copy-support -b mine", "mine/strict/fold0/manifest.json is damaged"),
        ("eval -m hmfs -b toy -f 0", "hmfs-resnet50-fold0.json is not a checkpoint's card"),
        ("train -m hsnet -b toy -f 1", "fold1/manifest.json is damaged"),
        ("leaderboard build {home}/results", "hsnet-0/fold1-1shot-seed0.json"),
        ("report {home}/results", "hsnet-0/fold1-1shot-seed0.json is not a result"),
        ("compare {sound} {home}/results", "hsnet-0/fold1-1shot-seed0.json is not a result"),
        ("submit {home}/results -o submission.tar", "1 of 2 results is not what it says"),
        ("score {home}/results --check", "1 of 2 results is not what it says"),
    ],
)
def test_what_is_damaged_is_named_by_a_command_about_it(
    fssbench: Command, at_home: tuple[Path, Path], command: str, named: str
) -> None:
    ran = ask(fssbench, command, at_home)
    assert ran.code == 2
    assert re.search(named, ran.error), ran.error


def test_damaged_sets_are_listed_with_the_reason_beside_the_others(
    fssbench: Command, at_home: tuple[Path, Path]
) -> None:
    listed = json.loads(ask(fssbench, "list sets --json", at_home).out)["sets"]
    damaged = {row["path"].removeprefix(f"{at_home[0]}/episodes/"): row.get("damaged") for row in listed}
    assert {path for path, why in damaged.items() if why is None} >= {"toy-20i/strict/fold0", "toy-20i/train"}
    assert {path for path, why in damaged.items() if why} == {
        "coco-20i/train",
        "mine/strict/fold0",
        "pascal-5i/strict/fold0",
        "toy-20i/strict/fold1",
    }
    assert all("is damaged: content: Invalid JSON" in why for why in damaged.values() if why)


def test_a_result_that_cannot_be_read_counts_as_not_there(fssbench: Command, at_home: tuple[Path, Path]) -> None:
    """Which row of a table it is of, it does not say; so a reproduction says so, and would make the row again."""
    ran = ask(fssbench, "reproduce hsnet-table1 --dry-run", at_home)
    assert ran.code == 0
    assert "hsnet-0/fold1-1shot-seed0.json is not a result" in ran.err
    assert "so it is treated as missing" in ran.err


def test_a_damaged_set_is_built_anew_where_that_is_asked(
    fssbench: Command, worn: tuple[Path, Path], at_home: tuple[Path, Path], tmp_path: Path
) -> None:
    copy = tmp_path / "episodes"
    shutil.copytree(worn[0] / "episodes", copy)
    assert fssbench("prepare", "toy", "-f", 1, "-n", 40, "--overwrite", "-o", copy).code == 0
    assert fssbench("verify", copy / "toy-20i/strict/fold1").code == 0

"""Training on a set that lies on a web server: its shards are read in order, and shuffled in memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from command import Command
from file_server import FileServer
from small import RECIPE

from fssbench.episodes.training import TrainingPolicy
from fssbench.models.interface import Preprocess
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.training_sets.epoch import Epoch, EpochPlan
from fssbench.pipelines.training_sets.lists import training_lists
from fssbench.pipelines.training_sets.sequential import streamed_batches
from fssbench.pipelines.training_sets.training_set import TrainingSet, find_training_set
from fssbench.pipelines.transport import Remote
from fssbench.pipelines.transport.http import Web

MODEL = f"{Path(__file__).with_name('small.py')}:Small"


@pytest.fixture
def hosted(server: FileServer, toy_training: TrainingSet, toy_set: EpisodeSet) -> FileServer:
    """A web server with the toy's images to train on and its fold 0."""
    for folder, name in ((toy_training.path, "toy-20i/train"), (toy_set.path, "toy-20i/strict/fold0")):
        for file in folder.iterdir():
            server.files[f"{name}/{file.name}"] = file.read_bytes()
    return server


def test_batches_from_a_server_are_those_from_the_disk(hosted: FileServer, toy_training: TrainingSet) -> None:
    """Read in the same order, and single images are the same too."""
    there = find_training_set(Remote(Web(hosted.address)), toy_training.benchmark)
    lists = training_lists(toy_training, 0, TrainingPolicy(queries="image-uniform"))
    plan = EpochPlan(seed=0, shot=1, episodes=24, batch=8)
    pairs = [
        streamed_batches(Epoch(one, lists, plan=plan, number=0, preprocess=Preprocess(size=32)), buffer=60)
        for one in (toy_training, there)
    ]
    for ours, theirs in zip(*pairs, strict=True):
        assert ours.episodes == theirs.episodes
        assert torch.equal(ours.query, theirs.query)
        assert torch.equal(ours.support_target, theirs.support_target)
    image = lists.images[0]
    assert there.read(image).jpeg == toy_training.read(image).jpeg


@pytest.mark.slow
def test_training_and_verification_take_an_address(hosted: FileServer, tmp_path: Path, fssbench: Command) -> None:
    """A run is gone on with from there; from the disk its images would come in another order, and it is refused."""
    config = tmp_path / "recipe.toml"
    config.write_text(RECIPE.replace('"small"', '"small.py:Small"') + "episodes = 24\nvalidation_episodes = 12\n")
    command = [
        "train",
        "-m",
        MODEL,
        "-b",
        "toy",
        "-f",
        0,
        "--config",
        config,
        "--device",
        "cpu",
        "-o",
        tmp_path / "run",
    ]
    ran = fssbench(*command, "-d", hosted.address, "--max-steps", 3)
    assert "--set data.queries=image-uniform), or copy the set" in ran.error
    command += ["--set", "data.queries=image-uniform"]
    ran = fssbench(*command, "-d", hosted.address, "--max-steps", 3, "--overwrite")
    assert ran.code == 0, ran.err
    assert "images both trained and tested: 0" in ran.out
    ran = fssbench(*command, "-d", hosted.address, "--max-steps", 5, "--resume")
    assert ran.code == 0, ran.err
    assert ran.out.splitlines()[-2].startswith("5 steps; ")
    for name, data in hosted.files.items():
        path = tmp_path / "copy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    ran = fssbench(*command, "-d", tmp_path / "copy", "--max-steps", 6, "--resume")
    assert ran.code == 2
    assert "its buffer is 1000" in ran.error
    assert f"sound {hosted.address}/toy-20i/train: " in fssbench("verify", hosted.address).out
    assert fssbench("info", f"{hosted.address}/toy-20i/train/training.json").out.startswith("training set  toy-20i")

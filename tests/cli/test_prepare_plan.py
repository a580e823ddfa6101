"""What ``prepare`` says before it starts, and what it does where the disk has not the room."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from command import Command

from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.training_sets.training_set import TrainingSet

Usage = namedtuple("Usage", ["total", "used", "free"])


def words(raw: Path, output: Path, *more: object) -> tuple[object, ...]:
    return ("prepare", "toy", "-s", raw, "-o", output, *more)


def test_a_plan_builds_nothing_and_what_is_built_is_what_it_says(
    fssbench: Command, toy_raw: Path, tmp_path: Path
) -> None:
    """Images exactly; bytes as far as a few images can tell those of all, here within a tenth."""
    asked = words(toy_raw, tmp_path / "sets", "--folds", "0,1", "--shots", "1,2", "-n", 40)
    told = json.loads(fssbench(*asked, "--dry-run", "--json").out)
    assert not (tmp_path / "sets").exists()
    assert [one["outcome"] for one in told["sets"]] == ["to build", "to build"]
    assert told["free_bytes"] > told["bytes"] == sum(one["bytes"] for one in told["sets"])
    ran = fssbench(*asked)
    assert ran.err.startswith(f"note: {sum(one['images'] for one in told['sets'])} images to write: about ")
    for one in told["sets"]:
        built = EpisodeSet.open(Path(one["path"])).manifest
        assert (one["images"], [track["digest"] for track in one["tracks"]]) == (
            built.n_images,
            [track.digest for track in built.tracks],
        )
        assert one["bytes"] == pytest.approx(built.n_bytes, rel=0.1)
    again = fssbench(*asked, "--dry-run")
    assert [line.partition(":")[0] for line in again.out.splitlines()[:2]] == ["up to date", "up to date"]
    assert "to write" not in fssbench(*asked).err


def test_a_plan_extends_a_set_by_what_it_lacks(fssbench: Command, toy_raw: Path, tmp_path: Path) -> None:
    asked = words(toy_raw, tmp_path, "-f", 0, "-n", 40)
    fssbench(*asked)
    there = EpisodeSet.open(tmp_path / "toy-20i" / "strict" / "fold0").manifest.n_images
    (one,) = json.loads(fssbench(*asked, "--shots", "1,4", "--dry-run", "--json").out)["sets"]
    fssbench(*asked, "--shots", "1,4")
    built = EpisodeSet.open(Path(one["path"])).manifest
    assert (one["outcome"], one["images"]) == ("to extend", built.n_images - there)


def test_a_training_set_is_planned_likewise(fssbench: Command, toy_training: TrainingSet, tmp_path: Path) -> None:
    (one,) = json.loads(fssbench(*words(tmp_path / "raw", tmp_path / "s", "--train", "--dry-run", "--json")).out)[
        "sets"
    ]
    assert not (tmp_path / "s").exists()
    assert one["images"] == toy_training.manifest.images
    assert one["bytes"] == pytest.approx(toy_training.manifest.n_bytes, rel=0.1)


@pytest.mark.parametrize("train", [(), ("--train",)])
def test_a_disk_without_the_room_is_refused_before_anything_is_written(
    train: tuple[str, ...], fssbench: Command, toy_raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = tmp_path / "raw"
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(10**9, 10**9 - 1_000, 1_000))
    ran = fssbench(*words(raw, tmp_path / "sets", *train))
    assert ran.code == 2
    assert "the sets take about " in ran.error
    assert f"and {tmp_path / 'sets'} has 0.0 MB free; make room, or name a folder on another disk" in ran.error
    assert not (tmp_path / "sets").exists()

"""What somebody in a hurry types: the answer names the mistake and the way on."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import Command
from drawn_coco import draw_coco
from drawn_described import photograph

from fssbench.base.errors import EpisodeSetError
from fssbench.episodes.benchmarks import TOY_20I
from fssbench.pipelines.episode_sets.episode_set import locate_set


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, toy_raw: Path) -> Path:
    """Fold 0 of the toy below ``sets``, and nothing else."""
    from fssbench import prepare

    folder = tmp_path_factory.mktemp("desk")
    prepare("toy", source=toy_raw, folds=(0,), episodes=20, output=folder / "sets")
    return folder


def test_where_one_fold_is_there_it_can_be_asked_for_alone(desk: Path) -> None:
    with pytest.raises(EpisodeSetError, match=r"or ask for what is there alone: --fold 0$"):
        locate_set(desk / "sets", benchmark=TOY_20I, protocol="strict", fold=1)


def test_a_folder_too_far_above_sets_is_told_where_they_lie(fssbench: Command, desk: Path) -> None:
    (desk / "up" / "here").mkdir(parents=True)
    (desk / "sets").rename(desk / "up" / "here" / "sets")
    try:
        ran = fssbench("verify", desk / "up")
        assert (ran.code, ran.error.endswith(f"sets lie deeper; pass {desk / 'up' / 'here' / 'sets'}")) == (2, True)
    finally:
        (desk / "up" / "here" / "sets").rename(desk / "sets")


def test_a_set_of_another_protocol_is_told_apart_by_what_differs_alone(
    fssbench: Command, desk: Path, toy_raw: Path
) -> None:
    asked = ("prepare", "toy", "-s", toy_raw, "-f", 0, "-n", 20, "-o", desk / "sets")
    ran = fssbench(*asked, "--min-pixels", 5)
    assert "was built with another protocol (min pixels 2048, not min pixels 5); choose" in ran.error


def test_a_folder_of_results_is_described_if_it_has_one(fssbench: Command, desk: Path, tmp_path: Path) -> None:
    asked = ("eval", "-b", "toy", "-f", 0, "-d", desk / "sets", "-o", tmp_path)
    assert fssbench(*asked, "-m", "copy-support").code == 0
    assert fssbench("info", tmp_path).out.startswith("model")
    assert fssbench(*asked, "-m", "all-foreground").code == 0
    ran = fssbench("info", tmp_path)
    assert ran.code == 2
    assert f"{tmp_path} holds 2 results, such as " in ran.error
    assert f"or see all with fssbench leaderboard build {tmp_path}" in ran.error


def test_cocos_parent_folder_is_told_from_coco(fssbench: Command, tmp_path: Path) -> None:
    draw_coco(tmp_path / "data" / "coco")
    ran = fssbench("prepare", "coco", "-s", tmp_path / "data", "-o", tmp_path / "sets")
    assert ran.code == 2
    assert ran.error.endswith(f"it is in {tmp_path / 'data' / 'coco'}: name that as --source")


def test_without_a_list_of_fsss_classes_the_option_is_named(fssbench: Command, tmp_path: Path) -> None:
    for number in range(1, 11):
        photograph(tmp_path / f"abacus/{number}.jpg", number)
    ran = fssbench("prepare", "fss", "-s", tmp_path, "-o", tmp_path / "sets")
    assert ran.code == 2
    assert "pass --splits with FSS-1000's list of test classes" in ran.err
    assert "fold 0: abacus (0), 239 that the data does not name; add images" in ran.error

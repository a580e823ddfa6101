"""``fssbench show`` with models and results: the same episodes, everybody's masks, and their IoUs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Command
from PIL import Image

from fssbench.pages import choice
from fssbench.pages.pictures import CELL, GAP
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.results.load import load_result

HSNET = ("-m", "hsnet", "--weights", "none", "--backbone-weights", "none", "--option", "size=64")


@pytest.fixture(autouse=True)
def _desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def shown(fssbench: Command, *arguments: object) -> list[dict[str, Any]]:
    ran = fssbench("show", *arguments, "--json", "-o", "shown.png")
    assert ran.code == 0, ran.err
    episodes: list[dict[str, Any]] = json.loads(ran.out)["episodes"]
    return episodes


def evaluated(fssbench: Command, toy_set: EpisodeSet, *more: object) -> Path:
    data = toy_set.path.parents[2]
    ran = fssbench("eval", "-m", "copy-support", "-b", "toy", "-f", 0, "-d", data, "-o", "results", *more, "--json")
    assert ran.code == 0, ran.err
    return Path(json.loads(ran.out)[0]["path"])


def columns() -> int:
    with Image.open("shown.png") as image:
        return (image.width - GAP) // (CELL + GAP)


def test_a_results_masks_stand_beside_those_of_the_model_asked_again(fssbench: Command, toy_set: EpisodeSet) -> None:
    """Both have the IoUs of the result's counts, in a column each."""
    path = evaluated(fssbench, toy_set, "--save-predictions")
    episodes = shown(fssbench, toy_set.path, "--result", path, "-m", "copy-support", "--index", "17,3")
    inter, union = load_result(path).table.counts[[3, 17], 0, :2].T
    for name in ("copy-support (1)", "copy-support (2)"):
        assert [one["iou"][name] for one in episodes] == pytest.approx(list(inter / union))
    assert columns() == 4


def test_one_shot_stands_beside_two_on_the_same_query(fssbench: Command, toy_set: EpisodeSet) -> None:
    """The supports of one shot are the first of two: they are drawn once."""
    episodes = shown(fssbench, toy_set.path, "-m", "copy-support", "-k", 1, "-k", 2, "-n", 3)
    assert [list(one["iou"]) for one in episodes] == [["copy-support, 1-shot", "copy-support, 2-shot"]] * 3
    assert columns() == 5


def test_episodes_are_chosen_by_the_size_of_the_querys_object(
    fssbench: Command, toy_set: EpisodeSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large from a share of the image on: here from the middle one of the toy, whose objects are all large."""
    queries = load_result(evaluated(fssbench, toy_set)).table.queries
    shares = [query.object_pixels / query.image_pixels for query in queries]
    middle = sorted(shares)[20]
    monkeypatch.setattr(choice, "LARGE", middle)
    for size in choice.SIZES:
        expected = [i for i, share in enumerate(shares) if (share >= middle) == (size == "large")]
        assert [one["index"] for one in shown(fssbench, toy_set.path, "--size", size, "-n", 40)] == expected
    monkeypatch.setattr(choice, "LARGE", 0.1)
    assert (
        "asks no such episode; small is below 10% of the query image"
        in fssbench("show", toy_set.path, "--size", "small").error
    )


def test_maps_are_drawn_below_the_episode(fssbench: Command, toy_set: EpisodeSet) -> None:
    heights = []
    for more in ([], ["--maps"], ["--maps", "--channel", 0]):
        shown(fssbench, toy_set.path, *HSNET, "--index", 3, *more)
        with Image.open("shown.png") as image:
            heights.append(image.height)
            pixels = np.asarray(image)
        assert np.ptp(pixels) == 255
    assert heights[1] == heights[2] > 2 * heights[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--maps"], "--maps draws the maps of a model, and none was named"),
        (["-m", "copy-support", "--maps"], "no model here shows maps"),
        (["-m", "copy-support", "--channel", 1], "--channel chooses one channel of the maps that --maps draws"),
        (["-m", "copy-support", "--weights", "none", "--weights", "none"], "there are 2 --weights for 1 --model"),
        (["-k", 1, "-k", 2], "several --shot need a --model"),
        (["--size", "big"], "a size must be small or large, got 'big'"),
        (["--result", "nothing.json"], "nothing.json"),
        (["-m", "hsnt"], "did you mean 'hsnet'?"),
    ],
)
def test_what_means_nothing_is_refused(
    fssbench: Command, toy_set: EpisodeSet, arguments: list[object], message: str
) -> None:
    ran = fssbench("show", toy_set.path, *arguments)
    assert ran.code == 2
    assert message in ran.error
    assert list(Path().glob("*.png")) == []


def test_a_result_without_masks_says_how_to_keep_them(fssbench: Command, toy_set: EpisodeSet) -> None:
    ran = fssbench("show", toy_set.path, "--result", evaluated(fssbench, toy_set))
    assert ran.code == 2
    assert "was made without keeping its masks; evaluate again with --save-predictions" in ran.error


def test_a_result_of_fewer_episodes_says_which_it_has(fssbench: Command, toy_set: EpisodeSet) -> None:
    path = evaluated(fssbench, toy_set, "--save-predictions", "--limit", 5)
    assert (
        "1shot-seed0 has no episode 5; indices are 0 to 4"
        in fssbench("show", toy_set.path, "--result", path, "--index", 5).error
    )

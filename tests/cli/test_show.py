"""``fssbench show``: the right episodes on the picture, and nothing of the user's written over."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from command import Command
from PIL import Image

from fssbench.pages.contact_sheet import SIDE, Strip, draw_strips
from fssbench.pages.pictures import BLUE, GREEN, Cell
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet

NAME = "toy-20i-strict-fold0-1shot-seed0-episodes.png"


@pytest.fixture(autouse=True)
def _desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def cell(height: int, width: int, colour: tuple[int, int, int]) -> Cell:
    mask = np.zeros((height, width), bool)
    mask[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4] = True
    return Cell(image=np.full((height, width, 3), 90, np.uint8), mask=mask, colour=colour, caption="an image's id")


def pixels(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    with Image.open(path) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        return np.asarray(image)


def outlined(path: Path, colour: tuple[int, int, int]) -> int:
    """How many separate outlines of a colour there are."""
    from scipy.ndimage import label

    _, n = label((pixels(path) == colour).all(axis=2), structure=np.ones((3, 3)))
    return int(n)


def test_the_first_episodes_are_drawn_under_the_sets_name(fssbench: Command, toy_set: EpisodeSet) -> None:
    """Twelve episodes of one support: twelve outlines in each colour."""
    ran = fssbench("show", toy_set.path)
    assert ran.out == f"12 of 40 1-shot episodes, seed 0: {NAME}\n"
    assert [path.name for path in Path().glob("*.png")] == [NAME]
    assert 10 <= outlined(Path(NAME), GREEN) <= 14  # an object at the rim of its image may be cut in two


def test_a_scripts_answer_names_what_is_on_the_picture(fssbench: Command, toy_set: EpisodeSet) -> None:
    found = json.loads(fssbench("show", toy_set.path, "-k", 2, "--index", "17,3", "--json", "-o", "two.png").out)
    track = toy_set.tracks["2shot-seed0"].episodes
    assert found["picture"] == "two.png"
    assert (found["shot"], found["seed"]) == (2, 0)
    assert [(e["index"], e["class_id"], e["query"], tuple(e["supports"])) for e in found["episodes"]] == [
        (i, track[i].class_id, track[i].query, track[i].supports) for i in (3, 17)
    ]


@pytest.mark.parametrize("by", ["name", "index"])
def test_only_the_episodes_of_a_class_are_drawn(fssbench: Command, toy_set: EpisodeSet, by: str) -> None:
    pool = toy_set.manifest.classes[3]
    wanted = pool.name if by == "name" else pool.id
    found = json.loads(fssbench("show", toy_set.path, "--class", wanted, "--json").out)
    track = toy_set.tracks["1shot-seed0"].episodes
    assert [e["index"] for e in found["episodes"]] == [i for i, e in enumerate(track) if e.class_id == pool.id]
    assert {e["class"] for e in found["episodes"]} == {pool.name}


def test_the_picture_of_an_episode_shows_that_episodes_images(fssbench: Command, toy_set: EpisodeSet) -> None:
    """Other episodes, other pictures; the same, the same bytes."""
    for name, index in (("a", 4), ("b", 5), ("c", 4)):
        assert fssbench("show", toy_set.path, "--index", index, "-o", f"{name}.png").code == 0
    assert Path("a.png").read_bytes() == Path("c.png").read_bytes()
    assert (
        pixels(Path("a.png")).shape != pixels(Path("b.png")).shape
        or (pixels(Path("a.png")) != pixels(Path("b.png"))).any()
    )


def test_its_own_picture_is_replaced_and_nothing_else(fssbench: Command, toy_set: EpisodeSet) -> None:
    assert fssbench("show", toy_set.path).code == 0
    before = Path(NAME).read_bytes()
    assert fssbench("show", toy_set.path, "--episodes", 3).code == 0
    assert Path(NAME).read_bytes() != before
    Image.new("RGB", (8, 8)).save("mine.png")
    Path("text.png").write_text("not a picture at all")
    for name in ("mine.png", "text.png"):
        mine = Path(name).read_bytes()
        ran = fssbench("show", toy_set.path, "-o", name)
        assert ran.code == 2
        assert f"{name} is there already, and is not an earlier picture of fssbench show; choose another" in ran.error
        assert Path(name).read_bytes() == mine


def test_a_folder_gets_the_picture_under_its_usual_name(fssbench: Command, toy_set: EpisodeSet) -> None:
    Path("pictures").mkdir()
    assert fssbench("show", toy_set.path, "-o", "pictures").code == 0
    assert (Path("pictures") / NAME).is_file()


def test_the_set_may_be_named_by_a_folder_above_it(fssbench: Command, toy_set: EpisodeSet) -> None:
    """If there is one only."""
    shutil.copytree(toy_set.path, "sets/toy-20i/strict/fold0")
    assert fssbench("show", "sets").code == 0
    assert fssbench("info", "sets", "--brief").out.startswith("set ")
    shutil.copytree(toy_set.path, "sets/toy-20i/strict/fold1")
    for command in ("show", "info"):
        error = fssbench(command, "sets").error
        assert "sets holds 2 sets: sets/toy-20i/strict/fold0, sets/toy-20i/strict/fold1; name one of them" in error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--shot", "5"], "has no 5-shot track of seed 0, it has 1-shot seed 0, 2-shot seed 0; add it with"),
        (["--seed", "9"], "has no 1-shot track of seed 9"),
        (["--class", "red dics"], "1shot-seed0 has no episode of class 'red dics'; it has red disc, red cross"),
        (["--index", "40"], "1shot-seed0 has no episode 40; indices are 0 to 39"),
        (["--index", "a"], "--index must be integers joined by commas, got 'a'"),
        (["--index", "3", "--class", "red disc"], "--index says which episodes to draw"),
        (["--episodes", "0"], "Invalid value for '--episodes'"),
        (["--episodes", "201"], "Invalid value for '--episodes'"),
        (["-o", "episodes.jpg"], "--output must end in .png, got 'episodes.jpg'"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    fssbench: Command, toy_set: EpisodeSet, options: list[str], message: str
) -> None:
    ran = fssbench("show", toy_set.path, *options)
    assert ran.code == 2
    assert message in ran.error
    assert list(Path().glob("*.png")) == []


def test_what_is_no_set_and_what_cannot_be_written_is_refused(fssbench: Command, toy_set: EpisodeSet) -> None:
    assert "nowhere is not an episode set" in fssbench("show", "nowhere").error
    Path("file").touch()
    ran = fssbench("show", toy_set.path, "-o", "file/episodes.png")
    assert ran.code == 2
    assert "cannot write file: a file is in the way" in ran.error


def test_a_row_is_as_high_as_its_tallest_image(tmp_path: Path) -> None:
    def height(*shapes: tuple[int, int]) -> int:
        path = tmp_path / "sheet.png"
        cells = [cell(*shape, BLUE) for shape in shapes]
        draw_strips(path, heading=["a heading"], strips=[Strip(title="an episode", cells=cells)])
        return pixels(path).shape[0]

    flat, upright = (40, 80), (80, 40)
    assert height(flat, flat) + SIDE // 2 == height(flat, upright) == height(upright, upright)


@pytest.mark.parametrize("n", [1, 2, 7, 30])
def test_every_strip_has_its_place_on_a_sheet_of_the_usual_shape(tmp_path: Path, n: int) -> None:
    path = tmp_path / "sheet.png"
    strips = [Strip(title=f"{i}", cells=[cell(40, 40, BLUE), cell(40, 40, GREEN)]) for i in range(n)]
    draw_strips(path, heading=["a heading"], strips=strips)
    assert (outlined(path, BLUE), outlined(path, GREEN)) == (n, n)
    height, width = pixels(path).shape[:2]
    assert 0.7 < width / height < 2.2

"""Folders as users name them and keep them: below ``~``, not there, not theirs, among what systems leave about."""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Command

from fssbench.base.home import Home, home_in
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.sources.description import DESCRIPTION


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder, in which commands are given."""
    folder = tmp_path / "user"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def sets(toy_set: EpisodeSet, user: Path) -> Path:
    """A folder of sets that may be changed."""
    shutil.copytree(toy_set.path, user / "sets/toy-20i/strict/fold0")
    return user / "sets"


def evaluate(fssbench: Command, *more: object) -> None:
    ran = fssbench("eval", "-m", "copy-support", "-b", "toy", "-f", 0, "-n", 4, *more)
    assert ran.code == 0, ran.err


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("~", "HOME"), ("~/x", "HOME/x"), ("--output=~/x y", "--output=HOME/x y"), ("-o~/x", "-oHOME/x"),
        ("weights=~/x.pt", "weights=HOME/x.pt"), ("--splits=derive:~/x", "--splits=derive:HOME/x"),
        ("~nobody-of-that-name/x", "~nobody-of-that-name/x"), ("a~/x", "a~/x"), ("--output=x/~", "--output=x/~"),
        ("https://host/~user/x", "https://host/~user/x"),
    ],
)  # fmt: skip
def test_a_tilde_is_the_users_folder_where_a_path_begins(user: Path, word: str, meant: str) -> None:
    assert home_in(word) == meant.replace("HOME", str(user))


def test_every_way_to_name_a_folder_knows_the_tilde(
    fssbench: Command, sets: Path, user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate(fssbench, "--data=~/sets", "--output=~/by-option")
    with monkeypatch.context() as patched:
        patched.setenv("FSSBENCH_EVAL_OUTPUT", "~/by-variable")
        evaluate(fssbench, "-d~/sets")
    with monkeypatch.context() as patched:
        patched.setenv("FSSBENCH_HOME", "~/home")
        assert Home.find().path == user / "home"
        evaluate(fssbench, "--data=~/sets")
    assert fssbench("leaderboard", "build", "~/by-option", "--output=~/board.json").code == 0
    names = {path.name for path in user.iterdir()}
    assert names >= {"by-option", "by-variable", "home", "board.json"}
    assert "~" not in names


def test_a_folder_that_is_not_there_is_said_to_be_missing(fssbench: Command, user: Path) -> None:
    for command in (
        ("eval", "-m", "copy-support", "-b", "own", "-d", "nowhere"),
        ("verify", "nowhere"),
        ("leaderboard", "build", "nowhere"),
        ("prepare", "folder", "-s", "nowhere"),
        ("doctor", "nowhere"),
    ):
        ran = fssbench(*command)
        assert ran.code == 2
        assert "there is no folder nowhere" in ran.error
    for command in (("submit", "nowhere"), ("score", "--check", "nowhere")):
        ran = fssbench(*command)
        assert ran.code == 2
        assert "there is no file or folder nowhere" in ran.error


def test_a_file_that_is_not_the_users_is_one_line(
    fssbench: Command, user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", refused)
    ran = fssbench("doctor", user)
    assert ran.code == 2
    assert f"{DESCRIPTION} cannot be used: Permission denied" in ran.error


def leave(folder: Path) -> None:
    """What systems and editors put into every folder below one."""
    for place in [path for path in (folder, *folder.rglob("*")) if path.is_dir()]:
        for path in [path for path in place.iterdir() if path.is_file()]:
            (place / f"._{path.name}").write_bytes(b"\x00\x05\x16\x07")
            shutil.copy(path, place / f"{path.name}~")
        (place / ".DS_Store").write_bytes(b"\x00")
        shutil.copytree(place, folder.parent / "copy")
        (folder.parent / "copy").rename(place / ".ipynb_checkpoints")


def test_a_set_is_sound_among_what_is_left_about(fssbench: Command, sets: Path) -> None:
    leave(sets)
    for place in (sets, sets / "toy-20i", sets / "toy-20i/strict", sets / "toy-20i/strict/fold0"):
        ran = fssbench("verify", place)
        assert ran.code == 0, ran.out
        assert ran.out.startswith("sound")
        assert ran.out.count("\n") == 1
    (sets / "toy-20i/strict/fold0/notes.txt").touch()
    assert "notes.txt: not listed" in fssbench("verify", sets).out


def dead_link(folder: Path) -> None:
    (folder / "old.json").symlink_to("nowhere")


def folder_of_a_files_name(folder: Path) -> None:
    (folder / "x.json").mkdir()


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "x.json")


def circle(folder: Path) -> None:
    (folder / "latest").symlink_to(folder)
    for path in list(folder.glob("*.json")):
        (folder / f"latest-{path.name}").symlink_to(path)


@pytest.mark.parametrize("change", [leave, dead_link, folder_of_a_files_name, pipe, circle])
def test_results_are_found_among_what_is_left_about(
    fssbench: Command, sets: Path, user: Path, change: Callable[[Path], None]
) -> None:
    evaluate(fssbench, "-d", sets, "-o", "results")
    results = user / "results"
    (model,) = (path.parent for path in results.rglob("fold0*.json"))

    def said() -> list[str]:
        commands = (
            ("leaderboard", "build", results, "-o", "board.json"),
            ("score", "--check", results, "-d", sets),
            ("submit", results, "-d", sets, "-o", "archive.tar"),
            ("leaderboard", "verify", "board.json", "-r", results),
        )
        ran = [fssbench(*command) for command in commands]
        assert [one.code for one in ran] == [0] * len(commands), [one.err for one in ran]
        return [one.out for one in ran]

    before = said()
    change(model)
    assert said() == before
    if change is dead_link:
        assert "old.json (a dead link)" in fssbench("leaderboard", "build", results, "-o", "board.json").err


def test_an_archive_packed_again_on_a_mac_is_taken(fssbench: Command, sets: Path, user: Path) -> None:
    evaluate(fssbench, "-d", sets, "-o", "results")
    assert fssbench("submit", "results", "-d", sets, "-o", "archive.tar").code == 0
    with tarfile.open("archive.tar") as packed:
        packed.extractall("unpacked", filter="data")
    leave(user / "unpacked")
    for path in list((user / "unpacked").rglob(".ipynb_checkpoints")) + list((user / "unpacked").rglob("*~")):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    with tarfile.open("again.tar", "w", format=tarfile.GNU_FORMAT) as again:
        for path in sorted((user / "unpacked").rglob("*")):
            if path.is_file():
                again.add(path, path.relative_to(user / "unpacked"))
    ran = fssbench("leaderboard", "add", "again.tar", "--to", "theirs", "-d", sets, "-o", "board.json")
    assert ran.code == 0, ran.out + ran.err
    assert not list((user / "theirs").rglob("._*"))


def test_a_result_saved_with_a_byte_order_mark_is_read(fssbench: Command, sets: Path, user: Path) -> None:
    evaluate(fssbench, "-d", sets, "-o", "results")
    (path,) = (user / "results").rglob("fold0*.json")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert fssbench("score", "--check", "results", "-d", sets).code == 0
    assert fssbench("leaderboard", "build", "results").code == 0
    (user / "options.toml").write_bytes(b"\xef\xbb\xbfsize = 16\r\n")
    evaluate(fssbench, "-d", sets, "-o", "results", "--options", "options.toml")

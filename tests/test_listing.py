"""What counts as a file: one rule for data sets, sets and results."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fssbench.base.errors import SourceError
from fssbench.base.listing import Listing, holds_something, is_litter, list_files, list_folders, remark

LITTER = [
    "._a.png", ".DS_Store", "Thumbs.db", "desktop.ini", "a.png~", "#a.png#", ".a.png.swp", ".ipynb_checkpoints/a.png",
    "__MACOSX/a.png", "sub/.git/a.png", "a.png.partial", "@eaDir/a.png",
]  # fmt: skip


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def pngs(folder: Path, *, below: bool = True) -> Listing:
    return list_files(folder, suffixes=(".png",), below=below, error=SourceError)


def test_files_are_those_of_the_suffix_in_small_letters_and_in_capitals(tmp_path: Path) -> None:
    for name in ("b.png", "a.PNG", "c.jpg", "sub/d.png"):
        touch(tmp_path / name)
    assert pngs(tmp_path).files == (tmp_path / "a.PNG", tmp_path / "b.png", tmp_path / "sub/d.png")
    assert pngs(tmp_path, below=False).files == (tmp_path / "a.PNG", tmp_path / "b.png")
    assert pngs(tmp_path).left_out == ()


@pytest.mark.parametrize("name", LITTER)
def test_what_systems_and_editors_leave_about_does_not_count(tmp_path: Path, name: str) -> None:
    touch(tmp_path / name)
    touch(tmp_path / "a.png")
    assert is_litter(name)
    assert pngs(tmp_path).files == (tmp_path / "a.png",)
    assert [path.name for path in list_folders(tmp_path, error=SourceError)] in ([], ["sub"])


def test_names_that_only_look_like_it_do_count() -> None:
    assert not any(map(is_litter, ("a.png", "a~b.png", "#1", "..", "../a.png", "thumbs.db.png", "~", "a/b/c.json")))


def dead(path: Path) -> None:
    path.symlink_to("nowhere")


def circle(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize(
    ("make", "kind"),
    [(dead, "a dead link"), (circle, "a link that leads in a circle"), (os.mkfifo, "a pipe"), (Path.mkdir, "a folder")],
)
@pytest.mark.parametrize("below", [False, True])
def test_what_is_no_file_is_left_out_and_told(
    tmp_path: Path, make: Callable[[Path], object], kind: str, below: bool
) -> None:
    touch(tmp_path / "a.png")
    make(tmp_path / "b.png")
    found = pngs(tmp_path, below=below)
    assert found == Listing((tmp_path / "a.png",), (f"b.png ({kind})",))
    assert remark(found.left_out) == (f"1 entry left out: b.png ({kind})",)


def test_hidden_files_are_told_and_those_of_systems_are_not(tmp_path: Path) -> None:
    for name in (".a.png", ".ipynb_checkpoints/b.png", "._c.png", ".DS_Store"):
        touch(tmp_path / name)
    assert pngs(tmp_path).left_out == (".a.png (hidden)", ".ipynb_checkpoints (hidden)")


def test_links_are_followed_and_a_folder_is_entered_once(tmp_path: Path) -> None:
    inside, outside = touch(tmp_path / "in/a/b.png"), touch(tmp_path / "out/c.png")
    (tmp_path / "in/0").symlink_to(inside.parent)  # comes before it by name
    (tmp_path / "in/a/up").symlink_to(tmp_path / "in")
    for name in ("x", "y"):
        (tmp_path / "in" / name).symlink_to(outside.parent)
    (tmp_path / "in/d.png").symlink_to(outside)
    names = [path.relative_to(tmp_path / "in").as_posix() for path in pngs(tmp_path / "in").files]
    assert names == ["a/b.png", "d.png", "x/c.png"]


def test_a_folder_that_cannot_be_looked_into_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere cannot be looked into: No such file"):
        pngs(tmp_path / "nowhere")


def test_a_folder_with_nothing_but_a_systems_files_is_empty(tmp_path: Path) -> None:
    touch(tmp_path / ".DS_Store")
    assert not holds_something(tmp_path)
    touch(tmp_path / ".git/config")
    assert holds_something(tmp_path)

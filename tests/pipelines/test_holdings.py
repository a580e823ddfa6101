"""What is wanted in a folder, what of it is there, and how the rest gets there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from downloads import BODY, HURRY, holding, left, remote, zipped
from file_server import FileServer

from fssbench.base.errors import SourceError, StorageError
from fssbench.base.locking import exclusive
from fssbench.pipelines.transport.download import Holding, obtain, read_catalogue, require_by_hand, require_space


@pytest.fixture
def images(server: FileServer, tmp_path: Path) -> Holding:
    """An archive of two images on the server, wanted in the folder ``raw``."""
    path = zipped(tmp_path / "made.zip", {"val2014/1.jpg": BODY[:70_000], "val2014/2.jpg": BODY[70_000:]})
    server.files["val2014.zip"] = path.read_bytes()
    path.unlink()
    return holding(server, tmp_path / "raw")


def test_an_archive_becomes_what_it_holds(images: Holding) -> None:
    obtain(images, patience=HURRY)
    assert images.is_there
    assert left(images.folder) == {"val2014/1.jpg", "val2014/2.jpg"}
    assert [path.name for path in images.folder.iterdir()] == ["val2014"]


@pytest.mark.parametrize("place", ["val2014", "images/val2014"])
def test_what_is_there_is_left_alone(server: FileServer, images: Holding, place: str) -> None:
    path = images.folder / place / "mine.jpg"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mine")
    obtain(images, patience=HURRY)
    assert server.asked == []
    assert left(images.folder) == {f"{place}/mine.jpg"}


def test_an_empty_folder_is_not_taken_for_data(images: Holding) -> None:
    (images.folder / "val2014").mkdir(parents=True)
    obtain(images, patience=HURRY)
    assert left(images.folder) == {"val2014/1.jpg", "val2014/2.jpg"}


def test_files_beside_what_is_unpacked_are_left_alone(server: FileServer, images: Holding) -> None:
    """Where the archive's folder exists already, only what is not there comes into it."""
    wanted = holding(server, images.folder, there=["val2014/1.jpg"])
    (images.folder / "val2014").mkdir(parents=True)
    (images.folder / "val2014/2.jpg").write_bytes(b"mine")
    obtain(wanted, patience=HURRY)
    assert (images.folder / "val2014/1.jpg").read_bytes() == BODY[:70_000]
    assert (images.folder / "val2014/2.jpg").read_bytes() == b"mine"


def test_what_shows_that_it_is_there_comes_last(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a run killed while it moves files is never taken for a finished one."""
    names = ["a.json", "instances.json", "z.json"]
    server.files["val2014.zip"] = zipped(tmp_path / "a", {f"notes/{name}": b"{}" for name in names}).read_bytes()
    one = holding(server, tmp_path / "raw", there=["notes/instances.json"])
    (one.folder / "notes").mkdir(parents=True)
    moved: list[str] = []
    rename = Path.rename

    def record(path: Path, target: Path) -> Path:
        moved.append(path.name)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", record)
    obtain(one, patience=HURRY)
    assert (len(moved), moved[-1]) == (3, "instances.json")


def test_an_archive_that_someone_put_there_is_used_and_kept(server: FileServer, images: Holding) -> None:
    images.folder.mkdir()
    (images.folder / "val2014.zip").write_bytes(server.files["val2014.zip"])
    obtain(images, patience=HURRY)
    assert server.asked == []
    assert left(images.folder) == {"val2014.zip", "val2014/1.jpg", "val2014/2.jpg"}


def test_a_damaged_archive_that_someone_put_there_is_named_and_kept(server: FileServer, images: Holding) -> None:
    images.folder.mkdir()
    (images.folder / "val2014.zip").write_bytes(server.files["val2014.zip"][:-1])
    with pytest.raises(SourceError, match=r"raw/val2014.zip has [\d,]+ bytes, expected [\d,]+; remove it, and"):
        obtain(images, patience=HURRY)
    assert left(images.folder) == {"val2014.zip"}


def test_an_archive_of_something_else_leaves_nothing(server: FileServer, images: Holding) -> None:
    with pytest.raises(SourceError, match="holds no train2014"):
        obtain(holding(server, images.folder, there=["train2014"]), patience=HURRY)
    assert list(images.folder.iterdir()) == []


def test_a_run_killed_while_unpacking_does_not_fetch_again(
    server: FileServer, images: Holding, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fssbench.pipelines.transport.download import holdings

    def killed(*_: object, **__: object) -> None:
        (images.folder / "download.partial/unpacked/val2014").mkdir(parents=True)
        (images.folder / "download.partial/unpacked/val2014/1.jpg").write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(holdings, "unpack", killed)
        patched.setattr(shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            obtain(images, patience=HURRY)
    assert not images.is_there
    obtain(images, patience=HURRY)
    assert len(server.asked) == 1
    assert (images.folder / "val2014/1.jpg").read_bytes() == BODY[:70_000]
    assert left(images.folder) == {"val2014/1.jpg", "val2014/2.jpg"}


def test_a_plain_file_goes_to_its_place(server: FileServer, tmp_path: Path) -> None:
    server.files["coco/val/fold0.pkl"] = BODY
    one = Holding(file=remote(server, "coco/val/fold0.pkl"), folder=tmp_path / "splits")
    obtain(one, patience=HURRY)
    assert one.is_there
    assert left(tmp_path) == {"splits/coco/val/fold0.pkl"}


def test_two_runs_do_not_fetch_into_one_folder(images: Holding) -> None:
    """And the one that is sent away does not open the door for a third."""
    with exclusive(images.folder / "download"):
        for _ in range(2):
            with pytest.raises(StorageError, match=r"another run is downloading to .*raw/download .*; wait for it"):
                obtain(images, patience=HURRY)


def test_too_little_space_is_said_before_anything_is_fetched(
    server: FileServer, images: Holding, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An archive and what it unpacks to lie there together; what was received before needs no more space."""
    size = len(server.files["val2014.zip"])

    def free(n: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, n))

    free(2 * size)
    require_space([images])
    free(2 * size - 1)
    with pytest.raises(StorageError, match=f"missing takes {2 * size:,} bytes, and .* has {2 * size - 1:,} free"):
        require_space([images])
    (images.folder / "download.partial").mkdir(parents=True)
    (images.folder / "download.partial/val2014.zip.partial").write_bytes(b"x")
    require_space([images])


def test_what_people_have_to_fetch_is_said_with_its_address(tmp_path: Path) -> None:
    (file,) = read_catalogue().raw["fss"]
    one = Holding(file=file, folder=tmp_path / "fss")
    with pytest.raises(SourceError, match=r"by hand, from https://drive\.google\.com/\S+; unpack it into .*fss and"):
        require_by_hand([one])
    (tmp_path / "fss/abacus").mkdir(parents=True)
    require_by_hand([one])

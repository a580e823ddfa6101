"""Archives, good ones and attacks."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from downloads import (
    BODY,
    left,
    tarred,
    zipped,
)

from fssbench.base.errors import SourceError, StorageError
from fssbench.pipelines.transport.download.unpack import unpack


def _link(info: zipfile.ZipInfo) -> None:
    info.external_attr = 0o120777 << 16


ESCAPES = ["../out.txt", "/tmp/fssbench-out.txt", "a/../../out.txt", "..", "a\\..\\..\\out.txt"]


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tgz"])
def test_archives_of_all_kinds_are_unpacked(tmp_path: Path, name: str) -> None:
    members = {"top.txt": b"1", "val2014/a.jpg": b"22", "val2014/deep/b.jpg": b"333"}
    path = (zipped if name.endswith("zip") else tarred)(tmp_path / name, members)
    said: list[str] = []
    unpack(path, tmp_path / "out", say=said.append)
    assert {name: (tmp_path / "out" / name).read_bytes() for name in left(tmp_path / "out")} == members
    assert said[-1] == "unpacked 100 %"


@pytest.mark.parametrize("name", ESCAPES)
@pytest.mark.parametrize("make", [zipped, tarred])
def test_nothing_leaves_the_folder(tmp_path: Path, make: Callable[..., Path], name: str) -> None:
    path = make(tmp_path / f"a.{make.__name__[:3]}", {"good.txt": b"1", name: b"bad"})
    with pytest.raises(SourceError, match=r"holds '.*out.txt|holds '\.\.', which leads out of its folder; nothing of"):
        unpack(path, tmp_path / "in" / "side")
    assert left(tmp_path) == {path.name}, "not even what came before it is written"


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_a_tar_with_links_or_devices_is_refused(tmp_path: Path, kind: bytes) -> None:
    path = tarred(tmp_path / "a.tar", {"link": b""}, kind=kind, target="/etc")
    with pytest.raises(SourceError, match="holds 'link', which is a link or a device"):
        unpack(path, tmp_path / "out")
    assert left(tmp_path) == {"a.tar"}


def test_a_zip_with_a_link_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"link": b"/etc/passwd"}, edit=_link)
    with pytest.raises(SourceError, match="holds 'link', which is a link or a device"):
        unpack(path, tmp_path / "out")


def test_a_zip_that_is_encrypted_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"secret": b"1"})
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(raw)
    with pytest.raises(SourceError, match="holds 'secret', which is encrypted"):
        unpack(path, tmp_path / "out")


@pytest.mark.parametrize("make", [zipped, tarred])
def test_a_file_and_a_folder_of_one_name_get_one_line(tmp_path: Path, make: Callable[..., Path]) -> None:
    path = make(tmp_path / f"a.{make.__name__[:3]}", {"a/b": b"1", "a": b"2"})
    with pytest.raises(SourceError, match=r"cannot be unpacked: .*Is a directory"):
        unpack(path, tmp_path / "out")


@pytest.mark.parametrize("make", [zipped, tarred])
def test_a_bomb_is_refused_before_it_is_inflated(tmp_path: Path, make: Callable[..., Path]) -> None:
    path = make(tmp_path / ("a.zip" if make is zipped else "a.tgz"), {"bomb": bytes(300 << 20)})
    assert path.stat().st_size < 1 << 20
    with pytest.raises(SourceError, match="claims to unpack to more than 268,435,456 bytes"):
        unpack(path, tmp_path / "out")
    assert left(tmp_path) == {path.name}


def test_a_zip_that_lies_about_a_size_is_not_believed(tmp_path: Path) -> None:
    """The sizes in the list at its end are those that are checked, and no more than they say is written."""
    path = zipped(tmp_path / "a.zip", {"a": bytes(100_000)})
    raw = bytearray(path.read_bytes())
    at = raw.index(b"PK\x01\x02") + 24
    assert int.from_bytes(raw[at : at + 4], "little") == 100_000
    raw[at : at + 4] = (10).to_bytes(4, "little")
    path.write_bytes(raw)
    with pytest.raises(SourceError, match="cannot be unpacked: Bad CRC-32"):
        unpack(path, tmp_path / "out")
    assert (tmp_path / "out" / "a").stat().st_size <= 10


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tgz"])
@pytest.mark.parametrize("keep", [0, 20, 300])
def test_damaged_archives_get_one_line(tmp_path: Path, name: str, keep: int) -> None:
    path = (zipped if name.endswith("zip") else tarred)(tmp_path / name, {"a": BODY[:5000]})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(SourceError, match=rf"^{name} cannot be unpacked: .*; nothing of it was kept.*\Z"):
        unpack(path, tmp_path / "out")


def test_a_header_that_tarfile_cannot_read_gets_one_line(tmp_path: Path) -> None:
    info = tarfile.TarInfo("a")
    info.pax_headers = {"GNU.sparse.size": "x"}
    path = tmp_path / "a.tar"
    path.write_bytes(info.tobuf(tarfile.PAX_FORMAT) + b"\0" * 1024)
    with pytest.raises(SourceError, match=r"^a\.tar cannot be unpacked: .*; nothing of it was kept.*\Z"):
        unpack(path, tmp_path / "out")


def test_an_archive_larger_than_the_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "a.zip", {"a": BODY})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 299_999))
    with pytest.raises(StorageError, match=r"a.zip unpacks to 300,000 bytes, and .* has 299,999 free; make room"):
        unpack(path, tmp_path / "out")

"""Files from a server on this machine that stalls, lies and breaks off; nothing here needs a network."""

from __future__ import annotations

import hashlib
import resource
from pathlib import Path
from typing import NamedTuple

import pytest
from downloads import BODY, HURRY, left, pinned, remote
from file_server import FileServer, Manner, file_server
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fssbench.base.errors import SourceError, StorageError
from fssbench.pipelines.transport.download import Patience
from fssbench.pipelines.transport.download.transfer import fetch


def test_a_file_appears_whole_and_nothing_else_stays(server: FileServer, tmp_path: Path) -> None:
    received: list[int] = []
    fetch(pinned(server), tmp_path / "data.bin", advance=received.append, patience=HURRY)
    assert (tmp_path / "data.bin").read_bytes() == BODY
    assert left(tmp_path) == {"data.bin"}
    assert sum(received) == len(BODY)


class Case(NamedTuple):
    manners: list[Manner]
    ranges: list[str | None]


@pytest.mark.parametrize(
    "case",
    [
        Case([Manner(cut=100_000)], [None, "bytes=100000-"]),
        Case([Manner(stall=100_000)], [None, "bytes=100000-"]),
        Case([Manner(stall=0)], [None, None]),
        Case([Manner(cut=100_000), Manner(cut=1)], [None, "bytes=100000-", "bytes=100001-"]),
        Case([Manner(cut=100_000), Manner(ranges=False)], [None, "bytes=100000-"]),
        Case([Manner(cut=100_000), Manner(shift=-7)], [None, "bytes=100000-", None]),
        Case([Manner(cut=100_000), Manner(status=416)], [None, "bytes=100000-", None]),
        Case([Manner(cut=100_000), Manner(status=503), Manner(status=429)], [None, *["bytes=100000-"] * 3]),
        Case([Manner(cut=100_000, validators=False), Manner(validators=False)], [None, "bytes=100000-"]),
        Case([Manner(cut=100_000, validators=False, lengths=False)], [None, None]),
        Case([Manner(lengths=False)], [None]),
        Case([Manner(status=500)], [None, None]),
    ],
)
def test_what_a_server_does_wrong_once_is_mended(server: FileServer, tmp_path: Path, case: Case) -> None:
    server.manners = list(case.manners)
    received: list[int] = []
    fetch(pinned(server), tmp_path / "data.bin", advance=received.append, patience=HURRY)
    assert (tmp_path / "data.bin").read_bytes() == BODY
    assert server.ranges == case.ranges
    assert sum(received) == len(BODY)
    assert left(tmp_path) == {"data.bin"}


@given(
    manners=st.lists(
        st.builds(
            Manner,
            cut=st.integers(0, len(BODY)),
            ranges=st.booleans(),
            validators=st.booleans(),
            lengths=st.booleans(),
            shift=st.sampled_from([0, 0, -1, 1]),
        ),
        max_size=4,
    )
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_however_it_breaks_off_the_bytes_are_the_servers(server: FileServer, manners: list[Manner]) -> None:
    """Law: whatever connections do before one goes well, the file is that on the server, or there is none."""
    import tempfile

    server.manners, server.asked[:] = list(manners), []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "data.bin")
        fetch(pinned(server), path, patience=Patience(silence=5, attempts=9, pause=0))
        assert path.read_bytes() == BODY


def test_a_file_that_changed_on_the_way_is_fetched_anew(server: FileServer, tmp_path: Path) -> None:
    """Two halves of two versions never make a file; a server that heeds If-Range has to be asked only once."""
    for heeds in (True, False):
        path = tmp_path / f"{heeds}.bin"
        server.files["data.bin"], server.version = BODY, "1"
        server.manners = [Manner(cut=100_000), Manner(status=404)]
        with pytest.raises(SourceError):
            fetch(remote(server), path, patience=HURRY)
        server.files["data.bin"], server.version = BODY[::-1], "2"
        server.manners, server.asked[:] = [Manner(heed_if_range=heeds)], []
        fetch(remote(server), path, patience=HURRY)
        assert server.ranges == (["bytes=100000-"] if heeds else ["bytes=100000-", None])
        assert path.read_bytes() == BODY[::-1]


def test_what_came_from_another_address_is_not_gone_on_with(server: FileServer, tmp_path: Path) -> None:
    server.files["other.bin"] = BODY[::-1]
    server.always = Manner(cut=100_000, ranges=False)
    with pytest.raises(SourceError):
        fetch(remote(server), tmp_path / "data.bin", patience=HURRY)
    server.always = Manner()
    fetch(remote(server, "other.bin"), tmp_path / "data.bin", patience=HURRY)
    assert (tmp_path / "data.bin").read_bytes() == BODY[::-1]


@pytest.mark.parametrize(
    ("manner", "message"),
    [
        (Manner(stall=100_000, ranges=False), r"the server has stopped sending \(3 attempts brought nothing new\)"),
        (
            Manner(cut=100_000, ranges=False),
            r"the server stopped after 100,000 of 300,000 bytes \(3 attempts brought nothing new\)",
        ),
        (Manner(longer=50), r"stopped after|answered 416"),
        (Manner(status=503), r"the server answered 503 Service Unavailable \(3 attempts brought nothing new\)"),
    ],
)
def test_a_server_that_keeps_failing_gets_one_line(
    server: FileServer, tmp_path: Path, manner: Manner, message: str
) -> None:
    server.always = manner
    with pytest.raises(SourceError, match=message):
        fetch(remote(server), tmp_path / "data.bin", patience=HURRY)
    assert not (tmp_path / "data.bin").exists()


def test_after_a_failure_the_next_run_goes_on(server: FileServer, tmp_path: Path) -> None:
    server.manners = [Manner(cut=100_000), *[Manner(status=503)] * 3]
    with pytest.raises(
        SourceError, match=r"503 .*; run the same command later; it goes on after the 100,000 bytes received"
    ):
        fetch(pinned(server), tmp_path / "data.bin", patience=HURRY)
    assert left(tmp_path) == {"data.bin.partial", "data.bin.origin.json"}
    fetch(pinned(server), tmp_path / "data.bin", patience=HURRY)
    assert server.ranges[-1] == "bytes=100000-"
    assert (tmp_path / "data.bin").read_bytes() == BODY


@pytest.mark.parametrize(
    ("facts", "manner", "message"),
    [
        ({"bytes": 299_999}, Manner(), r"data.bin has 300,000 bytes, expected 299,999; its publisher has changed it"),
        ({"bytes": 299_999}, Manner(lengths=False), "sends more than the 299,999 bytes expected"),
        ({"bytes": 300_001}, Manner(), "has 300,000 bytes, expected 300,001"),
        (
            {"sha256": "0" * 64},
            Manner(),
            f"has the SHA-256 {hashlib.sha256(BODY).hexdigest()}, expected 0",
        ),
        ({"md5": "0" * 32}, Manner(), f"has the MD5 {hashlib.md5(BODY).hexdigest()}, expected 0"),
        ({"sha256": hashlib.sha256(BODY).hexdigest()}, Manner(longer=-9), "has the SHA-256 .*, expected"),
        ({}, Manner(status=404), "data.bin answers 404 Not Found; the address may have changed"),
        ({}, Manner(redirect="ftp://127.0.0.1/data.bin"), "leads to ftp://127.0.0.1/data.bin, which is not http"),
        ({}, Manner(redirect="file:///etc/passwd"), "answers 302 .*file:///etc/passwd' is not allowed"),
    ],
)
def test_what_is_not_the_file_is_not_kept(
    server: FileServer, tmp_path: Path, facts: dict[str, object], manner: Manner, message: str
) -> None:
    server.always = manner
    with pytest.raises(SourceError, match=message):
        fetch(remote(server, "data.bin", **facts), tmp_path / "data.bin", patience=HURRY)
    assert left(tmp_path) == set()
    assert len(server.asked) == 1, "another attempt cannot fix it"


def test_another_file_in_its_place_does_not_cost_what_was_received(server: FileServer, tmp_path: Path) -> None:
    """As when a network wants a login and answers every request with that page."""
    server.manners = [Manner(cut=100_000), Manner(redirect=server.url("login")), Manner(ranges=False)]
    server.files["login"] = b"<html>"
    with pytest.raises(SourceError, match="has 6 bytes, expected 300,000"):
        fetch(pinned(server), tmp_path / "data.bin", patience=HURRY)
    assert (tmp_path / "data.bin.partial").stat().st_size == 100_000


def test_redirects_to_http_are_followed(server: FileServer, tmp_path: Path) -> None:
    server.manners = [Manner(redirect=server.url("data.bin"))]
    fetch(pinned(server), tmp_path / "data.bin", patience=HURRY)
    assert (tmp_path / "data.bin").read_bytes() == BODY


def test_a_proxy_that_is_not_spoken_gets_one_line(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1")
    monkeypatch.delenv("no_proxy")
    with pytest.raises(SourceError, match="cannot be fetched: unknown url type: socks5"):
        fetch(pinned(server), tmp_path / "data.bin", patience=HURRY)
    assert server.asked == []


def test_nobody_there_gets_one_line(tmp_path: Path) -> None:
    with file_server() as gone:
        pass
    with pytest.raises(SourceError, match=r"cannot be fetched: Connection refused \(3 attempts brought nothing new\)"):
        fetch(remote(gone), tmp_path / "data.bin", patience=HURRY)


def test_the_disk_that_is_full_gets_one_line_and_what_was_received_is_kept(server: FileServer, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(StorageError, match=r"cannot write .*data.bin.partial: the file size limit is reached"):
            fetch(pinned(server), tmp_path / "data.bin", patience=HURRY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert left(tmp_path) == {"data.bin.partial", "data.bin.origin.json"}
    fetch(pinned(server), tmp_path / "data.bin", patience=HURRY)
    assert (tmp_path / "data.bin").read_bytes() == BODY
    assert server.ranges == [None, "bytes=100000-"]

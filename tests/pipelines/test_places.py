"""Sets that lie elsewhere: the same episodes, whatever the way to them does; and what it may not do."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from command import Command
from downloads import HURRY
from file_server import FileServer, Manner
from hypothesis import given
from hypothesis import strategies as st

from fssbench.base.errors import EpisodeSetError, FssbenchError, UsageError
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet, benchmark_below, find_sets, locate_set
from fssbench.pipelines.episode_sets.stream import as_frame, stream
from fssbench.pipelines.transport import Remote, find_place
from fssbench.pipelines.transport.ahead import read_ahead
from fssbench.pipelines.transport.cache import Cache
from fssbench.pipelines.transport.http import Web
from fssbench.pipelines.transport.storage import Storage
from fssbench.schemas.manifest import FileRecord

HANGS = 300
"""Seconds after which what is waited for never comes; nothing is measured by them."""
SET = "toy-20i/strict/fold0"
Episodes = list[tuple[int, bytes, tuple[bytes, ...]]]


@pytest.fixture
def hosted(server: FileServer, toy_set: EpisodeSet) -> FileServer:
    """A web server with the toy's set below its root."""
    for file in toy_set.path.iterdir():
        server.files[f"{SET}/{file.name}"] = file.read_bytes()
    return server


def at(server: FileServer, *, cache: Cache | None = None) -> Remote:
    """The server's root, asked without patience."""
    return Remote(Web(server.address), patience=HURRY, cache=cache)


def streamed(episode_set: EpisodeSet, *, episodes: int | None = 12) -> Episodes:
    """What comes out: indices, pixels, masks."""
    return [
        (s.index, s.query.image.tobytes(), tuple(f.mask.tobytes() for f in s.supports))
        for s in stream(episode_set, shot=1, seed=0, transform=as_frame, episodes=episodes)
    ]


def asked(server: FileServer) -> list[str]:
    """Names of the files asked for, in order."""
    return [path.rpartition("/")[2] for path, _ in server.asked]


# --- the same episodes ----------------------------------------------------------------------------------


def test_a_set_streams_alike_from_everywhere(hosted: FileServer, toy_set: EpisodeSet) -> None:
    """A web server, an object store and a command give what the disk gives."""
    there = streamed(toy_set)
    memory = fsspec.filesystem("memory")
    for name, data in hosted.files.items():
        memory.pipe_file(f"/bucket/{name}", data)
    root = toy_set.path.parents[2]
    for text in (hosted.address, "memory://bucket", f"pipe:cat {root}/{{}}"):
        place = find_place(text)
        assert isinstance(place, Remote)
        found = locate_set(place.uncached(), benchmark=toy_set.benchmark, protocol="strict", fold=0)
        assert str(found.place) == text.replace("{}", SET) if "{}" in text else f"{text}/{SET}"
        assert streamed(found) == there


def test_evaluation_over_http_leaves_the_same_counts(
    hosted: FileServer, toy_set: EpisodeSet, tmp_path: Path, fssbench: Command
) -> None:
    """To the byte; and `score --check` believes either result against either copy of the set."""
    command = ["eval", "-m", "copy-support", "-b", "toy", "-f", 0, "--limit", 12, "--save-predictions"]
    for name, place in (("here", toy_set.path), ("there", hosted.address)):
        ran = fssbench(*command, "-d", place, "-o", tmp_path / name)
        assert ran.code == 0, ran.err
    here, there = (
        {p.name: p.read_bytes() for p in (tmp_path / name).rglob("*") if p.suffix in (".parquet", ".tar")}
        for name in ("here", "there")
    )
    assert here == there
    assert len(here) == 2
    assert fssbench("score", "--check", tmp_path / "here", "-d", hosted.address).code == 0
    (result,) = (tmp_path / "there").rglob("*seed0.json")
    assert json.loads(result.read_text())["command"]["resolved"]["data"] == hosted.address


def test_every_command_that_takes_a_set_takes_its_address(
    hosted: FileServer, tmp_path: Path, fssbench: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    url = f"{hosted.address}/{SET}"
    assert fssbench("verify", hosted.address).out.startswith(f"sound {url}: ")
    assert "toy-20i strict fold 0" in fssbench("info", url, "--brief").out
    assert fssbench("info", f"{url}/manifest.json", "--brief").code == 0
    assert f"  {url} " in fssbench("list", "sets", "--data", hosted.address).out
    assert fssbench("show", hosted.address, "-n", 2, "-o", "two.png").code == 0
    assert (tmp_path / "two.png").is_file()
    monkeypatch.setenv("FSSBENCH_EVAL_DATA", url)
    assert fssbench("eval", "-m", "all-foreground", "-b", "toy", "-f", 0, "--limit", 2, "-o", "r").code == 0


def test_a_server_is_asked_for_a_manifest_once(hosted: FileServer) -> None:
    root = at(hosted)
    assert [str(place) for place in find_sets(root)] == [f"{hosted.address}/{SET}"]
    before = len(hosted.asked)
    assert len(find_sets(root)) == 1
    locate_set(root, benchmark=benchmark_below(root, "toy"), protocol="strict", fold=0)
    assert len(hosted.asked) == before


def test_a_benchmark_of_ones_own_is_found_by_its_name(hosted: FileServer) -> None:
    """A server cannot list what it has, but knows what it is asked for."""
    manifest = json.loads(hosted.files[f"{SET}/manifest.json"])
    classes = [pool["name"] for pool in manifest["classes"]]
    manifest |= {"benchmark": "plants", "fold": 0}
    manifest["definition"] = {"title": "Plants", "classes": classes, "folds": [list(range(len(classes)))]}
    hosted.files["plants/strict/fold0/manifest.json"] = json.dumps(manifest).encode()
    assert benchmark_below(at(hosted), "plants").title == "Plants"
    with pytest.raises(UsageError, match="there is no benchmark 'plant'"):
        benchmark_below(at(hosted), "plant")


# --- a bad connection -----------------------------------------------------------------------------------

BAD = {
    "busy twice": [Manner(status=503), Manner(status=429)],
    "cut again and again": [Manner(cut=40_000)] * 4,
    "cut, and no way to go on": [Manner(cut=40_000, validators=False), Manner(cut=90_000, ranges=False)],
    "silent in the middle": [Manner(stall=40_000)],
    "shorter than it says": [Manner(longer=7), Manner(longer=7)],
    "another place than asked for": [Manner(cut=40_000), Manner(shift=11)],
}


@pytest.mark.parametrize("manners", BAD.values(), ids=BAD.keys())
def test_a_bad_connection_changes_nothing(hosted: FileServer, toy_set: EpisodeSet, manners: list[Manner]) -> None:
    place = at(hosted) / SET
    shard = max(toy_set.manifest.shards, key=lambda shard: shard.bytes)
    hosted.manners += manners
    assert place.read_checked(shard) == (toy_set.path / shard.name).read_bytes()
    assert len(hosted.asked) == len(manners) + 1


def test_what_was_received_is_not_asked_for_again(hosted: FileServer, toy_set: EpisodeSet) -> None:
    shard = max(toy_set.manifest.shards, key=lambda shard: shard.bytes)
    hosted.manners += [Manner(cut=65_536), Manner(cut=65_536)]
    (at(hosted) / SET).read_checked(shard)
    first, *rest = hosted.ranges
    assert first is None
    starts = [int(str(text).removeprefix("bytes=").removesuffix("-")) for text in rest]
    assert 0 < starts[0] < starts[1]


def test_wrong_bytes_are_asked_for_once_more(hosted: FileServer, toy_set: EpisodeSet) -> None:
    """Something on the way may be to blame; twice the same is the server's doing."""
    shard = toy_set.shards("images")[0]
    name = f"{SET}/{shard.name}"
    right, place = hosted.files[name], at(hosted) / SET

    class Once(dict[str, bytes]):
        def get(self, key: str, default: object = None) -> bytes:
            return right if len(hosted.asked) > 1 else wrong

    wrong = right[:-1] + b"x"
    hosted.files = Once(hosted.files)
    assert place.read_checked(shard) == right
    hosted.files = {name: wrong}
    with pytest.raises(EpisodeSetError, match=rf"{shard.name} is damaged: its SHA-256 is .*, in two attempts"):
        place.read_checked(shard)
    hosted.files = {name: right[:-5]}
    with pytest.raises(EpisodeSetError, match=r"has [\d,]+ bytes, the manifest says [\d,]+, in two attempts"):
        place.read_checked(shard)


@pytest.mark.parametrize(
    ("manner", "message", "requests"),
    [
        (
            Manner(status=503),
            r"503 Service Unavailable \(3 attempts brought nothing new\); check the address and the connection",
            3,
        ),
        (Manner(cut=0), r"the server stopped after 0 of [\d,]+ bytes \(3 attempts brought nothing new\)", 3),
        (Manner(status=401), r"the server answered 401 Unauthorized; check the address", 1),
        (Manner(status=403), r"is not an episode set: it has no manifest.json: the server answered 403 Forbidden", 1),
        (
            Manner(redirect="file:///etc/passwd"),
            r"302 Found .* 'file:///etc/passwd' is not allowed; check",
            1,
        ),
    ],
)
def test_what_cannot_be_mended_is_said_in_one_line(
    hosted: FileServer, manner: Manner, message: str, requests: int
) -> None:
    """The address, the cause, and how often it was tried; what no attempt can mend is tried once."""
    hosted.always = manner
    with pytest.raises(EpisodeSetError, match=message) as refused:
        EpisodeSet.open(at(hosted) / SET)
    assert f"{hosted.address}/{SET}" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(hosted.asked) == requests


def test_a_shard_that_fails_in_the_middle_stops_the_run_with_its_name(hosted: FileServer) -> None:
    """What came before it is used; nothing of it is."""
    found = EpisodeSet.open(at(hosted) / SET)
    last = found.shards("images")[-1]
    del hosted.files[f"{SET}/{last.name}"]
    running = stream(found, shot=1, seed=0, transform=as_frame)
    assert {next(running).episode.class_id for _ in range(10)} <= {0, 4, 8, 12, 16}
    with pytest.raises(EpisodeSetError, match=rf"{last.name} is missing: the server answered 404"):
        list(running)


def test_verify_lists_what_is_wrong_elsewhere(hosted: FileServer, toy_set: EpisodeSet, fssbench: Command) -> None:
    """What was fetched while it was right does not hide what is wrong now."""
    assert fssbench("info", f"{hosted.address}/{SET}").code == 0  # fills the cache
    shards = toy_set.manifest.shards
    hosted.files[f"{SET}/{shards[0].name}"] = b"x" * shards[0].bytes
    del hosted.files[f"{SET}/{shards[-1].name}"]
    ran = fssbench("verify", hosted.address)
    assert ran.code == 2
    assert f"{shards[0].name} is damaged: its SHA-256 is" in ran.out
    assert f"{shards[-1].name} is missing: the server answered 404" in ran.out


# --- ahead ----------------------------------------------------------------------------------------------


@given(st.lists(st.integers(), max_size=30), st.integers(0, 5))
def test_reading_ahead_changes_neither_order_nor_number(things: list[int], ahead: int) -> None:
    assert list(read_ahead(things, lambda n: 2 * n, ahead=ahead)) == [2 * n for n in things]


def test_the_next_are_read_while_one_is_used_and_no_more_than_allowed() -> None:
    begun: list[int] = []
    third = threading.Event()

    def read(n: int) -> int:
        begun.append(n)
        if n == 2:
            third.set()
        return n

    reading = read_ahead(range(10), read, ahead=2)
    assert next(reading) == 0
    assert third.wait(HANGS), "nobody has asked for 2 yet, but it is read"
    assert max(begun) == 2
    assert list(reading) == list(range(1, 10))


def test_an_error_comes_in_its_turn() -> None:
    def read(n: int) -> float:
        return 6 / n

    reading = read_ahead([3, 2, 0, 1], read)
    assert [next(reading), next(reading)] == [2, 3]
    with pytest.raises(ZeroDivisionError):
        next(reading)


def test_whoever_stops_waits_for_nobody() -> None:
    never, over = threading.Event(), []

    def read(n: int) -> int:
        if n:
            never.wait(HANGS)
            over.append(n)
        return n

    reading = read_ahead(range(5), read)
    assert next(reading) == 0
    assert isinstance(reading, Iterator)
    reading.close()  # type: ignore[attr-defined]
    assert not over, "whoever is still reading was not waited for"
    never.set()


def test_shards_travel_while_others_are_used(hosted: FileServer) -> None:
    """With one in use, the server has been asked for the next two; the last one not yet."""
    found = EpisodeSet.open(at(hosted) / SET)
    names = [shard.name for shard in found.shards("images")]
    assert len(names) >= 4
    running = stream(found, shot=1, seed=0, transform=as_frame)
    next(running)
    deadline = time.monotonic() + HANGS
    while len(set(names) & set(asked(hosted))) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [name for name in names if name in asked(hosted)] == names[:3]
    running.close()  # type: ignore[attr-defined]


# --- the cache ------------------------------------------------------------------------------------------


def test_what_was_fetched_is_not_fetched_again(hosted: FileServer, toy_set: EpisodeSet, tmp_path: Path) -> None:
    cache = Cache(folder=tmp_path / "cache", spare=0)
    there = streamed(toy_set)
    assert streamed(EpisodeSet.open(at(hosted, cache=cache) / SET)) == there
    hosted.asked.clear()
    assert streamed(EpisodeSet.open(at(hosted, cache=cache) / SET)) == there
    assert asked(hosted) == ["manifest.json"]
    for path in cache.folder.iterdir():
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert streamed(EpisodeSet.open(at(hosted, cache=cache) / SET)) == there, "damaged files are fetched anew"


def record(data: bytes) -> FileRecord:
    from fssbench.base.files import sha256_bytes

    return FileRecord(name="x", sha256=sha256_bytes(data), bytes=len(data))


def test_the_cache_lets_go_of_what_was_used_longest_ago(tmp_path: Path) -> None:
    cache = Cache(folder=tmp_path, limit=250, spare=0)
    ones = [bytes([n]) * 100 for n in range(3)]
    for n, data in enumerate(ones[:2]):
        cache.put(record(data), data)
        os.utime(tmp_path / record(data).sha256, (n, n))
    assert cache.get(record(ones[0])) == ones[0]  # used now: the other is the older
    cache.put(record(ones[2]), ones[2])
    assert [cache.get(record(data)) for data in ones] == [ones[0], None, ones[2]]
    cache.put(record(b"x" * 251), b"x" * 251)
    assert cache.get(record(b"x" * 251)) is None, "what is larger than all there may be is not kept"


def test_a_cache_that_cannot_be_written_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    """A full disk, or a file where the folder should be, stops nobody."""
    (tmp_path / "file").write_text("in the way")
    for cache in (Cache(folder=tmp_path / "file"), Cache(folder=tmp_path / "full", spare=1)):
        cache.put(record(b"data"), b"data")
        assert cache.get(record(b"data")) is None
    assert not list((tmp_path / "full").iterdir())


def test_a_file_that_vanishes_while_room_is_made_costs_nothing(tmp_path: Path) -> None:
    """Another thread gives its partial file a name between the listing and the look at it: a dead link is one too."""
    (tmp_path / "gone.partial").symlink_to("nowhere")
    cache = Cache(folder=tmp_path, spare=0)
    cache.put(record(b"data"), b"data")
    assert cache.get(record(b"data")) == b"data"


def test_where_the_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Cache.find() == Cache(folder=tmp_path / "home" / "shards")
    monkeypatch.setenv("FSSBENCH_SHARD_CACHE", str(tmp_path / "fast"))
    assert Cache.find() == Cache(folder=tmp_path / "fast")
    monkeypatch.setenv("FSSBENCH_SHARD_CACHE", "none")
    assert Cache.find() is None


# --- addresses and commands -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("http:/host/sets", "'http:/host/sets' is not an address; write two slashes"),
        ("s3:bucket", "'s3:bucket' is not an address; write two slashes"),
        ("https://", "https:// names no host"),
        ("htps://host/sets", r"an unknown kind of address: htps; did you mean 'https'\?"),
        ("https://host/sets?token=1", "https://host/sets must be an address alone; leave out"),
        ("https://me:secret@host/sets", "must be an address alone; leave out"),
        ("pipe:ssh host cat /sets/", "does not say where a file's name goes; write {} in its place"),
        ("pipe:", "does not say where a file's name goes"),
    ],
)
def test_mistyped_addresses_are_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find_place(text)


def test_folders_stay_folders(tmp_path: Path) -> None:
    for text in ("sets", "./a:b/c", "/x/y"):
        assert find_place(text) == Path(text)
    assert find_place("~/sets") == Path.home() / "sets"
    assert find_place(f"file://{tmp_path}") == tmp_path


def test_a_store_whose_package_is_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(UsageError, match=r"needs a package that is not installed: .* pip install 'fssbench\[remote\]'"):
        find_place("s3://bucket/sets")


def test_a_store_that_fails_is_tried_again_unless_that_is_useless(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    errors: dict[str, list[OSError]] = {
        "a": [OSError("reset"), TimeoutError("slow")],
        "b": [PermissionError("not yours")] * 9,
    }

    def cat(path: str) -> bytes:
        name = path.rpartition("/")[2]
        tried.append(name)
        if errors.get(name):
            raise errors[name].pop(0)
        return b"data"

    place = Remote(Storage("memory://bucket"), patience=HURRY)
    monkeypatch.setattr(place.transport.files, "cat_file", cat)  # type: ignore[attr-defined]
    assert (place / "a").read_bytes() == b"data"
    with pytest.raises(EpisodeSetError, match=r"memory://bucket/b cannot be read: permission is denied \(not yours\)"):
        (place / "b").read_bytes()
    assert tried == ["a", "a", "a", "b"]


def test_nothing_but_plain_names_gets_into_a_command(toy_set: EpisodeSet, tmp_path: Path) -> None:
    """A manifest from elsewhere may say that its lock is called ``$(touch pwned)``."""
    folder = tmp_path / "set"
    shutil.copytree(toy_set.path, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in ("$(touch pwned)", "x; touch pwned", "../../../etc/passwd", "-rf", "a b", "x'y", ""):
        manifest["lock"]["name"] = name
        (folder / "manifest.json").write_text(json.dumps(manifest))
        place = find_place(f"pipe:cd {tmp_path} && cat set/{{}}")
        assert isinstance(place, Remote)
        with pytest.raises(FssbenchError, match="cannot be asked for"):
            _ = EpisodeSet.open(place).tracks
    assert not (tmp_path / "pwned").exists()


def test_a_command_that_fails_is_quoted(tmp_path: Path) -> None:
    place = find_place(f"pipe:cat {tmp_path}/{{}}")
    with pytest.raises(EpisodeSetError, match=r"it has no manifest.json: .* code 1 \(cat: .*No such file or"):
        EpisodeSet.open(place)
    with pytest.raises(EpisodeSetError, match=r"code 127 \(.*caat.*not found\); check the address"):
        EpisodeSet.open(find_place("pipe:caat {}"))
    assert str(find_place("pipe:caat {}")) == "pipe:caat {}"
    failing = Remote(find_place("pipe:echo gone >&2; exit 3; {}").transport, patience=HURRY)  # type: ignore[union-attr]
    with pytest.raises(EpisodeSetError, match=r"failed with code 3 \(gone\) \(3 attempts brought nothing new\)"):
        failing.read_checked(FileRecord(name="x.tar", sha256="0" * 64, bytes=1))


def test_a_set_elsewhere_is_no_folder_of_this_machine(hosted: FileServer) -> None:
    with pytest.raises(EpisodeSetError, match=f"{hosted.address}/{SET} is not on this machine; copy the set here"):
        _ = EpisodeSet.open(at(hosted) / SET).path

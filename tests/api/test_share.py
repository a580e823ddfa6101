"""Sets that travel: the same bytes there and back, whole or not at all."""

from __future__ import annotations

import json
import shutil
import sys
import types
from pathlib import Path
from typing import Any

import fsspec
import pytest
from command import Command

from fssbench.api.share import pull, push
from fssbench.base.errors import EpisodeSetError, StorageError, UsageError
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.transport import find_place

SET = "toy-20i/strict/fold0"


@pytest.fixture
def bucket() -> str:
    """An empty object store in memory."""
    fsspec.filesystem("memory").store.clear()
    return "memory://bucket/sets"


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_set_comes_back_as_it_left(bucket: str, toy_set: EpisodeSet, tmp_path: Path) -> None:
    (pushed,) = push(toy_set.path, bucket)
    assert (pushed.kind, pushed.path, pushed.there) == ("set", f"{bucket}/{SET}", False)
    (pulled,) = pull(find_place(bucket), tmp_path / "back")
    assert not pulled.there
    assert content(tmp_path / "back" / SET) == content(toy_set.path)
    assert push(toy_set.path, bucket)[0].there
    assert pull(find_place(bucket), tmp_path / "back")[0].there


def test_another_set_of_the_name_is_not_replaced_unless_that_is_asked(
    bucket: str, toy_set: EpisodeSet, tmp_path: Path
) -> None:
    push(toy_set.path, bucket)
    other = tmp_path / "other"
    shutil.copytree(toy_set.path, other)
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["unofficial"].append("changed by hand")
    (other / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(StorageError, match="is there already, and is another set; pass --overwrite"):
        push(other, bucket)
    assert not push(other, bucket, overwrite=True)[0].there
    shutil.copytree(toy_set.path, tmp_path / "back" / SET)
    with pytest.raises(StorageError, match="is in the way: it is not this set"):
        pull(find_place(bucket), tmp_path / "back")
    pull(find_place(bucket), tmp_path / "back", overwrite=True)
    assert content(tmp_path / "back" / SET) == content(other)


def test_a_damaged_set_does_not_leave(bucket: str, toy_set: EpisodeSet, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(toy_set.path, folder)
    shard = next(folder.glob("images-*.tar"))
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    with pytest.raises(EpisodeSetError, match="is damaged, so nothing was pushed"):
        push(folder, bucket)
    assert not fsspec.filesystem("memory").store


def test_what_changed_on_the_way_leaves_nothing_behind(bucket: str, toy_set: EpisodeSet, tmp_path: Path) -> None:
    push(toy_set.path, bucket)
    memory = fsspec.filesystem("memory")
    (shard, *_) = memory.glob(f"/bucket/sets/{SET}/images-*.tar")
    memory.pipe_file(shard, b"something else")
    with pytest.raises(EpisodeSetError, match=r"images-000000\.tar"):
        pull(find_place(bucket), tmp_path / "back")
    assert not (tmp_path / "back" / SET).exists()
    assert not content(tmp_path / "back")


def test_the_manifest_comes_last(bucket: str, toy_set: EpisodeSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads meanwhile sees no set rather than a part of one."""
    memory = fsspec.filesystem("memory")
    written: list[str] = []
    put = type(memory).put_file

    def noted(self: Any, local: str, remote: str, **options: Any) -> None:
        written.append(remote.rpartition("/")[2])
        put(self, local, remote, **options)

    monkeypatch.setattr(type(memory), "put_file", noted)
    push(toy_set.path, bucket)
    assert written[-1] == "manifest.json"
    assert sorted(written) == sorted(content(toy_set.path))


def test_the_hub_takes_a_set_in_one_commit(toy_set: EpisodeSet, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = types.ModuleType("huggingface_hub")
    made: list[tuple[str, list[str]]] = []

    class Api:
        def repo_exists(self, repository: str, *, repo_type: str) -> bool:
            return False

        def create_repo(self, repository: str, *, repo_type: str, exist_ok: bool) -> None:
            assert exist_ok

        def create_commit(self, repository: str, added: list[Any], *, repo_type: str, commit_message: str) -> None:
            assert repo_type == "dataset"
            made.append((repository, [one.path_in_repo for one in added]))

    hub.HfApi = Api  # type: ignore[attr-defined]
    hub.CommitOperationAdd = types.SimpleNamespace  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    push(toy_set.path, "hf://datasets/me/sets/below")
    manifest = toy_set.manifest
    names = [manifest.lock.name, *(shard.name for shard in manifest.shards), "manifest.json"]
    assert made == [("me/sets", [f"below/{SET}/{name}" for name in names])]


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("https://host/sets", "nothing can be written to https://host/sets; writing needs an address such as hf://"),
        ("hf://models/me/net", "does not name a dataset repository"),
        ("s4://bucket", "an unknown kind of address: s4"),
    ],
)
def test_where_nothing_can_be_written(address: str, message: str, toy_set: EpisodeSet) -> None:
    with pytest.raises(UsageError, match=message):
        push(toy_set.path, address)


def test_the_commands_say_what_came(bucket: str, toy_set: EpisodeSet, tmp_path: Path, fssbench: Command) -> None:
    ran = fssbench("push", toy_set.path, bucket)
    assert ran.out.startswith(f"{bucket}/{SET}: pushed, ")
    ran = fssbench("pull", bucket, "-o", tmp_path / "back", "--json")
    (told,) = json.loads(ran.out)
    assert (told["path"], told["there"]) == (f"{tmp_path / 'back'}/{SET}", False)
    assert fssbench("verify", tmp_path / "back").code == 0
    ran = fssbench("pull", "memory://elsewhere", "-o", tmp_path / "back")
    assert ran.code == 2
    assert "there are neither sets nor results at memory://elsewhere" in ran.err

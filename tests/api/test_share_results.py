"""Results that travel: the same bytes there and back, joined with those that are there, all or none."""

from __future__ import annotations

import json
import shutil
import sys
import types
from pathlib import Path
from typing import Any

import fsspec
import pytest
from boards import answers, model, write_model, write_result
from command import Command
from toys import masks_folder, run_with_masks

from fssbench.api.share import pull, push
from fssbench.base.errors import EpisodeSetError, FssbenchError, ResultError, StorageError, UsageError
from fssbench.base.files import sha256_bytes
from fssbench.leaderboard.build import build_leaderboard
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet

LIST = "submission.json"


@pytest.fixture
def bucket() -> str:
    """An empty object store in memory."""
    fsspec.filesystem("memory").store.clear()
    return "memory://bucket/results"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's results on both folds. Not to be changed."""
    folder = tmp_path_factory.mktemp("mine")
    write_model(folder, "good", better=0.5, chance=1)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def stored(bucket: str) -> dict[str, bytes]:
    """What is in the bucket, by name."""
    memory, root = fsspec.filesystem("memory"), bucket.removeprefix("memory:/")
    return {name.removeprefix(f"{root}/"): memory.cat_file(name) for name in memory.find(root)}


def put(bucket: str, name: str, data: bytes, *, relist: bool) -> None:
    """Change a file in the bucket; with ``relist`` as a careful forger would."""
    memory, root = fsspec.filesystem("memory"), bucket.removeprefix("memory:/")
    memory.pipe_file(f"{root}/{name}", data)
    if relist:
        listed = json.loads(stored(bucket)[LIST])
        (one,) = (one for one in listed["files"] if one["name"] == name)
        one |= {"bytes": len(data), "sha256": sha256_bytes(data)}
        memory.pipe_file(f"{root}/{LIST}", json.dumps(listed).encode())


def named(bucket: str, ending: str) -> str:
    return next(name for name in sorted(stored(bucket)) if name.endswith(ending) and name != LIST)


def test_results_come_back_as_they_left_and_make_the_same_leaderboard(
    bucket: str, results: Path, tmp_path: Path
) -> None:
    pushed = push(results, bucket)
    assert [(one.kind, one.n_files, one.there) for one in pushed] == [("result", 2, False)] * 2
    assert {one.path.removeprefix(f"{bucket}/") for one in pushed} <= stored(bucket).keys()
    pulled = pull(bucket, tmp_path / "theirs")
    assert [Path(one.path).is_file() for one in pulled] == [True, True]
    assert content(tmp_path / "theirs") == content(results)
    assert build_leaderboard(tmp_path / "theirs") == build_leaderboard(results)
    assert all(one.there for one in push(results, bucket))
    assert all(one.there for one in pull(bucket, tmp_path / "theirs"))


def test_results_of_several_people_join_and_what_is_here_is_not_fetched_again(
    bucket: str, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(results, bucket)
    pull(bucket, tmp_path / "all")
    write_model(tmp_path / "others", "poor", better=-0.5, chance=2)
    push(tmp_path / "others", bucket)
    memory, fetched = type(fsspec.filesystem("memory")), list[str]()
    cat = memory.cat_file

    def noted(self: Any, path: str, **options: Any) -> bytes:
        fetched.append(path)
        data: bytes = cat(self, path, **options)
        return data

    monkeypatch.setattr(memory, "cat_file", noted)
    pulled = pull(bucket, tmp_path / "all")
    assert sorted(one.there for one in pulled) == [False, False, True, True]
    assert content(tmp_path / "all") == content(results) | content(tmp_path / "others")
    assert not any("/good-" in path for path in fetched)


def test_masks_and_all_travel_with_their_results(bucket: str, toy_set: EpisodeSet, tmp_path: Path) -> None:
    finished = run_with_masks(toy_set, tmp_path / "mine")
    (pushed,) = push(tmp_path / "mine", bucket)
    assert pushed.n_files > 3
    (pulled,) = pull(bucket, tmp_path / "theirs")
    masks = masks_folder(finished)
    assert content(tmp_path / "theirs" / masks.relative_to(tmp_path / "mine")) == content(masks)
    assert pulled.n_bytes == pushed.n_bytes


def test_a_result_that_is_not_what_it_says_does_not_leave(bucket: str, results: Path, tmp_path: Path) -> None:
    shutil.copytree(results, tmp_path / "mine")
    path = next((tmp_path / "mine").rglob("fold1*.json"))
    told = json.loads(path.read_text())
    told["policies"][0]["miou"]["value"] = 0.99
    path.write_text(json.dumps(told))
    with pytest.raises(ResultError, match=r"fold1.*is not what it says, so nothing was pushed"):
        push(tmp_path / "mine", bucket)
    assert not stored(bucket)


def test_another_result_of_the_name_is_not_replaced_unless_that_is_asked(
    bucket: str, results: Path, tmp_path: Path
) -> None:
    push(results, bucket)
    write_result(tmp_path / "mine", answers(fold=0, better=2.0, chance=9), model("good"))
    with pytest.raises(StorageError, match="is there already, and differs; pass --overwrite"):
        push(tmp_path / "mine", bucket)
    push(tmp_path / "mine", bucket, overwrite=True)
    shutil.copytree(results, tmp_path / "back")
    before = content(tmp_path / "back")
    with pytest.raises(StorageError, match="is there already, and differs"):
        pull(bucket, tmp_path / "back")
    assert content(tmp_path / "back") == before
    pull(bucket, tmp_path / "back", overwrite=True)
    assert content(tmp_path / "back") == content(results) | content(tmp_path / "mine")


@pytest.mark.parametrize("relist", [False, True], ids=["by chance", "by a careful forger"])
def test_what_was_changed_elsewhere_leaves_nothing_behind(
    bucket: str, results: Path, tmp_path: Path, relist: bool
) -> None:
    """A changed file is not the one that is listed; a list that fits it does not make the figures follow."""
    push(results, bucket)
    name = named(bucket, ".json")
    told = json.loads(stored(bucket)[name])
    told["policies"][0]["miou"]["value"] = 0.99
    put(bucket, name, json.dumps(told).encode(), relist=relist)
    (tmp_path / "back").mkdir()
    with pytest.raises(ResultError if relist else EpisodeSetError, match=r"fold0"):
        pull(bucket, tmp_path / "back")
    assert not content(tmp_path / "back")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("results/../../stolen.json", "which no archive of results has"),
        ("results/a/b/c/anything.sh", "which no archive of results has"),
        (LIST, "which no archive of results has"),
        (f"cards/{'a' * 64}.json", "at most 1,048,576 are taken"),
    ],
)
def test_a_list_names_nothing_that_an_archive_may_not_have(
    bucket: str, tmp_path: Path, name: str, message: str
) -> None:
    file = {"name": name, "bytes": 2**30, "sha256": "a" * 64}
    listed = {"schema_version": 1, "kind": "fssbench-submission", "files": [file]}
    fsspec.filesystem("memory").pipe_file(f"/bucket/results/{LIST}", json.dumps(listed).encode())
    with pytest.raises(ResultError, match=message):
        pull(bucket, tmp_path / "back")
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff", b'{"kind": "fssbench-submission"}'])
def test_a_list_that_is_none(bucket: str, tmp_path: Path, data: bytes) -> None:
    fsspec.filesystem("memory").pipe_file(f"/bucket/results/{LIST}", data)
    with pytest.raises(ResultError, match=r"submission\.json is not a list of results"):
        pull(bucket, tmp_path / "back")


def test_the_list_comes_last(bucket: str, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads meanwhile sees what was there before, whole."""
    memory = type(fsspec.filesystem("memory"))
    written: list[str] = []
    there = memory.put_file

    def noted(self: Any, local: str, remote: str, **options: Any) -> None:
        written.append(remote.rpartition("/")[2])
        there(self, local, remote, **options)

    monkeypatch.setattr(memory, "put_file", noted)
    push(results, bucket)
    assert written[-1] == LIST
    assert written.count(LIST) == 1


def test_the_hub_takes_results_in_one_commit(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = types.ModuleType("huggingface_hub")
    made: list[list[str]] = []

    class Api:
        def repo_exists(self, repository: str, *, repo_type: str) -> bool:
            return False

        def create_repo(self, repository: str, *, repo_type: str, exist_ok: bool) -> None:
            assert (repository, repo_type, exist_ok) == ("me/results", "dataset", True)

        def create_commit(self, repository: str, added: list[Any], *, repo_type: str, commit_message: str) -> None:
            assert all(Path(one.path_or_fileobj).is_file() for one in added)
            made.append([one.path_in_repo for one in added])

    hub.HfApi = Api  # type: ignore[attr-defined]
    hub.CommitOperationAdd = types.SimpleNamespace  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    push(results, "hf://datasets/me/results")
    ((*names, last),) = made
    assert sorted(names) == sorted(f"results/{name}" for name in content(results))
    assert last == LIST


def test_sets_and_results_go_together(bucket: str, toy_set: EpisodeSet, results: Path, tmp_path: Path) -> None:
    shutil.copytree(toy_set.path, tmp_path / "mine" / "toy-20i" / "strict" / "fold0")
    shutil.copytree(results, tmp_path / "mine", dirs_exist_ok=True)
    assert [one.kind for one in push(tmp_path / "mine", bucket)] == ["set", "result", "result"]
    assert [one.kind for one in pull(bucket, tmp_path / "back")] == ["set", "result", "result"]
    assert content(tmp_path / "back") == content(tmp_path / "mine")


def test_a_name_that_no_address_may_have(bucket: str, tmp_path: Path) -> None:
    write_model(tmp_path / "mine", "one + two")
    with pytest.raises(ResultError, match=r"letters, digits, and \. _ - alone; give the model a plain name"):
        push(tmp_path / "mine", bucket)


def test_what_there_is_nothing_to_do_with(bucket: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder, message in (("empty", "holds neither sets nor results"), ("nowhere", "there is no folder")):
        with pytest.raises(UsageError, match=message):
            push(tmp_path / folder, bucket)
    with pytest.raises(UsageError, match="there are neither sets nor results at"):
        pull(bucket, tmp_path / "back")


def test_the_commands_take_results_as_they_take_sets(
    bucket: str, results: Path, tmp_path: Path, fssbench: Command
) -> None:
    ran = fssbench("push", results, bucket)
    assert ran.out.startswith(f"{bucket}/results/drawn/strict/good-")
    assert ran.out.count(": pushed, 2 files, ") == 2
    ran = fssbench("pull", bucket, "-o", tmp_path / "back", "--json")
    assert [(one["kind"], one["there"]) for one in json.loads(ran.out)] == [("result", False)] * 2
    assert fssbench("score", "--check", tmp_path / "back").code == 0
    assert fssbench("leaderboard", "build", tmp_path / "back", "-o", tmp_path / "board.json").code == 0


def test_a_disk_that_takes_nothing_more_keeps_what_was_there(
    bucket: str, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(results, bucket)
    monkeypatch.setattr("fssbench.base.files.free_bytes", lambda folder: 10)
    with pytest.raises(FssbenchError, match="the results take"):
        pull(bucket, tmp_path / "back")
    assert not content(tmp_path / "back")

"""An evaluation that is interrupted goes on where it stopped, and ends with the same counts."""

from __future__ import annotations

import errno
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import FileIO
from pathlib import Path

import numpy as np
import pytest

from fssbench.base.errors import StorageError
from fssbench.base.home import Home
from fssbench.engine.evaluate import Answer
from fssbench.engine.job import Job
from fssbench.engine.model import LoadedModel, load_model
from fssbench.engine.partial import ScoredEpisode, unfinished
from fssbench.engine.run import run
from fssbench.episodes.benchmarks import TOY_20I
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.formats.masks import encode
from fssbench.results.evaluation import Evaluation
from fssbench.results.naming import results_folder
from fssbench.schemas.rle import Rle
from fssbench.schemas.samples import MaskSize
from fssbench.scoring.counts import EpisodeCounts, QueryFacts

QUERY = QueryFacts(object_pixels=6, image_pixels=12, n_classes=None)
ROW = EpisodeCounts(3, np.array([[1, 2, 3, 4, 5]], dtype=np.int64), QUERY)
MASKS: dict[MaskSize, Rle] = {"original": encode(np.eye(3, 4, dtype=bool))}


def loaded(**options: object) -> LoadedModel:
    return load_model(
        "copy-support", {"size": 32, **options}, weights=None, benchmark=TOY_20I, fold=0, home=Home.find()
    )


def ask(
    toy_set: EpisodeSet, output: Path, *, stop_after: int | None = None, size: int = 32, n: int | None = None
) -> Evaluation:
    seen = 0

    def look(_: Answer) -> None:
        nonlocal seen
        seen += 1
        if seen == stop_after:
            raise KeyboardInterrupt

    job = Job(episode_set=toy_set, shot=2, seed=0, episodes=n, output=output)
    return run(loaded(size=size), job, look=look)


def resumed(finished: Evaluation) -> int:
    """How many episodes a run took over from an earlier one."""
    assert finished.record.execution is not None
    return finished.record.execution.resumed_episodes


def interrupted(toy_set: EpisodeSet, output: Path, **changes: int) -> Path:
    with pytest.raises(KeyboardInterrupt):
        ask(toy_set, output, stop_after=15, **changes)
    (left,) = output.rglob("*.counts.partial")
    return left


def leave_unfinished(path: Path, *, index: int = 3, identity: str = "me") -> None:
    """A file with one episode."""

    def fail() -> None:
        with unfinished(path, identity=identity) as so_far:
            so_far.add(ScoredEpisode(replace(ROW, index=index), MASKS))
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()


def test_a_resumed_evaluation_has_the_counts_of_an_uninterrupted_one(toy_set: EpisodeSet, tmp_path: Path) -> None:
    left = interrupted(toy_set, tmp_path / "a")
    assert not list((tmp_path / "a").rglob("*.json"))
    second, whole = ask(toy_set, tmp_path / "a"), ask(toy_set, tmp_path / "b")
    assert resumed(second) == 15
    assert resumed(whole) == 0
    assert second.record.counts == whole.record.counts
    assert second.record.policies == whole.record.policies
    assert not left.exists()


def test_a_line_cut_by_the_interruption_is_asked_again(toy_set: EpisodeSet, tmp_path: Path) -> None:
    left = interrupted(toy_set, tmp_path / "a")
    left.write_text(left.read_text()[:-20])
    second = ask(toy_set, tmp_path / "a")
    assert resumed(second) == 14
    assert second.record.counts == ask(toy_set, tmp_path / "b").record.counts


def test_counts_of_another_model_are_not_taken_over(toy_set: EpisodeSet, tmp_path: Path) -> None:
    left = interrupted(toy_set, tmp_path, size=32)
    other = tmp_path / "toy-20i" / "strict" / results_folder(loaded(size=48).record) / left.name
    other.parent.mkdir()
    left.rename(other)
    assert resumed(ask(toy_set, tmp_path, size=48)) == 0


def test_a_smaller_number_of_episodes_uses_only_its_own(toy_set: EpisodeSet, tmp_path: Path) -> None:
    interrupted(toy_set, tmp_path / "a")
    few = ask(toy_set, tmp_path / "a", n=10)
    assert few.record.counts == ask(toy_set, tmp_path / "b", n=10).record.counts
    assert resumed(few) < 10


def test_a_file_is_kept_when_the_block_fails_and_gone_when_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "x.counts.partial"
    leave_unfinished(path)
    with unfinished(path, identity="me") as so_far:
        assert so_far.resumed == 1
        assert so_far.kept[3].scored.counts.tolist() == ROW.counts.tolist()
        assert (so_far.kept[3].scored.query, so_far.kept[3].masks) == (QUERY, MASKS)
    assert not path.exists()


@pytest.mark.parametrize(("identity", "fresh"), [("other", False), ("me", True)])
def test_another_identity_or_a_fresh_start_takes_nothing_over(tmp_path: Path, identity: str, fresh: bool) -> None:
    path = tmp_path / "x.counts.partial"
    leave_unfinished(path)
    with unfinished(path, identity=identity, fresh=fresh) as so_far:
        assert (so_far.kept, so_far.resumed) == ({}, 0)


@pytest.mark.parametrize("cut", range(2, 60, 7))
def test_wherever_a_line_is_cut_nothing_of_it_is_taken_over(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "x.counts.partial"
    leave_unfinished(path)
    path.write_text(path.read_text()[:-cut])
    with unfinished(path, identity="me") as so_far:
        assert so_far.kept == {}


@pytest.mark.parametrize("place", range(1, 60, 7))
def test_wherever_a_line_is_damaged_that_one_alone_is_asked_again(tmp_path: Path, place: int) -> None:
    path = tmp_path / "x.counts.partial"
    leave_unfinished(path, index=3)
    leave_unfinished(path, index=4)
    head, line, *rest = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(head + line[: place - 1] + b"\xff" + line[place:] + b"".join(rest))
    with unfinished(path, identity="me") as so_far:
        assert sorted(so_far.kept) == [4]


@contextmanager
def disk_of(n_bytes: int) -> Iterator[None]:
    """No file grows beyond so many bytes: the kernel refuses."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("room", [-1_000, -200, -1, 0, 1, 7, 60, 150])
@pytest.mark.parametrize("several", [False, True])
def test_a_disk_that_fills_while_a_run_is_taken_up_again_loses_nothing(
    tmp_path: Path, room: int, several: bool
) -> None:
    """Wherever the room ends, before or behind the end of what was kept, by one process or by two."""
    path, other = tmp_path / "x.counts.partial", tmp_path / "x.counts.rank1.partial"
    for index in range(8):
        leave_unfinished(path, index=index)
    if several:
        leave_unfinished(other, index=8)

    def go_on() -> None:
        with unfinished(path, identity="me", others=[other]) as so_far:
            for index in range(9, 20):
                so_far.add(ScoredEpisode(replace(ROW, index=index), MASKS))

    with disk_of(path.stat().st_size + room), pytest.raises(StorageError, match="file size limit is reached; fix"):
        go_on()
    with unfinished(path, identity="me", others=[other]) as so_far:
        assert set(so_far.kept) >= set(range(9 if several else 8))


def test_a_disk_that_fills_as_the_file_is_closed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As disks elsewhere do, which take what is written at once and look at it later."""

    class Late(FileIO):
        def close(self) -> None:
            super().close()
            raise OSError(errno.EDQUOT, "quota")

    monkeypatch.setattr(Path, "open", lambda path, mode, **_: (Late if "a" in mode else FileIO)(path, mode))
    with (
        pytest.raises(StorageError, match="the disk quota is used up"),
        unfinished(tmp_path / "x.counts.partial", identity="me"),
    ):
        pass


def test_what_a_run_left_that_was_killed_behind_its_result_is_removed(toy_set: EpisodeSet, tmp_path: Path) -> None:
    finished = ask(toy_set, tmp_path, n=3)
    folder = finished.path.parent
    before = sorted(path.name for path in folder.iterdir())
    for name in ("counts.partial", "counts.rank1.partial"):
        (folder / f"{finished.path.stem}.{name}").touch()
    (folder / f".{finished.path.name}.lock").touch()
    assert ask(toy_set, tmp_path, n=3).skipped
    assert sorted(path.name for path in folder.iterdir()) == before


def test_of_two_runs_into_one_folder_the_second_is_told(toy_set: EpisodeSet, tmp_path: Path) -> None:
    def second(_: Answer) -> None:
        with pytest.raises(StorageError, match=r"another run is evaluating to .*seed0\.json .*; wait for it"):
            ask(toy_set, tmp_path)

    job = Job(episode_set=toy_set, shot=2, seed=0, episodes=3, output=tmp_path)
    first = run(loaded(), job, look=second)
    assert first.record.episodes.n_episodes == 3
    assert resumed(first) == 0
    assert [path.name for path in first.path.parent.iterdir() if path.name.startswith(".")] == []


def test_episodes_of_several_processes_are_taken_over_and_their_files_deleted(tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.counts.partial" for name in "abc"]
    for n, path in enumerate(paths):
        leave_unfinished(path, index=n, identity="other" if n == 2 else "me")
    with unfinished(paths[0], identity="me", others=paths[1:]) as so_far:
        assert sorted(so_far.kept) == [0, 1]
        assert so_far.resumed == 2
        assert [path.exists() for path in paths] == [True, False, False]
    assert not any(path.exists() for path in paths)

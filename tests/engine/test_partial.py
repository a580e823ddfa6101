"""An evaluation that is interrupted goes on where it stopped, and ends with the same counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fssbench.benchmarks import TOY_20I
from fssbench.engine.evaluate import Answer
from fssbench.engine.model import LoadedModel, load_model
from fssbench.engine.partial import partial_counts
from fssbench.engine.run import Finished, Job, run
from fssbench.home import Home
from fssbench.pipelines.episode_set import EpisodeSet

ROW = np.array([[1, 2, 3, 4, 5]], dtype=np.int64)


def loaded(**options: object) -> LoadedModel:
    return load_model(
        "copy-support", {"size": 32, **options}, weights=None, benchmark=TOY_20I, fold=0, home=Home.find()
    )


def ask(
    toy_set: EpisodeSet, output: Path, *, stop_after: int | None = None, size: int = 32, n: int | None = None
) -> Finished:
    seen = 0

    def look(_: Answer) -> None:
        nonlocal seen
        seen += 1
        if seen == stop_after:
            raise KeyboardInterrupt

    job = Job(episode_set=toy_set, shot=2, seed=0, episodes=n, output=output)
    return run(loaded(size=size), job, look=look)


def interrupted(toy_set: EpisodeSet, output: Path, **changes: int) -> Path:
    with pytest.raises(KeyboardInterrupt):
        ask(toy_set, output, stop_after=15, **changes)
    (left,) = output.rglob("*.counts.partial")
    return left


def leave_unfinished(path: Path) -> None:
    """A file with one episode's counts, of the identity ``me``."""

    def fail() -> None:
        with partial_counts(path, identity="me") as counts:
            counts.add(3, ROW)
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()


def test_a_resumed_evaluation_has_the_counts_of_an_uninterrupted_one(toy_set: EpisodeSet, tmp_path: Path) -> None:
    left = interrupted(toy_set, tmp_path / "a")
    assert not list((tmp_path / "a").rglob("*.json"))
    resumed, whole = ask(toy_set, tmp_path / "a"), ask(toy_set, tmp_path / "b")
    assert resumed.result.execution.resumed_episodes == 15
    assert whole.result.execution.resumed_episodes == 0
    assert resumed.result.counts == whole.result.counts
    assert resumed.result.policies == whole.result.policies
    assert not left.exists()


def test_a_line_cut_by_the_interruption_is_asked_again(toy_set: EpisodeSet, tmp_path: Path) -> None:
    left = interrupted(toy_set, tmp_path / "a")
    left.write_text(left.read_text()[:-20])
    resumed = ask(toy_set, tmp_path / "a")
    assert resumed.result.execution.resumed_episodes == 14
    assert resumed.result.counts == ask(toy_set, tmp_path / "b").result.counts


def test_counts_of_another_model_are_not_taken_over(toy_set: EpisodeSet, tmp_path: Path) -> None:
    left = interrupted(toy_set, tmp_path, size=32)
    other = tmp_path / "toy-20i" / "strict" / loaded(size=48).folder / left.name
    other.parent.mkdir()
    left.rename(other)
    assert ask(toy_set, tmp_path, size=48).result.execution.resumed_episodes == 0


def test_a_smaller_number_of_episodes_uses_only_its_own(toy_set: EpisodeSet, tmp_path: Path) -> None:
    interrupted(toy_set, tmp_path / "a")
    few = ask(toy_set, tmp_path / "a", n=10)
    assert few.result.counts == ask(toy_set, tmp_path / "b", n=10).result.counts
    assert few.result.execution.resumed_episodes < 10


def test_a_file_is_kept_when_the_block_fails_and_gone_when_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "x.counts.partial"
    leave_unfinished(path)
    with partial_counts(path, identity="me") as counts:
        assert counts.resumed == 1
        assert counts.rows[3].tolist() == ROW.tolist()
    assert not path.exists()


@pytest.mark.parametrize(("identity", "fresh"), [("other", False), ("me", True)])
def test_another_identity_or_a_fresh_start_takes_nothing_over(tmp_path: Path, identity: str, fresh: bool) -> None:
    path = tmp_path / "x.counts.partial"
    leave_unfinished(path)
    with partial_counts(path, identity=identity, fresh=fresh) as counts:
        assert counts.rows == {}

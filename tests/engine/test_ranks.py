"""Several processes give the very same table as one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from command import Command
from hypothesis import given
from hypothesis import strategies as st

from fssbench.engine.ranks import Ranks
from fssbench.episodes.episodes import Episode, Track
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.results.environment import pick_device


@given(class_ids=st.lists(st.integers(0, 5), min_size=1, max_size=40), world=st.integers(1, 6))
def test_every_episode_is_asked_by_one_process_and_classes_stay_together(class_ids: list[int], world: int) -> None:
    """Shares are disjoint, complete, even, and neighbours in the plan."""
    episodes = tuple(Episode(c, "q", ("s",)) for c in class_ids)
    track = Track(benchmark="b", protocol="p", fold=0, shot=1, seed=0, episodes=episodes)
    shares = [Ranks(rank=rank, world=world).share(track) for rank in range(world)]
    assert sorted(i for share in shares for i in share) == list(range(len(class_ids)))
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1
    last = [max(class_ids[i] for i in share) for share in shares if share]
    first = [min(class_ids[i] for i in share) for share in shares if share]
    assert all(a <= b for a, b in zip(last, first[1:], strict=False))


def test_alone_a_process_gathers_what_it_has() -> None:
    assert Ranks().first
    assert Ranks().gather("mine") == ["mine"]


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_of_several_gpus_each_process_takes_its_own(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where people say no more than that it be one: NCCL wants to know which."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [pick_device(name, local=local) for local in range(3)] == ["cuda:0", "cuda:1", "cuda:0"]


COPIES = ("-m", "copy-support")
NETWORK = ("-m", "prototype", "--backbone", "resnet18", "--backbone-weights", "none", "--option", "size=48")
BATCHES = (*NETWORK, "--batch", 3)


def arguments(episode_set: EpisodeSet, output: Path, model: Sequence[object]) -> list[str]:
    place = ("-b", "toy", "-f", 0, "-k", 2, "-d", episode_set.path, "-o", output)
    return [str(word) for word in ("eval", *model, *place, "--save-predictions")]


def left_in(output: Path) -> dict[str, bytes]:
    """Every file but the result, which knows how it was made."""
    return {p.name: p.read_bytes() for p in output.rglob("*") if p.is_file() and not p.name.endswith("seed0.json")}


@pytest.mark.parametrize(
    "model", [pytest.param(COPIES, id="alone", marks=pytest.mark.slow), pytest.param(BATCHES, id="in batches")]
)
def test_two_gloo_processes_leave_the_same_bytes_as_one(
    toy_set: EpisodeSet, tmp_path: Path, fssbench: Command, model: Sequence[object]
) -> None:
    """Also where episodes are asked several at a time, and others share their batch."""
    one, two = tmp_path / "one", tmp_path / "two"
    assert fssbench(*arguments(toy_set, one, model)).code == 0
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "fssbench"]
    ran = subprocess.run([*launch, *arguments(toy_set, two, model)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("mIoU") == 1, "only the first process speaks"
    assert left_in(one) == left_in(two)
    assert set(left_in(one)) == {"fold0-2shot-seed0.counts.parquet", "predictions.json", "predictions-000000.tar"}


def test_what_two_processes_left_unfinished_one_takes_over(toy_set: EpisodeSet, tmp_path: Path) -> None:
    """Each process leaves a file of its own; a run of one reads both, asks the rest, and leaves none."""
    from fssbench.base.home import Home
    from fssbench.engine.evaluate import Answer
    from fssbench.engine.job import Job
    from fssbench.engine.model import load_model
    from fssbench.engine.run import run
    from fssbench.episodes.benchmarks import TOY_20I

    loaded = load_model("copy-support", {"size": 32}, weights=None, benchmark=TOY_20I, fold=0, home=Home.find())
    job = Job(episode_set=toy_set, shot=1, seed=0, episodes=None, output=tmp_path / "a")
    asked: list[int] = []

    def stop(answer: Answer) -> None:
        asked.append(answer.index)
        if len(asked) == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(loaded, job, look=stop)
    (left,) = (tmp_path / "a").rglob("*.partial")
    head, *lines = left.read_text().splitlines(keepends=True)
    other = left.with_name(left.name.replace(".counts.", ".counts.rank1."))
    other.write_text(head + "".join(lines[6:]))
    left.write_text(head + "".join(lines[:6]))
    again: list[int] = []
    finished = run(loaded, job, look=lambda answer: again.append(answer.index))
    assert sorted(asked + again) == list(range(40))
    assert finished.record.execution is not None
    assert finished.record.execution.resumed_episodes == 10
    assert not list((tmp_path / "a").rglob("*.partial"))
    whole = run(loaded, Job(episode_set=toy_set, shot=1, seed=0, episodes=None, output=tmp_path / "b"))
    assert whole.record.counts == finished.record.counts

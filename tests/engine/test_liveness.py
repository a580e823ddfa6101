"""When one of several processes ends, all others do, and say which it was and why."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist
from torch._C._distributed_c10d import HashStore, TCPStore

from fssbench.base.errors import EpisodeSetError, RankError
from fssbench.engine import liveness
from fssbench.engine.liveness import Peer, Watch, meet
from fssbench.engine.ranks import Ranks, joined
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet

HANG = 300
"""Seconds after which a test that hangs fails; nothing that works comes near."""

MODEL = """
import os, sys, threading
import torch
from fssbench.models.interface import FewShotSegmenter, Preprocess

class Model(FewShotSegmenter):
    def __init__(self):
        super().__init__()
        self.preprocess = Preprocess(size=16)

    def predict(self, query, supports, masks):
        if os.environ["RANK"] == os.environ["STRANGE"]:
            if "SAYS" in os.environ:
                raise ValueError(os.environ["SAYS"])
            print("stuck", file=sys.stderr, flush=True)
            threading.Event().wait()
        return masks[:, 0].to(torch.uint8)
"""


@pytest.fixture
def store() -> Any:
    """A store at a port of its own, as torchrun's agent keeps one."""
    return TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)


@pytest.fixture
def asked(toy_set: EpisodeSet, tmp_path: Path) -> list[str]:
    """A command that asks a model which in one process never answers, or raises."""
    (tmp_path / "model.py").write_text(MODEL)
    words = ["eval", "-m", tmp_path / "model.py:Model", "-b", "toy", "-f", 0, "-k", 1, "-n", 4, "-d", toy_set.path]
    return [str(word) for word in [*words, "-o", tmp_path / "out"]]


@contextmanager
def two(store: Any, arguments: list[str], **environment: str) -> Iterator[list[subprocess.Popen[str]]]:
    """Two processes of a command that work together, not started by torchrun, which would end the other itself."""
    environment |= {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port)}
    environment |= {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RUN_ID": "test"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "fssbench", *arguments],
            env=os.environ | environment | {"RANK": str(rank)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def errors(process: subprocess.Popen[str]) -> tuple[int, list[str]]:
    """How a process ends: its exit code, and what it says of it."""
    _, said = process.communicate(timeout=HANG)
    return process.returncode, [line for line in said.splitlines() if not line.startswith("note: ")]


def test_when_one_is_killed_the_other_ends_with_a_line_that_names_it(store: Any, asked: list[str]) -> None:
    """It has asked its own episodes by then, and waits in vain."""
    with two(store, asked, STRANGE="1") as (waits, stuck):
        assert stuck.stderr is not None
        assert any(line == "stuck\n" for line in stuck.stderr)
        stuck.send_signal(signal.SIGKILL)
        code, said = errors(waits)
    assert code == 2
    assert len(said) == 1, said
    assert said[0].startswith(
        f"error: rank 1 of 2 (process {stuck.pid} on {socket.gethostname()}) ended without a word"
    )


@pytest.mark.slow
def test_when_the_first_fails_the_other_says_why(store: Any, asked: list[str]) -> None:
    with two(store, asked, STRANGE="0", SAYS="these weights are cursed") as (fails, waits):
        (code, why), (other, said) = errors(fails), errors(waits)
    assert (code, other) == (2, 2)
    assert len(why) == len(said) == 1
    assert "these weights are cursed" in why[0]
    assert said[0].startswith(f"error: rank 0 of 2 (process {fails.pid} on {socket.gethostname()}) ended: ")
    assert "these weights are cursed" in said[0]


def watches(n: int) -> list[Watch]:
    """Those of ``n`` processes, all in this one."""
    notes, found = HashStore(), dict[int, Watch]()

    def one(rank: int) -> None:
        peer = Peer(rank, n, f"process {rank}")
        found[rank] = meet(notes, peer, host="localhost", patience=timedelta(seconds=HANG))

    threads = [threading.Thread(target=one, args=[rank]) for rank in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[rank] for rank in range(n)]


def test_all_wait_for_all_to_be_done() -> None:
    together = watches(3)
    threads = [threading.Thread(target=watch.finish) for watch in together[1:]]
    for thread in threads:
        thread.start()
    together[0].finish()
    for thread in threads:
        thread.join()
    for watch in together:
        watch.require_all()


@pytest.mark.parametrize("rank", [0, 2])
def test_why_one_ends_reaches_all(rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the first, to those that it alone is connected to."""
    monkeypatch.setattr(liveness, "GRACE", HANG)
    together = watches(3)
    together[rank].fail(EpisodeSetError("the shard is\ndamaged", remedy="fetch it again"))
    for watch in (watch for n, watch in enumerate(together) if n != rank):
        broken = RuntimeError("Connection closed by peer")
        with pytest.raises(
            RankError, match=rf"^rank {rank} of 3 \(process {rank}\) ended: the shard is damaged; what is"
        ):
            watch.explain(broken)
        with pytest.raises(RankError, match="the shard is damaged"):
            watch.require_all()
    for watch in together:
        watch.close()


def test_what_breaks_while_all_are_there_is_told_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = watches(2)
    monkeypatch.setattr(liveness, "VERDICT", 0)
    with pytest.raises(RuntimeError, match="shapes differ"), Ranks(world=2, watch=first).together():
        raise RuntimeError("shapes differ")
    first._send(liveness.DONE)
    second.finish()


def test_a_process_that_waits_for_ever_is_ended_by_force(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As one does in NCCL: nothing but the system can interrupt it."""
    monkeypatch.setattr(liveness, "GRACE", 0)
    left, codes = threading.Event(), list[int]()

    def leave(code: int) -> None:
        codes.append(code)
        left.set()

    monkeypatch.setattr(os, "_exit", leave)
    first, second = watches(2)
    second.close()  # this one ends by itself
    second.fail(KeyboardInterrupt())
    assert left.wait(HANG)
    assert codes == [2]
    assert capsys.readouterr().err.startswith(
        "error: rank 1 of 2 (process 1) ended: KeyboardInterrupt; what is finished"
    )
    first.close()


def test_strangers_at_the_port_are_turned_away() -> None:
    notes = HashStore()
    peers, patience = [Peer(rank, 2, f"process {rank}") for rank in range(2)], timedelta(seconds=HANG)
    found: list[Watch] = []
    thread = threading.Thread(target=lambda: found.append(meet(notes, peers[0], host="localhost", patience=patience)))
    thread.start()
    port = int(notes.get("first").decode().split()[0])
    for said in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\x00\x00\x00\x0afalse 1 me"):
        with socket.create_connection(("localhost", port)) as stranger:
            stranger.sendall(said)
    second = meet(notes, peers[1], host="localhost", patience=patience)
    thread.join()
    second.fail(ValueError("told"))
    with pytest.raises(RankError, match=r"rank 1 of 2 \(process 1\) ended: ValueError: told"):
        found[0].explain(RuntimeError())
    for watch in (found[0], second):
        watch.close()


class Properties:
    """Of a GPU."""

    def __init__(self, uuid: str) -> None:
        self.uuid = uuid


@pytest.mark.parametrize(
    ("device", "own", "other", "backend"),
    [
        ("cpu", "", "GPU-b", "gloo"),
        ("cuda:0", "GPU-a", "GPU-b", "cpu:gloo,cuda:nccl"),
        ("cuda:0", "GPU-a", "GPU-a", "gloo"),  # NCCL refuses two processes on one
        ("cuda:0", "GPU-a", "", "gloo"),
    ],
)
def test_gpus_exchange_tensors_by_nccl_where_each_process_has_its_own(
    device: str, own: str, other: str, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Objects go by gloo in any case; two processes may each call their GPU cuda:0."""
    asked: dict[str, object] = {}
    chosen: list[str] = []
    monkeypatch.setattr(dist, "is_nccl_available", lambda: True)
    monkeypatch.setattr(dist, "init_process_group", lambda **options: asked.update(options))
    monkeypatch.setattr(dist, "destroy_process_group", lambda: None)
    monkeypatch.setattr("torch.cuda.set_device", chosen.append)
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda name: Properties(own))
    monkeypatch.setattr("fssbench.engine.ranks.meet", lambda *args, **options: Alone())
    notes = HashStore()
    notes.set("gpu 1", other)
    monkeypatch.setattr("fssbench.engine.ranks._store", lambda here: notes)
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    with joined(device) as ranks:
        assert (ranks.rank, ranks.world) == (0, 2)
    assert asked["backend"] == backend
    assert chosen == [device] * device.startswith("cuda")
    assert str(asked.get("device_id", "none")) == ("cuda:0" if "nccl" in backend else "none")


class Alone(Watch):
    """Of nobody."""

    def __init__(self) -> None:
        super().__init__(Peer(0, 2), {})

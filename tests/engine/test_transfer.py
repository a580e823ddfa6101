"""Tensors go to a GPU and come back in an order that nothing overtakes; torch's streams are stood in for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from fssbench.engine.transfer import Transfer


class Stream:
    """A stream that notes what is asked of it."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name, self.log = name, log

    def wait_stream(self, other: Stream) -> None:
        """Wait for another."""
        self.log.append(f"{self.name} waits for {other.name}")


class Event:
    """An event that notes when it is recorded and waited for."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    def record(self, stream: Stream) -> None:
        """Behind all that a stream was asked."""
        self.log.append(f"mark on {stream.name}")

    def synchronize(self) -> None:
        """The host waits."""
        self.log.append("the host waits")


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What torch was asked to do."""
    notes: list[str] = []
    computing, empty, copy = Stream("computing", notes), torch.empty, Tensor.copy_

    @contextmanager
    def on(stream: Stream) -> Iterator[None]:
        notes.append(f"on {stream.name}")
        yield
        notes.append(f"off {stream.name}")

    def noted(name: str, then: Any) -> Any:
        def called(self: Tensor, *args: Any, **options: Any) -> Tensor:
            blocking = "" if options.get("non_blocking", True) else ", waiting"
            notes.append(f"{name} {self.numel()}{blocking}")
            found: Tensor = then(self, *args)
            return found

        return called

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream("sending", notes))
    monkeypatch.setattr(torch.cuda, "stream", on)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: computing)
    monkeypatch.setattr(torch.cuda, "Event", lambda: Event(notes))
    monkeypatch.setattr(torch, "empty", lambda shape, *, dtype, pin_memory: empty(shape, dtype=dtype))
    monkeypatch.setattr(Tensor, "pin_memory", noted("pin", lambda self: self))
    monkeypatch.setattr(Tensor, "to", noted("send", lambda self, device: self))
    monkeypatch.setattr(Tensor, "copy_", noted("fetch", copy))
    monkeypatch.setattr(
        Tensor, "record_stream", lambda self, stream: notes.append(f"{stream.name} uses {self.numel()}")
    )
    return notes


@pytest.fixture
def transfer(log: list[str]) -> Transfer:
    """To a GPU, whose tensors are the CPU's."""
    made = Transfer("cuda")
    made.device = torch.device("cpu")
    return made


def test_what_is_sent_goes_from_pinned_memory_on_a_stream_of_its_own(transfer: Transfer, log: list[str]) -> None:
    transfer.send(torch.zeros(3))
    assert log == ["on sending", "pin 3", "send 3", "off sending"]


def test_the_device_waits_for_what_was_sent_and_keeps_its_memory(transfer: Transfer, log: list[str]) -> None:
    """Memory that another stream sent to must not be given away while what computes from it is under way."""
    transfer.arrived([torch.zeros(3), torch.zeros(5)])
    assert log == ["computing waits for sending", "computing uses 3", "computing uses 5"]


def test_the_host_waits_when_it_takes_what_it_fetched_and_not_before(transfer: Transfer, log: list[str]) -> None:
    wait = transfer.fetch([torch.arange(4), torch.ones(2, dtype=torch.bool)])
    assert log == ["fetch 4", "fetch 2", "mark on computing"]
    log.clear()
    assert [one.tolist() for one in wait()] == [[0, 1, 2, 3], [True, True]]
    assert log == ["the host waits"]
    assert transfer.ahead == 1


def test_what_a_device_has_no_memory_for_stays_on_the_host(
    transfer: Transfer, log: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The asker sends it when its turn comes, and asks fewer at a time if there still is no room."""

    def refuse(*args: Any, **options: Any) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Tensor, "to", refuse)
    tensor = torch.zeros(3)
    assert transfer.send(tensor) is tensor


def test_a_cpu_has_what_is_sent_and_what_is_fetched_at_once() -> None:
    transfer, tensor = Transfer("cpu"), torch.arange(3)
    assert transfer.send(tensor) is tensor
    transfer.arrived([tensor])
    assert transfer.fetch([tensor])()[0] is tensor
    assert transfer.ahead == 0

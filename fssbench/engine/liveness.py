"""Whether all of several processes are still there, told by connections that the system closes when a process ends.

Every process holds one to the first, open for as long as they work together. A process that leaves says why; of one
that was killed the connection ends without a word, and of a machine that is gone keep-alive tells in half a minute. So
however long one process waits for another, it waits for one that lives.
"""

from __future__ import annotations

import os
import secrets
import socket
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from typing import Protocol

from fssbench.base.errors import FssbenchError, RankError

__all__ = ["Peer", "Store", "Watch", "meet"]

GRACE = 20.0
"""Seconds that a process has to end by itself once another has; NCCL may wait for the lost one for ever."""
VERDICT = 5.0
"""Seconds until the end of a process is known that a broken message between processes hints at."""
KEEP_ALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4}
DONE = "done"
LONGEST = 1000
REMEDY = "what is finished is kept: fix that and start all of them again"


class Store(Protocol):
    """The part of a torch store that is used: values by name, which all processes see."""

    def set(self, key: str, value: str, /) -> None:
        """Keep a value."""

    def get(self, key: str, /) -> bytes:
        """The value; waits until there is one."""
        ...


@dataclass(frozen=True, slots=True)
class Peer:
    """A process among several, by its number, as messages name it."""

    rank: int
    world: int
    where: str = ""

    @staticmethod
    def here(rank: int, world: int) -> Peer:
        """This process."""
        return Peer(rank, world, f"process {os.getpid()} on {socket.gethostname()}")

    def __str__(self) -> str:
        return f"rank {self.rank} of {self.world} ({self.where})"


class Watch:
    """This process's connections: of the first to all others, of any other to the first."""

    def __init__(self, here: Peer, peers: Mapping[Connection, Peer]) -> None:
        self._here, self._all, self._peers = here, tuple(peers), dict(peers)
        self._lost, self._told = "", threading.Event()
        self._timer: threading.Timer | None = None
        self._left, self._sending = False, threading.Lock()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        for connection in peers:
            os.register_at_fork(after_in_child=connection.close)  # a child that outlives us must not pass for us
        self._listener.start()

    def require_all(self) -> None:
        """Raise `RankError` if a process has ended before its time."""
        if self._lost:
            raise RankError(self._lost, remedy=REMEDY)

    def explain(self, error: Exception) -> None:
        """Raise `RankError` if ``error`` came of the end of a process, whose message may be a moment behind."""
        self._told.wait(VERDICT)
        if self._lost:
            raise RankError(self._lost, remedy=REMEDY) from error

    def fail(self, error: BaseException) -> None:
        """Tell the others why this process ends; it is ended by force if it does not in `GRACE` seconds."""
        if isinstance(error, FssbenchError):
            reason, said = error.problem, str(error)
        else:
            reason = said = f"{type(error).__name__}: {error}".removesuffix(": ")
        self._send(f"{self._here} ended: {' '.join(reason.split())}"[:LONGEST])
        self._limit(said)

    def finish(self) -> None:
        """Wait until all others are done as well; raises `RankError` if one ends before."""
        self._send(DONE)
        self._listener.join()
        self.require_all()

    def close(self) -> None:
        """From here on nothing that befalls the others ends this process."""
        with self._sending:
            self._left = True
            if self._timer is not None:
                self._timer.cancel()

    def _listen(self) -> None:
        while self._peers and not self._lost:  # those that are not done
            for connection in wait(list(self._peers)):
                assert isinstance(connection, Connection)
                try:
                    word = connection.recv_bytes().decode()
                except (EOFError, OSError):
                    word = f"{self._peers[connection]} ended without a word: killed, out of memory, or its machine lost"
                if word == DONE:
                    del self._peers[connection]
                elif not self._lost:
                    self._lost = word
                    self._told.set()
                    self._send(word)
                    self._limit(f"{word}; {REMEDY}")

    def _send(self, word: str) -> None:
        """To all others that this process is connected to."""
        with self._sending:
            for connection in self._all:
                with suppress(OSError):
                    connection.send_bytes(word.encode())

    def _limit(self, text: str) -> None:
        with self._sending:
            if not self._left and self._timer is None:
                self._timer = threading.Timer(GRACE, _end, [text])
                self._timer.daemon = True
                self._timer.start()


def _end(text: str) -> None:
    """End this process, whatever it waits for, as a refusal does."""
    with suppress(OSError):
        print(f"error: {text}", file=sys.stderr, flush=True)
    os._exit(2)


def meet(store: Store, here: Peer, *, host: str, patience: timedelta) -> Watch:
    """Connect the processes: the first listens at ``host``, on a port that the ``store`` tells the others.

    Raises `OSError` if they have not found each other in the time given, `RuntimeError` if the store has not.
    """
    seconds = patience.total_seconds()
    if here.rank:
        port, token, where = store.get("first").decode().split(" ", 2)
        connection = _connection(socket.create_connection((host, int(port)), timeout=seconds))
        connection.send_bytes(f"{token} {here.rank} {here.where}".encode())
        return Watch(here, {connection: Peer(0, here.world, where)})
    peers: dict[int, tuple[Connection, Peer]] = {}
    token = secrets.token_hex(16)  # whoever else calls at the port does not know it
    with _listening() as listener:
        listener.settimeout(seconds)
        store.set("first", f"{listener.getsockname()[1]} {token} {here.where}")
        while len(peers) < here.world - 1:
            connection = _connection(listener.accept()[0])
            with suppress(EOFError, OSError, ValueError):
                said, rank, where = _hello(connection).split(" ", 2)
                if secrets.compare_digest(said, token):
                    peers[int(rank)] = connection, Peer(int(rank), here.world, where)
    return Watch(here, dict(peers.values()))


def _listening() -> socket.socket:
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", 0))


def _hello(connection: Connection) -> str:
    """The first message of whoever has called; `EOFError` if none comes."""
    if not connection.poll(VERDICT):
        raise EOFError
    return connection.recv_bytes(LONGEST).decode()


def _connection(connected: socket.socket) -> Connection:
    """Whole messages over a socket, which closes when nothing is heard of the machine at its other end."""
    connected.settimeout(None)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEP_ALIVE.items():
        if hasattr(socket, name):  # systems differ in what may be set
            connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return Connection(connected.detach())

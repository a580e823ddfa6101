"""Reading the next things while the present one is used."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

__all__ = ["AHEAD", "read_ahead"]

K = TypeVar("K")
V = TypeVar("V")

AHEAD = 2
"""Things read at once beside the one in use: enough to hide a round trip, few enough for memory."""


def read_ahead(things: Iterable[K], read: Callable[[K], V], *, ahead: int = AHEAD) -> Iterator[V]:
    """What ``read`` makes of each thing, in order; up to ``ahead`` further ones are being read meanwhile.

    An error comes when it is that thing's turn. Whoever stops early, or is interrupted, waits for nothing: the
    threads are daemons, since a slow server must not hold up the end of a program.
    """
    coming = iter(things)
    begun: deque[Future[V]] = deque()
    while True:
        while len(begun) <= ahead and (started := _start_next(coming, read)) is not None:
            begun.append(started)
        if not begun:
            return
        yield begun.popleft().result()


def _start_next(coming: Iterator[K], read: Callable[[K], V]) -> Future[V] | None:
    """Begin with the next thing, if there is one."""
    for thing in coming:
        future: Future[V] = Future()

        def work(thing: K = thing, future: Future[V] = future) -> None:
            try:
                future.set_result(read(thing))
            except BaseException as error:
                future.set_exception(error)

        Thread(target=work, daemon=True).start()
        return future
    return None

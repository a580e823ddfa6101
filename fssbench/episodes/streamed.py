"""Drawing from a stream: where images can only be had one after the other, a buffer of them stands for all.

What is drawn depends on the order in which items come, on the buffer's size and on the key; not on what the items
are. So the same draws are made of ids, and of the samples themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from fssbench.base.errors import UsageError
from fssbench.episodes.strict import HashStream, draw_distinct

__all__ = ["StreamDraw", "draw_episodes", "shuffle"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StreamDraw(Generic[T]):
    """An episode of items: a class, a query that shows it, and supports that do."""

    class_id: int
    query: T
    supports: tuple[T, ...]


def shuffle(items: Iterable[T], *, buffer: int, stream: HashStream) -> Iterator[T]:
    """All items, each drawn from the ``buffer`` + 1 or fewer that have come and not been drawn yet."""
    if buffer < 1:
        raise UsageError(f"a buffer must hold at least 1 image, got {buffer}")
    held: list[T] = []
    for item in items:
        held.append(item)
        if len(held) > buffer:
            yield _take(held, stream)
    while held:
        yield _take(held, stream)


def draw_episodes(
    items: Iterable[T],
    *,
    asked: Callable[[T], tuple[int, ...]],
    served: Callable[[T], tuple[int, ...]],
    shot: int,
    buffer: int,
    stream: HashStream,
) -> Iterator[StreamDraw[T]]:
    """Episodes of items: each that leaves a `shuffle` of them is a query, if its class has supports in the buffer.

    The class is drawn from those that the query may be asked about and ``shot`` items in the buffer serve; the supports
    are drawn from these, and stay in the buffer.

    Args:
        asked: the classes that an item may be a query of, ascending.
        served: those that it may be a support of.
    """
    serving: dict[int, list[T]] = {}

    def arriving() -> Iterator[T]:
        for item in items:
            for class_id in served(item):
                serving.setdefault(class_id, []).append(item)
            yield item

    for query in shuffle(arriving(), buffer=buffer, stream=stream):
        for class_id in served(query):
            serving[class_id] = [one for one in serving[class_id] if one is not query]
        possible = [class_id for class_id in asked(query) if len(serving.get(class_id, ())) >= shot]
        if possible:
            class_id = possible[stream.below(len(possible))]
            places = islice(draw_distinct(stream, len(serving[class_id])), shot)
            yield StreamDraw(class_id, query, tuple(serving[class_id][place] for place in places))


def _take(held: list[T], stream: HashStream) -> T:
    """An item drawn from ``held``, which is there no more; the last one takes its place."""
    place = stream.below(len(held))
    held[place], held[-1] = held[-1], held[place]
    return held.pop()

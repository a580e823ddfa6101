"""Several processes that evaluate one track: who asks which episodes, and how their answers come together.

The processes are torchrun's; alone, a process is the first of one. Since each mask depends on its own episode
alone and counts are integers, the table of counts is the same for any number of processes, to the byte.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from fssbench.episodes.episodes import Track

__all__ = ["Ranks", "joined", "speaks"]

T = TypeVar("T")

PATIENCE = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among all: its number from 0, its number on its machine, and how many there are."""

    rank: int = 0
    local: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def share(self, track: Track) -> frozenset[int]:
        """The episodes of ``track`` that this process asks: neighbours in the evaluation plan, evenly dealt.

        The plan goes class by class, so neighbours share images.
        """
        plan = sorted(range(len(track.episodes)), key=lambda index: (track.episodes[index].class_id, index))
        cuts = [len(plan) * rank // self.world for rank in (self.rank, self.rank + 1)]
        return frozenset(plan[slice(*cuts)])

    def gather(self, value: T) -> list[T]:
        """What every process passes here, by rank; all wait for each other."""
        if self.world == 1:
            return [value]
        import torch.distributed as dist

        values: list[T | None] = [None] * self.world
        dist.all_gather_object(values, value)
        return values  # type: ignore[return-value]  # every place has been filled


def speaks() -> bool:
    """Whether this is the process that prints: the first of torchrun's, or one that is alone."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def joined() -> Iterator[Ranks]:
    """The processes that torchrun started with this one, connected while the block runs; or this one alone."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Ranks()
        return
    import torch.distributed as dist

    # Whoever is done first waits for the slowest, however long that takes; if one dies, torchrun ends them all.
    dist.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield Ranks(dist.get_rank(), int(os.environ.get("LOCAL_RANK", "0")), world)
    finally:
        dist.destroy_process_group()

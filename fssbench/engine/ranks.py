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

from fssbench.base.errors import UsageError
from fssbench.episodes.episodes import Track

__all__ = ["Ranks", "joined", "speaks"]

T = TypeVar("T")

AMONG_TORCHRUN, AMONG_OTHERS = timedelta(minutes=10), timedelta(seconds=30)
"""How long processes wait until all are there. What a scheduler left behind tells of some that never come."""
PATIENCE = timedelta(days=30)
REMEDY = "start several processes with torchrun, or take WORLD_SIZE out of the environment to run one"


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
    return _numbers()[0] == 0


@contextmanager
def joined() -> Iterator[Ranks]:
    """The processes that torchrun started with this one, connected while the block runs; or this one alone.

    Raises `UsageError` if the environment tells of several that cannot find each other.
    """
    rank, world = _numbers()
    if world == 1:
        yield Ranks()
        return
    import torch.distributed as dist
    from torch.distributed.rendezvous import rendezvous

    patience = AMONG_TORCHRUN if "TORCHELASTIC_RUN_ID" in os.environ else AMONG_OTHERS
    try:
        store, *_ = next(rendezvous("env://", rank, world, timeout=patience))
        # Whoever is done first waits for the slowest, however long that takes; if one dies, torchrun ends them all.
        dist.init_process_group("gloo", store=store, rank=rank, world_size=world, timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(f"the {world} processes cannot find each other: {reason}", remedy=REMEDY) from error
    try:
        yield Ranks(rank, _number("LOCAL_RANK", rank), world)
    finally:
        dist.destroy_process_group()


def _numbers() -> tuple[int, int]:
    """This process's number and how many there are, as torchrun tells; 0 and 1 where nobody does."""
    world = _number("WORLD_SIZE", 1)
    if world < 2:
        return 0, 1
    if missing := [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]:
        raise UsageError(f"WORLD_SIZE is {world}, but {' and '.join(missing)} are not set", remedy=REMEDY)
    if not 0 <= (rank := _number("RANK", 0)) < world:
        raise UsageError(f"RANK is {rank}, of {world} processes it must be 0 to {world - 1}", remedy=REMEDY)
    return rank, world


def _number(name: str, default: int) -> int:
    """An integer of the environment; schedulers leave some of them empty."""
    text = os.environ.get(name) or str(default)
    try:
        return int(text)
    except ValueError as error:
        raise UsageError(f"{name} must be an integer, the environment has '{text}'", remedy=REMEDY) from error

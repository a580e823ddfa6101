"""Several processes that evaluate one track: who asks which episodes, and how their answers come together.

The processes are torchrun's; alone, a process is the first of one. Since each mask depends on its own episode
alone and counts are integers, the table of counts is the same for any number of processes, to the byte.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, TypeVar

from fssbench.base.errors import UsageError
from fssbench.engine.liveness import Peer, Store, Watch, meet
from fssbench.episodes.episodes import Track

__all__ = ["Ranks", "joined", "speaks"]

T = TypeVar("T")

AMONG_TORCHRUN, AMONG_OTHERS = timedelta(minutes=10), timedelta(seconds=30)
"""How long processes wait until all are there. What a scheduler left behind tells of some that never come."""
PATIENCE = timedelta(days=30)
"""How long a message may take. Whoever is done first waits for the slowest, and `Watch` knows that it lives."""
REMEDY = "start several processes with torchrun, or take WORLD_SIZE out of the environment to run one"


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among all: its number from 0, its number on its machine, and how many there are."""

    rank: int = 0
    local: int = 0
    world: int = 1
    watch: Watch | None = field(default=None, repr=False, compare=False)

    @staticmethod
    def here() -> Ranks:
        """What the environment tells, as torchrun sets it; one alone where nobody does."""
        rank, world = _numbers()
        return Ranks(rank, _number("LOCAL_RANK", rank), world) if world > 1 else Ranks()

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
        with self.together():
            dist.all_gather_object(values, value)
        return values  # type: ignore[return-value]  # every place has been filled

    def collect(self, value: T) -> list[T]:
        """What every process passes here, by rank, in the first of them; in any other nothing."""
        if self.world == 1:
            return [value]
        import torch.distributed as dist

        values: list[T | None] | None = [None] * self.world if self.first else None
        with self.together():
            dist.gather_object(value, values)
        return values or []  # type: ignore[return-value]  # likewise

    def require_all(self) -> None:
        """Raise `RankError` if another process has ended before its time."""
        if self.watch is not None:
            self.watch.require_all()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Around what processes compute together: if it breaks off, `RankError` tells which of them has ended."""
        try:
            yield
        except RuntimeError as error:
            if self.watch is not None:
                self.watch.explain(error)
            raise


def speaks() -> bool:
    """Whether this is the process that prints: the first of torchrun's, or one that is alone."""
    return Ranks.here().first


@contextmanager
def joined(device: str = "cpu") -> Iterator[Ranks]:
    """The processes that torchrun started with this one, connected while the block runs; or this one alone.

    Args:
        device: where the tensors are that they exchange.

    Raises:
        UsageError: the environment tells of several that cannot find each other.
        RankError: one of them has ended before its time.
    """
    here = Ranks.here()
    if here.world == 1:
        yield here
        return
    import torch.distributed as dist

    try:
        store = _store(here)
        found = Peer.here(here.rank, here.world)
        watch = meet(store, found, host=os.environ["MASTER_ADDR"], patience=_patience())
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(f"the {here.world} processes cannot find each other: {reason}", remedy=REMEDY) from error
    ranks = replace(here, watch=watch)
    try:
        with ranks.together():
            backend = _backend(store, here, device)
            dist.init_process_group(**backend, store=store, rank=here.rank, world_size=here.world, timeout=PATIENCE)
        yield ranks
        dist.destroy_process_group()
        watch.finish()
    except BaseException as error:
        watch.fail(error)  # before all else, which may wait for the others
        if dist.is_initialized():
            dist.destroy_process_group()
        raise
    finally:
        watch.close()


def _patience() -> timedelta:
    return AMONG_TORCHRUN if "TORCHELASTIC_RUN_ID" in os.environ else AMONG_OTHERS


def _store(here: Ranks) -> Any:
    """Where the processes leave each other notes; a new one each time, though torchrun's own outlives a meeting."""
    import torch.distributed as dist
    from torch.distributed.rendezvous import rendezvous

    store, *_ = next(rendezvous("env://", here.rank, here.world, timeout=_patience()))
    attempt = f"fssbench/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"
    meeting = store.add(f"{attempt}/of rank {here.rank}", 1)
    return dist.distributed_c10d.PrefixStore(f"{attempt}/{meeting}", store)


def _backend(store: Store, here: Ranks, device: str) -> dict[str, Any]:
    """How messages travel: objects by gloo, and tensors on GPUs by NCCL, which wants one for each process."""
    import torch
    import torch.distributed as dist

    gpu = ""
    if device.startswith("cuda") and dist.is_nccl_available():
        torch.cuda.set_device(device)
        gpu = str(torch.cuda.get_device_properties(device).uuid)
    store.set(f"gpu {here.rank}", gpu)
    gpus = {store.get(f"gpu {rank}").decode() for rank in range(here.world)}
    if "" in gpus or len(gpus) < here.world:
        return {"backend": "gloo"}
    return {"backend": "cpu:gloo,cuda:nccl", "device_id": torch.device(device)}


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

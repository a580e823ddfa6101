"""An epoch: what is drawn, from which lists, and how samples become tensors."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass

from fssbench.base.errors import UsageError
from fssbench.episodes.training import TrainingLists
from fssbench.models.interface import Preprocess
from fssbench.pipelines.training_sets.augment import Augmentation
from fssbench.pipelines.training_sets.training_set import TrainingSet

__all__ = ["Epoch", "EpochPlan"]


@dataclass(frozen=True, kw_only=True)
class EpochPlan:
    """What an epoch is.

    Attributes:
        seed: of everything that is drawn.
        shot: supports of an episode; means nothing to images without episodes.
        episodes: of an epoch, or images of it; ``None`` for as many as `TrainingLists.epoch` says.
        batch: episodes (or images) of a batch, over all ranks together.
        drop_last: whether what does not fill a batch at an epoch's end is left out; if not, it is a smaller one.
    """

    seed: int = 0
    shot: int = 1
    episodes: int | None = None
    batch: int
    drop_last: bool = True

    def length(self, lists: TrainingLists) -> int:
        """Episodes (or images) of an epoch that are used."""
        return min(self.n_batches(lists) * self.batch, self._total(lists))

    def n_batches(self, lists: TrainingLists) -> int:
        """Batches of an epoch; `UsageError` if there is not one."""
        total = self._total(lists)
        if self.batch < 1 or total < self.batch:
            raise UsageError(
                f"an epoch of {total:,} does not fill a batch of {self.batch:,}",
                remedy="choose a smaller batch, or more episodes",
            )
        return total // self.batch if self.drop_last else math.ceil(total / self.batch)

    def _total(self, lists: TrainingLists) -> int:
        return lists.epoch if self.episodes is None else self.episodes


@dataclass(frozen=True)
class Epoch:
    """An epoch, or what is left of it, or one rank's share of that.

    Attributes:
        lists: what is drawn from.
        number: counted from 0; −1 for validation.
        start: the first batch that is wanted.
        rank: which of ``world`` processes wants its part of every batch.
        preprocess: the model's; its size is that of the tensors.
        augmentation: ``None`` for none: images are squashed as for a test.
        workers: threads that read and decode.
    """

    training_set: TrainingSet
    lists: TrainingLists
    _: KW_ONLY
    plan: EpochPlan
    number: int
    start: int = 0
    rank: int = 0
    world: int = 1
    preprocess: Preprocess
    augmentation: Augmentation | None = None
    workers: int = 2

    def shares(self) -> list[tuple[int, ...]]:
        """The rank's indices in every batch from the first wanted on: the ``rank``-th of ``world`` equal runs.

        Only of a smaller last batch the runs differ, by one at most, and may be empty.

        Raises `UsageError` if the ranks cannot share a batch evenly, or there is no such batch.
        """
        batch = self.plan.batch
        if not 0 <= self.rank < self.world or batch % self.world:
            raise UsageError(
                f"rank {self.rank} of {self.world} cannot take an equal part of a batch of {batch}",
                remedy="choose a batch that the number of processes divides",
            )
        n, length = self.plan.n_batches(self.lists), self.plan.length(self.lists)
        if not 0 <= self.start <= n:
            raise UsageError(f"batch {self.start} was asked for, the epoch has {n}", remedy=f"start at 0 to {n}")
        wholes = (range(number * batch, min((number + 1) * batch, length)) for number in range(self.start, n))
        cuts = (self.rank, self.rank + 1)
        return [tuple(whole[slice(*(len(whole) * cut // self.world for cut in cuts))]) for whole in wholes]

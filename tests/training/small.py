"""A model small enough to train in a test, and episodes of coloured squares held in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fssbench.episodes.episodes import Episode
from fssbench.models.batch import EpisodeBatch
from fssbench.models.dtypes import at_least_float32
from fssbench.models.interface import FewShotSegmenter, Preprocess
from fssbench.models.trainable import Group, Step
from fssbench.training.loop import Supply
from fssbench.training.recipe import Recipe, overridden, parse_recipe

SIDE = 12
EPISODES, BATCH = 13, 4

RECIPE = """
model = "small"
benchmark = "toy"
source = "made up"

[optimizer]
name = "adamw"
rate = 0.05
weight_decay = 0.01

[schedule]
name = "poly"

[run]
batch = 4
epochs = 3
validate_every = 5
"""


def recipe(**changes: object) -> Recipe:
    """The small model's recipe with some settings changed, ``__`` for a dot."""
    made = parse_recipe(RECIPE, where="the test")
    return overridden(made, {name.replace("__", "."): value for name, value in changes.items()})


class Small(FewShotSegmenter):
    """Compares the query with the support's mean colour; some of it is frozen, and there is dropout."""

    needs_training = True

    def __init__(self, *, dropout: float = 0.2) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            self.features = nn.Conv2d(3, 4, 1).requires_grad_(False)
            self.compare = nn.Conv2d(8, 6, 3, padding=1)
            self.norm = nn.BatchNorm2d(4)
            self.decide = nn.Conv2d(6, 2, 1)
        self.dropout = nn.Dropout(dropout)
        self.preprocess = Preprocess(size=SIDE)

    def logits(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        dtype = self.decide.weight.dtype
        query, supports, masks = query.to(dtype), supports.to(dtype), masks.to(dtype)
        asked, shown = self.norm(self.features(query)), self.features(supports[:, 0])
        mean = (shown * masks[:, :1]).sum((2, 3), keepdim=True) / masks[:, :1].sum((2, 3), keepdim=True).clamp(min=1)
        x = F.relu(self.compare(torch.cat([asked, mean.expand_as(asked)], dim=1)))
        logits: Tensor = self.decide(self.dropout(x))
        return logits

    def predict(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        return self.logits(query, supports, masks).argmax(dim=1).to(torch.uint8)

    def groups(self) -> list[Group]:
        return [
            Group(name="compare", parameters=tuple(self.compare.parameters())),
            Group(name="decide", parameters=tuple(self.decide.parameters()), rate=2.0),
        ]

    def learn(self) -> None:
        self.train()
        self.norm.eval()

    def step(self, batch: EpisodeBatch) -> Step:
        normalise = self.preprocess.normalise
        masks = (batch.support_target == 1).float()
        logits = self.logits(normalise(batch.query), normalise(batch.support), masks)
        loss = F.cross_entropy(logits.to(at_least_float32(logits.dtype)), (batch.query_target == 1).long())
        return Step(loss=loss, parts={"ce": loss.detach()}, predictions=logits.detach().argmax(dim=1))


def episode_batch(epoch: int, indices: tuple[int, ...]) -> EpisodeBatch:
    """Squares of the class's colour on grey, that depend on the epoch and their index alone."""
    images, masks = [], []
    for index in indices:
        draw = torch.Generator().manual_seed(1000 * epoch + index)
        both, squares = torch.full((2, 3, SIDE, SIDE), 90), torch.zeros(2, SIDE, SIDE, dtype=torch.uint8)
        for n in range(2):
            y, x = torch.randint(0, SIDE - 5, (2,), generator=draw).tolist()
            squares[n, y : y + 5, x : x + 5] = 1
            both[n, index % 3, y : y + 5, x : x + 5] = 220
        images.append((both + torch.randint(-20, 20, both.shape, generator=draw)).to(torch.uint8))
        masks.append(squares)
    pictures, targets = torch.stack(images), torch.stack(masks)
    return EpisodeBatch(
        epoch=epoch,
        indices=indices,
        episodes=tuple(Episode(i % 3, f"e{epoch}q{i}", (f"e{epoch}s{i}",)) for i in indices),
        query=pictures[:, 0],
        query_target=targets[:, 0],
        support=pictures[:, 1:],
        support_target=targets[:, 1:],
        class_ids=torch.tensor([i % 3 for i in indices]),
        class_positions=torch.tensor([i % 3 for i in indices]),
        query_labels=targets[:, 0],
    )


def supply(
    *, rank: int = 0, world: int = 1, spoil: Callable[[EpisodeBatch], EpisodeBatch] = lambda batch: batch
) -> Supply[EpisodeBatch]:
    """Thirteen episodes an epoch in batches of four, of which the last has one; every process has its neighbours."""

    def batches(epoch: int, first: int) -> Iterator[EpisodeBatch]:
        for start in range(first * BATCH, EPISODES, BATCH):
            whole = range(start, min(start + BATCH, EPISODES))
            cuts = [len(whole) * r // world for r in (rank, rank + 1)]
            share = tuple(whole[slice(*cuts)])
            yield spoil(episode_batch(epoch, share)) if share else _empty(epoch)

    return Supply(batches=batches, episodes=EPISODES, batch=BATCH, n_classes=80)


def _empty(epoch: int) -> EpisodeBatch:
    one = episode_batch(epoch, (0,))
    nothing = {name: value[:0] for name, value in vars(one).items() if name != "epoch"}
    return EpisodeBatch(epoch=epoch, **nothing)

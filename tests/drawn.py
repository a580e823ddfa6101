"""Tables of counts drawn from a population of images whose difficulty is known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fssbench.episodes.episodes import Episode, Track
from fssbench.scoring.counts import CountsTable, QueryFacts

PIXELS = 100_000
POLICIES = ("original/ignore", "model/ignore")


class Population:
    """Images of some classes, each easy or hard as a query and good or bad as a support.

    The IoU of an episode is the logistic of its query's and its supports' effects and of chance, so episodes
    that share an image are alike, as real ones are.
    """

    def __init__(self, *, classes: int, images: int, seed: int = 0, better: float = 0.0) -> None:
        random = np.random.RandomState(seed)
        self.classes, self.images, self.better = classes, images, better
        self.as_query = 0.6 * random.randn(classes, images)
        self.as_support = 0.4 * random.randn(classes, images)
        self.union = random.lognormal(7, 0.8, (classes, images)).astype(np.int64) + 50

    def table(self, n: int, *, shot: int = 1, seed: int = 0, chance: int = 0) -> CountsTable:
        """``n`` episodes, classes in turn, queries taking turns within a class; ``chance`` seeds the answers."""
        random, luck = np.random.RandomState(seed), np.random.RandomState(10_000 + chance)
        turns = [random.permutation(self.images) for _ in range(self.classes)]
        episodes, rows, queries = [], [], []
        for i in range(n):
            c, turn = i % self.classes, i // self.classes
            query = int(turns[c][turn % self.images])
            supports: list[int] = []
            while len(supports) < shot:
                drawn = int(random.randint(self.images))
                supports += [drawn] if drawn not in (query, *supports) else []
            effect = self.better + self.as_query[c, query] + self.as_support[c, supports].mean() + 0.5 * luck.randn()
            union = int(self.union[c, query])
            inter = int(union / (1 + np.exp(-effect)))
            rows.append([inter, union, PIXELS - union, PIXELS - inter, PIXELS])
            episodes.append(Episode(c, f"{c}/{query}", tuple(f"{c}/{s}" for s in supports)))
            queries.append(QueryFacts(object_pixels=union, image_pixels=PIXELS, n_classes=1 + query % 2))
        track = Track(benchmark="coco-20i", protocol="", fold=0, shot=shot, seed=seed, episodes=tuple(episodes))
        counts: npt.NDArray[np.int64] = np.array(rows, dtype=np.int64)
        return CountsTable(track, POLICIES, np.stack([counts, counts], axis=1), tuple(queries))


def names(classes: int) -> dict[int, str]:
    """The classes' names."""
    return {c: f"class {c}" for c in range(classes)}

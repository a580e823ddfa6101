"""Figures of some episodes, of those episodes resampled, and how much each episode moves each figure.

What `fssbench.scoring.uncertainty` makes intervals of; figures as numbers with NaN where they are undefined, which
never leave the two modules.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from fssbench.episodes.episodes import Track

__all__ = ["FIGURES", "RESAMPLES", "Sample"]

Floats = npt.NDArray[np.float64]

RESAMPLES = 2_000
MIN_QUERIES = 10
"""With fewer query images of a class, nothing is said about how sure its figure is."""

FIGURES = ("miou", "fb_iou", "episode_iou")
"""The overall figures, in the order they stand behind those of the classes."""


class Sample:
    """The episodes that figures rest on: whose class they are and which images they share.

    Attributes:
        classes: the classes that figures are of, ascending.
        digest: SHA-256 (hex) of the track, which seeds the resampling.
        shot: supports of an episode.
        of_class: for each class the rows of its episodes.
        images: of each episode, its query first; an image that supports an episode twice is one image.
    """

    def __init__(self, track: Track, *, classes: Sequence[int], members: npt.NDArray[np.bool_] | None = None) -> None:
        chosen = [e for i, e in enumerate(track.episodes) if members is None or members[i]]
        self.classes = tuple(classes)
        self.digest = track.digest
        self.shot = track.shot
        self.of_class = [np.flatnonzero([e.class_id == c for e in chosen]) for c in self.classes]
        self.images = tuple(tuple(dict.fromkeys((e.query, *e.supports))) for e in chosen)
        self.n_queries = [len({chosen[i].query for i in rows}) for rows in self.of_class]
        self.n_images = [len({image for i in rows for image in self.images[i]}) for rows in self.of_class]

    def __len__(self) -> int:
        return len(self.images)

    def says_of_class(self, c: int) -> bool:
        """Whether there is enough to say how sure the figure of the c-th class is.

        Ten query images, and more images than one episode takes.
        """
        return self.n_queries[c] >= MIN_QUERIES and self.n_images[c] > self.shot + 1

    @property
    def says_of_episodes(self) -> list[bool]:
        """Whether there is enough to say how sure each figure is, if other episodes were drawn.

        For the overall ones every class must vary, and together they need the degrees of freedom that ten
        episodes of one class have.
        """
        sizes = [len(rows) for rows in self.of_class]
        enough = min(sizes, default=0) >= 2 and sum(n - 1 for n in sizes) >= MIN_QUERIES - 1
        return [*map(self.says_of_class, range(len(self.classes))), *[enough] * len(FIGURES)]

    @property
    def says_of_images(self) -> list[bool]:
        """Likewise if other images were drawn: the overall figures need enough of every class."""
        of_class = [*map(self.says_of_class, range(len(self.classes)))]
        return [*of_class, *[bool(of_class) and all(of_class)] * len(FIGURES)]

    @property
    def freedom(self) -> list[int]:
        """Degrees of freedom of each figure, if other images were drawn: of a mean, those of its classes together."""
        own = [n - 1 for n in self.n_images]
        return [*own, *[sum(own)] * len(FIGURES)]

    def figures(self, counts: npt.NDArray[np.int64]) -> Floats:
        """The classes' IoU, then `FIGURES`: (M, C + 3) for counts (N, M, 5); NaN where one is undefined."""
        columns = _columns(counts)
        sums = np.stack([columns[rows].sum(axis=0) for rows in self.of_class], axis=1)
        return _figures(sums, n_episodes=len(self))

    def resampled(self, counts: npt.NDArray[np.int64]) -> Floats:
        """`figures` of resampled episodes: (R, M, C + 3), the same episodes for all M."""
        columns = _columns(counts)
        sums = np.zeros((RESAMPLES, counts.shape[1], len(self.classes), columns.shape[2]))
        times = _draws(int(self.digest[:8], 16), tuple(map(len, self.of_class)))
        for c, rows in enumerate(self.of_class):
            n = len(rows)
            if n < 2:  # nothing to resample; `says_of_episodes` tells
                sums[:, :, c] = columns[rows].sum(axis=0) if n else np.nan
                continue
            # How often each episode is drawn decides everything; sums of counts stay exact in float64.
            drawn = times[c].astype(np.float64) @ columns[rows].reshape(n, -1)
            sums[:, :, c] = drawn.reshape(RESAMPLES, *columns.shape[1:]) * (n / (n - 1))
        found = _figures(sums, n_episodes=len(self))
        pairs = [c for c, rows in enumerate(self.of_class) if len(rows) == 2]
        for c in pairs:
            found[:, :, c] = _of_two(columns[self.of_class[c]], times[c])
        if pairs:
            found[:, :, -3] = found[:, :, : len(self.classes)].mean(axis=-1)
        return found

    def influence(self, counts: npt.NDArray[np.int64]) -> Floats:
        """How much each episode moves each figure, to first order: (N, C + 3) for counts (N, 5).

        IoU = I / U moves by (i − IoU · u) / U for an episode that adds i and u. The number of episodes of a class is
        fixed, so within each class these sum to 0.
        """
        columns = _columns(counts[:, None])[:, 0]
        moves = np.zeros((len(self), len(self.classes) + len(FIGURES)))
        totals = columns.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):  # undefined figures are NaN, and get no interval
            fb = [(columns[:, i] - totals[i] / totals[u] * columns[:, u]) / totals[u] for i, u in ((0, 1), (2, 3))]
            overall = np.stack([fb[0] / 2 + fb[1] / 2, columns[:, 4] / max(len(self), 1)], axis=1)
            for c, rows in enumerate(self.of_class):
                if not len(rows):
                    continue
                inter, union = columns[rows, 0], columns[rows, 1]
                moves[rows, c] = (inter - inter.sum() / union.sum() * union) / union.sum()
                moves[rows, -3] = moves[rows, c] / len(self.classes)
                moves[rows, -2:] = overall[rows] - overall[rows].mean(axis=0)
                moves[rows] *= _few_images(self.n_images[c], self.shot)
        return moves


@lru_cache(maxsize=8)
def _draws(seed: int, sizes: tuple[int, ...]) -> tuple[npt.NDArray[np.unsignedinteger], ...]:
    """How often each resample has each episode, (R, n) for every class of n episodes.

    Remembered, as drawing takes longer than all that is done with it and is the same for every model.
    """
    random = np.random.RandomState(seed)
    times = []
    for n in sizes:
        drawn = random.multinomial(n - 1, np.full(n, 1 / n), size=RESAMPLES) if n > 1 else np.zeros((RESAMPLES, n))
        times.append(drawn.astype(np.min_scalar_type(int(drawn.max(initial=0)))))
    return tuple(times)


def _of_two(columns: Floats, times: npt.NDArray[np.unsignedinteger]) -> Floats:
    """The IoU of a class of two episodes, resampled: (R, M) for columns (2, M, 5).

    A resample of two is one episode, whose IoU as a class is its own. So what is drawn is by how much an episode's IoU
    departs from the mean of the two; to first order in the sums alone, the spread would come out too small.
    """
    own = _ratio(columns[..., 0], columns[..., 1])
    together = _ratio(columns[..., 0].sum(axis=0), columns[..., 1].sum(axis=0))
    found: Floats = together + times.astype(np.float64) @ (own - own.mean(axis=0))
    return found


def _few_images(n: int, shot: int) -> float:
    """By how much the influences of a class's episodes are too small for having been centred.

    As in a sample variance, n images have n − 1 degrees of freedom. And if each episode takes 1 + K of n images,
    those beside image i have on average the opposite of its effect, which hides K / (n − 1) of it.
    """
    return math.sqrt(n / (n - 1)) * (n - 1) / (n - 1 - shot) if n > shot + 1 else 1.0


def _columns(counts: npt.NDArray[np.int64]) -> Floats:
    """Counts (N, M, 5) as what figures are sums of, (N, M, 5): foreground and background counts, and the own IoU."""
    columns = counts.astype(np.float64)
    columns[..., 4] = _ratio(columns[..., 0], columns[..., 1])
    return columns


def _figures(sums: Floats, *, n_episodes: int) -> Floats:
    """Sums (…, C, 5) of `_columns` by class → (…, C + 3) figures, NaN where undefined."""
    per_class = _ratio(sums[..., 0], sums[..., 1])
    total = sums.sum(axis=-2)
    fb = (_ratio(total[..., 0], total[..., 1]) + _ratio(total[..., 2], total[..., 3])) / 2
    overall = np.stack([per_class.mean(axis=-1), fb, total[..., 4] / max(n_episodes, 1)], axis=-1)
    return np.concatenate([per_class, overall], axis=-1)


def _ratio(intersection: Floats, union: Floats) -> Floats:
    """IoU, NaN where it is undefined."""
    return np.divide(intersection, union, out=np.full_like(union, np.nan), where=union > 0)

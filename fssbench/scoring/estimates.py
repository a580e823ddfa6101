"""Figures of some episodes, of those episodes resampled, and how much each episode moves each figure.

What `fssbench.scoring.uncertainty` makes intervals of; figures as numbers with NaN where they are undefined, which
never leave the two modules.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from fssbench.episodes.episodes import Track

__all__ = ["FIGURES", "RESAMPLES", "Moves", "Sample"]

Floats = npt.NDArray[np.float64]

RESAMPLES = 2_000
MIN_QUERIES = 10
"""With fewer query images of a class, nothing is said about how sure its figure is."""

FIGURES = ("miou", "fb_iou", "episode_iou")
"""The overall figures, in the order they stand behind those of the classes."""

BLOCK = 2**22
"""Draws, of some resamples of a class's episodes, that are held at a time."""
TILE = 16
REMEMBERED = 25_000
"""Episodes up to which all draws are remembered, one byte each."""


@dataclass(frozen=True, eq=False)
class Moves:
    """How much each episode moves each figure: its own class's and the overall ones, and no other.

    Attributes:
        classes: (N,) the position of the episode's class.
        own: (N,) of its class's figure.
        overall: (N, 3) of `FIGURES`.
    """

    classes: npt.NDArray[np.int64]
    own: Floats
    overall: Floats

    def minus(self, other: Moves) -> Moves:
        """Of the differences from another's figures, on the same episodes."""
        return Moves(self.classes, self.own - other.own, self.overall - other.overall)

    @staticmethod
    def mean(parts: Sequence[Moves]) -> Moves:
        """Of the mean of every figure over several tracks."""
        return Moves(
            np.concatenate([part.classes for part in parts]),
            np.concatenate([part.own for part in parts]) / len(parts),
            np.concatenate([part.overall for part in parts]) / len(parts),
        )

    def squares(self, images: Iterable[Sequence[str]], *, n_classes: int) -> Floats:
        """Σ ψ_e ψ_f for each figure, (C + 3,): over all pairs of episodes that share an image, and at least Σ ψ_e².

        Args:
            images: of each episode, each once.
            n_classes: the first so many figures are classes'; 0 for the overall ones alone.
        """
        numbers: dict[str, int] = {}
        each, codes = [], []
        for own in images:
            each.append(len(own))
            codes += [numbers.setdefault(image, len(numbers)) for image in own]
        code, times = np.array(codes, dtype=np.int64), np.array(each, dtype=np.int64)
        found = [_squares(code, times, move) for move in self.overall.T]
        if n_classes:
            # An image that episodes of several classes share counts for each of them alone.
            pairs, code = np.unique(code * n_classes + np.repeat(self.classes, times), return_inverse=True)
            found = [*_squares_by(code, times, self.own, pairs % n_classes, self.classes, n_classes), *found]
        return np.array(found)


def _squares(code: npt.NDArray[np.int64], times: npt.NDArray[np.int64], move: Floats) -> float:
    """`Moves.squares` of one figure."""
    none = np.zeros(len(move), dtype=np.int64), np.zeros(int(code.max(initial=-1)) + 1, dtype=np.int64)
    return float(_squares_by(code, times, move, none[1], none[0], 1)[0])


def _squares_by(
    code: npt.NDArray[np.int64],
    times: npt.NDArray[np.int64],
    move: Floats,
    class_of_code: npt.NDArray[np.int64],
    classes: npt.NDArray[np.int64],
    n_classes: int,
) -> Floats:
    """`Moves.squares` of the figures of classes."""
    by_image = np.bincount(code, np.repeat(move, times))
    shared = np.bincount(class_of_code, by_image**2, n_classes)
    own = np.bincount(classes, move**2, n_classes)
    again = np.bincount(classes, (times - 1) * move**2, n_classes)
    found: Floats = np.maximum(shared - again, own)
    return found


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
        ids = np.array([e.class_id for e in chosen], dtype=np.int64)
        by_class = np.argsort(ids, kind="stable")
        ends = [np.searchsorted(ids[by_class], self.classes, side=side) for side in ("left", "right")]
        self.of_class = [by_class[first:end] for first, end in zip(*ends, strict=True)]
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
        pairs: dict[int, Floats] = {}
        for c, rows in enumerate(self.of_class):
            if len(rows) < 2:  # nothing to resample; `says_of_episodes` tells
                sums[:, :, c] = columns[rows].sum(axis=0) if len(rows) else np.nan
        for c, some, times in _draws(int(self.digest[:8], 16), tuple(map(len, self.of_class))):
            rows = self.of_class[c]
            n = len(rows)
            # How often each episode is drawn decides everything; sums of counts stay exact in float64.
            drawn = times.astype(np.float64) @ columns[rows].reshape(n, -1)
            sums[some, :, c] = drawn.reshape(-1, *columns.shape[1:]) * (n / (n - 1))
            if n == 2:
                pairs[c] = _of_two(columns[rows], times)
        found = _figures(sums, n_episodes=len(self))
        for c, of_two in pairs.items():
            found[:, :, c] = of_two
        if pairs:
            found[:, :, -3] = found[:, :, : len(self.classes)].mean(axis=-1)
        return found

    def influence(self, counts: npt.NDArray[np.int64]) -> Moves:
        """How much each episode moves each figure, to first order, for counts (N, 5).

        IoU = I / U moves by (i − IoU · u) / U for an episode that adds i and u. The number of episodes of a class is
        fixed, so within each class these sum to 0.
        """
        columns = _columns(counts[:, None])[:, 0]
        classes, own = np.zeros(len(self), dtype=np.int64), np.zeros(len(self))
        moves = np.zeros((len(self), len(FIGURES)))
        totals = columns.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):  # undefined figures are NaN, and get no interval
            fb = [(columns[:, i] - totals[i] / totals[u] * columns[:, u]) / totals[u] for i, u in ((0, 1), (2, 3))]
            overall = np.stack([fb[0] / 2 + fb[1] / 2, columns[:, 4] / max(len(self), 1)], axis=1)
            for c, rows in enumerate(self.of_class):
                if not len(rows):
                    continue
                inter, union = columns[rows, 0], columns[rows, 1]
                of_class = (inter - inter.sum() / union.sum() * union) / union.sum()
                few = _few_images(self.n_images[c], self.shot)
                classes[rows], own[rows] = c, of_class * few
                moves[rows, 0] = of_class / len(self.classes)
                moves[rows, 1:] = overall[rows] - overall[rows].mean(axis=0)
                moves[rows] *= few
        return Moves(classes, own, moves)


Draws = tuple[int, slice, npt.NDArray[np.unsignedinteger]]


def _draws(seed: int, sizes: tuple[int, ...]) -> Iterable[Draws]:
    """How often resamples have episodes: (r, n) for some resamples at a time of a class of n episodes, class by class.

    Classes of fewer than two are left out.
    """
    return _remembered(seed, sizes) if sum(sizes) <= REMEMBERED else _drawn(seed, sizes)


@lru_cache(maxsize=8)
def _remembered(seed: int, sizes: tuple[int, ...]) -> tuple[Draws, ...]:
    """Drawing takes longer than all that is done with it, and is the same for every model."""
    return tuple(_drawn(seed, sizes))


def _drawn(seed: int, sizes: tuple[int, ...]) -> Iterator[Draws]:
    random = np.random.RandomState(seed)
    for c, n in enumerate(sizes):
        # Whole tiles of a matrix product, which round alike however many there are.
        at_once = TILE * max(1, BLOCK // TILE // max(1, n))
        for first in range(0, RESAMPLES if n > 1 else 0, at_once):
            some = slice(first, min(first + at_once, RESAMPLES))
            drawn = random.multinomial(n - 1, np.full(n, 1 / n), size=some.stop - some.start)
            yield c, some, drawn.astype(np.min_scalar_type(int(drawn.max(initial=0))))


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

"""How sure a score is, and how sure a difference of two.

Two questions have two answers, and every interval says which of them it is:

*Other episodes of the same images.* What if other queries and supports had been drawn from these images? Episodes
are resampled within their class, so every class keeps its number; one less than there are is drawn and weighted up
accordingly, without which a class of few episodes would look too sure (Rao and Wu 1988). The digest of the episodes
seeds it, and the generator is numpy's legacy one, whose stream is frozen.

*Other images.* What if the images had been others? Episodes that share a query or a support image tell less than
independent ones. Each figure is linearised, and the squares and products of all episodes that share an image are
summed (Aronow, Samii and Assenova 2015, with more than two members): no random numbers at all. Resampling images
instead would have to multiply the draws of the query and of K supports, and with five supports most products are 0.
What a class of few images makes too small is put right by `_few_images`, and by Student's t.

The first is what more episodes make smaller; the second is what a claim about a method needs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from fssbench.episodes import Track

__all__ = [
    "METHODS",
    "Difference",
    "Interval",
    "Sample",
    "Uncertainty",
    "differences",
    "holm",
    "spread",
    "uncertainties",
]

Floats = npt.NDArray[np.float64]

RESAMPLES = 2_000
LEVEL = 0.95
METHODS = {
    "episodes": f"95 %, {RESAMPLES:,} resamples of episodes within class",
    "images": "95 %, linearised, clustered by query and support image",
}
MIN_QUERIES = 10
"""With fewer query images of a class, nothing is said about how sure its figure is."""
NORMAL = NormalDist().inv_cdf((1 + LEVEL) / 2)

FIGURES = ("miou", "fb_iou", "episode_iou")
"""The overall figures, in the order they stand behind those of the classes."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % interval of a figure in [0, 1], or of a difference in [−1, 1]."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """A figure's intervals: if other episodes, or other images, had been drawn.

    ``None`` where there are too few episodes or images to say, or where a resample has no such figure.
    """

    episodes: Interval | None
    images: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One model's figure less another's, on the same episodes.

    Attributes:
        value: in [−1, 1].
        between: its intervals.
        p_episodes: two-sided p-value against no difference, if other episodes had been drawn.
        p_images: likewise if other images had been drawn.
    """

    value: float
    between: Uncertainty
    p_episodes: float | None
    p_images: float | None


class Sample:
    """The episodes that figures rest on: whose class they are and which images they share.

    Attributes:
        classes: the classes that figures are of, ascending.
        digest: SHA-256 (hex) of the track, which seeds the resampling.
        rows: (N,) bool, the episodes of the track that belong to the sample.
    """

    def __init__(self, track: Track, *, classes: Sequence[int], members: npt.NDArray[np.bool_] | None = None) -> None:
        everyone = np.ones(len(track.episodes), dtype=np.bool_)
        self.classes = tuple(classes)
        self.digest = track.digest
        self.rows = everyone if members is None else members
        chosen = [e for e, is_member in zip(track.episodes, self.rows, strict=True) if is_member]
        self.of_class = [np.flatnonzero([e.class_id == c for e in chosen]) for c in self.classes]
        codes: dict[str, int] = {}
        # An image that supports an episode twice is one image.
        shared = [[codes.setdefault(i, len(codes)) for i in dict.fromkeys((e.query, *e.supports))] for e in chosen]
        self._images = np.array([code for images in shared for code in images], dtype=np.int64)
        self._per_episode = np.array([len(images) for images in shared], dtype=np.int64)
        self.n_queries = [len({chosen[i].query for i in rows}) for rows in self.of_class]
        self.n_images = [len({code for i in rows for code in shared[i]}) for rows in self.of_class]
        self.shot = track.shot

    def __len__(self) -> int:
        return len(self._per_episode)

    @property
    def says_of_episodes(self) -> bool:
        """Whether there is enough to say how sure an overall figure is, if other episodes were drawn.

        Every class can vary, and together they have as many degrees of freedom as ten episodes of one class.
        """
        sizes = [len(rows) for rows in self.of_class]
        return bool(sizes) and min(sizes) >= 2 and sum(n - 1 for n in sizes) >= MIN_QUERIES - 1

    @property
    def says_of_images(self) -> bool:
        """Likewise if other images were drawn: every class has ten query images."""
        return bool(self.classes) and all(self.says_of_class(c) for c in range(len(self.classes)))

    def says_of_class(self, c: int) -> bool:
        """Whether there is enough to say how sure the figure of the c-th class is.

        Ten query images, and more images than one episode takes.
        """
        return self.n_queries[c] >= MIN_QUERIES and self.n_images[c] > self.shot + 1

    @property
    def freedom(self) -> list[int]:
        """Degrees of freedom of the figures if other images were drawn: of a mean, those of its classes together."""
        own = [n - 1 for n in self.n_images]
        return [*own, *[sum(own)] * len(FIGURES)]

    def resampled(self, counts: npt.NDArray[np.int64]) -> Floats:
        """Figures of resampled episodes.

        Args:
            counts: (N, M, 5) of M masks of each episode.

        Returns:
            (R, M, C + 3): the classes' IoU, then `FIGURES`; NaN where one is undefined.
        """
        random = np.random.RandomState(int(self.digest[:8], 16))
        columns = _columns(counts)
        sums = np.zeros((RESAMPLES, counts.shape[1], len(self.classes), columns.shape[2]))
        for c, rows in enumerate(self.of_class):
            n = len(rows)
            if n < 2:  # nothing to resample; whoever asks is told by `says_of_episodes`
                sums[:, :, c] = columns[rows].sum(axis=0) if n else np.nan
                continue
            # How often each episode is drawn decides everything; sums of counts stay exact in float64.
            times = random.multinomial(n - 1, np.full(n, 1 / n), size=RESAMPLES).astype(np.float64)
            drawn = times @ columns[rows].reshape(n, -1)
            sums[:, :, c] = drawn.reshape(RESAMPLES, *columns.shape[1:]) * (n / (n - 1))
        return _figures(sums, n_episodes=len(self))

    def influence(self, counts: npt.NDArray[np.int64]) -> Floats:
        """How much each episode moves each figure, to first order: (N, C + 3) for counts (N, 5).

        IoU = I / U moves by (i − IoU · u) / U for an episode that adds i and u. The number of episodes of a class is
        fixed, so within each class these sum to 0.
        """
        columns = _columns(counts[:, None])[:, 0]
        moves = np.zeros((len(self), len(self.classes) + len(FIGURES)))
        totals = columns.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):  # undefined figures are NaN, which `_interval` drops
            fb = [(columns[:, i] - totals[i] / totals[u] * columns[:, u]) / totals[u] for i, u in ((0, 1), (2, 3))]
            overall = np.stack([fb[0] / 2 + fb[1] / 2, columns[:, 4] / max(len(self), 1)], axis=1)
            for c, rows in enumerate(self.of_class):
                inter, union = columns[rows, 0], columns[rows, 1]
                moves[rows, c] = (inter - inter.sum() / union.sum() * union) / union.sum()
                moves[rows, -3] = moves[rows, c] / len(self.classes)
                moves[rows, -2:] = overall[rows] - overall[rows].mean(axis=0)
                moves[rows] *= _few_images(self.n_images[c], self.shot)
        return moves

    def clustered(self, moves: Floats) -> Floats:
        """Standard error of each figure if other images were drawn, from its influence (N, F): (F,).

        Σ ψ_e ψ_f over all pairs of episodes that share an image, an episode with itself included; at least
        Σ ψ_e², as if no two episodes shared any. (A pair that shares two images counts twice.)
        """
        by_image = np.zeros((int(self._images.max(initial=-1)) + 1, moves.shape[1]))
        np.add.at(by_image, self._images, np.repeat(moves, self._per_episode, axis=0))
        own = (moves**2).sum(axis=0)
        again = ((self._per_episode - 1)[:, None] * moves**2).sum(axis=0)
        error: Floats = np.sqrt(np.maximum((by_image**2).sum(axis=0) - again, own))
        return error


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
    overall = np.stack([per_class.mean(axis=-1), fb, total[..., 4] / n_episodes], axis=-1)
    return np.concatenate([per_class, overall], axis=-1)


def _ratio(intersection: Floats, union: Floats) -> Floats:
    """IoU, NaN where it is undefined; NaN never leaves this module."""
    return np.divide(intersection, union, out=np.full_like(union, np.nan), where=union > 0)


def uncertainties(sample: Sample, counts: npt.NDArray[np.int64]) -> list[list[Uncertainty]]:
    """How sure the figures of M scoring policies are.

    Args:
        counts: (N, M, 5) of the sample's N episodes.

    Returns:
        For every policy the uncertainty of each class's IoU in the sample's order, then of `FIGURES`.
    """
    resampled = sample.resampled(counts)
    found = []
    for m in range(counts.shape[1]):
        values = _figures(
            np.stack([_columns(counts[rows, m : m + 1])[:, 0].sum(axis=0) for rows in sample.of_class]),
            n_episodes=len(sample),
        )
        error = sample.clustered(sample.influence(counts[:, m]))
        found.append(_uncertain(sample, values, resampled[:, m], error, within=(0.0, 1.0)))
    return found


def _uncertain(
    sample: Sample, values: Floats, resampled: Floats, error: Floats, *, within: tuple[float, float]
) -> list[Uncertainty]:
    """Intervals of (C + 3,) values with their (R, C + 3) resamples and (C + 3,) standard errors."""
    enough = [sample.says_of_class(c) for c in range(len(sample.classes))]
    of_episodes = [*enough, *[sample.says_of_episodes] * len(FIGURES)]
    of_images = [*enough, *[sample.says_of_images] * len(FIGURES)]
    reach = [_t_quantile(freedom) * e for freedom, e in zip(sample.freedom, error, strict=True)]
    tail = 100 * (1 - LEVEL) / 2
    with np.errstate(invalid="ignore"):
        low, high = np.percentile(resampled, [tail, 100 - tail], axis=0)
    return [
        Uncertainty(
            _interval(low[f], high[f], within) if of_episodes[f] else None,
            _interval(values[f] - reach[f], values[f] + reach[f], within) if of_images[f] else None,
        )
        for f in range(len(values))
    ]


def _interval(low: float, high: float, within: tuple[float, float]) -> Interval | None:
    if math.isnan(low) or math.isnan(high):
        return None
    least, most = within
    return Interval(float(min(max(low, least), most)), float(min(max(high, least), most)))


def differences(sample: Sample, first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> list[Difference | None]:
    """The first model's figures less the second's, on the same episodes and with the same resamples.

    Args:
        first: (N, 5) counts of the sample's episodes.
        second: likewise, of the other model.

    Returns:
        Each class's difference in the sample's order, then those of `FIGURES`; ``None`` where one is undefined.
    """
    both = np.stack([first, second], axis=1)
    sums = np.stack([_columns(both[rows]).sum(axis=0) for rows in sample.of_class], axis=1)
    a, b = _figures(sums, n_episodes=len(sample))
    resampled = sample.resampled(both)
    shifted = resampled[:, 0] - resampled[:, 1]
    error = sample.clustered(sample.influence(first) - sample.influence(second))
    found: list[Difference | None] = []
    for f, between in enumerate(_uncertain(sample, a - b, shifted, error, within=(-1.0, 1.0))):
        value = float(a[f] - b[f])
        if math.isnan(value):
            found.append(None)
            continue
        found.append(
            Difference(
                value=value,
                between=between,
                p_episodes=_p_resampled(shifted[:, f]) if between.episodes else None,
                p_images=_p_student(value, float(error[f]), sample.freedom[f]) if between.images else None,
            )
        )
    return found


def _p_resampled(differences: Floats) -> float:
    """Two-sided: twice the share of resamples on the other side of 0, none of them counting as one."""
    fewer = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    return min(1.0, 2 * (fewer + 1) / (len(differences) + 1))


def _t_quantile(freedom: int) -> float:
    """The two-sided 95 % quantile of Student's t (Abramowitz and Stegun 26.7.5), right to 0.005 from 9 on."""
    z, v = NORMAL, max(freedom, 1)
    return z + (z**3 + z) / (4 * v) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)


def _p_student(value: float, error: float, freedom: int) -> float | None:
    """Two-sided p-value of a difference with its standard error (Abramowitz and Stegun 26.7.8)."""
    if error == 0:
        return 1.0 if value == 0 else None
    t = abs(value) / error
    z = t * (1 - 1 / (4 * freedom)) / math.sqrt(1 + t**2 / (2 * freedom))
    return math.erfc(z / math.sqrt(2))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """p-values corrected for their number (Holm 1979), in the given order; ``None`` stays and does not count."""
    known = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, i) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - rank) * p))
        corrected[i] = highest
    return corrected


def spread(sample: Sample, counts: npt.NDArray[np.int64]) -> Floats | None:
    """mIoU of 2,000 samples of as many other episodes of the same images, (R,), for counts (N, 5).

    ``None`` where nothing can be said.
    """
    if not sample.says_of_episodes:
        return None
    miou: Floats = sample.resampled(counts[:, None])[:, 0, -3]
    return None if np.isnan(miou).any() else miou

"""How sure a score is, and how sure a difference of two.

Two questions have two answers, and every interval says which of them it is:

*Other episodes of the same images.* What if other queries and supports had been drawn from these images? Episodes
are resampled within their class, so every class keeps its number; one less than there are is drawn and weighted up
accordingly, without which a class of few episodes would look too sure (Rao and Wu 1988). The digest of the episodes
seeds it, and the generator is numpy's legacy one, whose stream is frozen. IoU is a ratio, so resamples of few episodes
lean to one side, in each class to the same; where that leaves the figure outside its own interval, the resamples are
moved so that their median is the figure.

*Other images.* What if the images had been others? Episodes that share a query or a support image tell less than
independent ones. Each figure is linearised, and the squares and products of all episodes that share an image are
summed (Aronow, Samii and Assenova 2015, with more than two members): no random numbers at all. Resampling images
instead would have to multiply the draws of the query and of K supports, and with five supports most products are 0.
What a class of few images makes too small is put right in `fssbench.scoring.estimates`, and by Student's t.

The first is what more episodes make smaller; the second is what a claim about a method needs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from fssbench.scoring.estimates import FIGURES, RESAMPLES, Moves, Sample

__all__ = ["METHODS", "Difference", "Evidence", "Interval", "Uncertainty", "holm"]

Floats = npt.NDArray[np.float64]

LEVEL = 0.95
METHODS = {
    "episodes": f"95 %, {RESAMPLES:,} resamples of episodes within class",
    "images": "95 %, linearised, clustered by query and support image",
}


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


def _reversed(interval: Interval | None) -> Interval | None:
    return None if interval is None else Interval(-interval.high, -interval.low)


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

    def reversed(self) -> Difference:
        """The other model's figure less the one's."""
        between = Uncertainty(_reversed(self.between.episodes), _reversed(self.between.images))
        return replace(self, value=-self.value, between=between)


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """Some figures and all that says how sure they are.

    Attributes:
        values: (F,) the figures, NaN where undefined.
        resampled: (R, F) the same of resampled episodes.
        moves: how much each episode moves each figure.
        images: of each episode.
        freedom: (F,) degrees of freedom over images.
        of_episodes: (F,) whether there is enough to say how sure each is, if other episodes were drawn.
        of_images: likewise if other images were drawn.
        least: the least value a figure can have; the largest is 1.
    """

    values: Floats
    resampled: Floats
    moves: Moves
    images: tuple[tuple[str, ...], ...]
    freedom: list[int]
    of_episodes: list[bool]
    of_images: list[bool]
    least: float = 0.0

    @staticmethod
    def of(sample: Sample, counts: npt.NDArray[np.int64]) -> list[Evidence]:
        """Evidence of the figures of M masks of each episode, (N, M, 5): each class's IoU, then `FIGURES`."""
        values, resampled = sample.figures(counts), sample.resampled(counts)
        return [
            Evidence(
                values=values[m],
                resampled=np.ascontiguousarray(resampled[:, m]),  # whoever keeps it keeps no other's
                moves=sample.influence(counts[:, m]),
                images=sample.images,
                freedom=sample.freedom,
                of_episodes=sample.says_of_episodes,
                of_images=sample.says_of_images,
            )
            for m in range(counts.shape[1])
        ]

    def minus(self, other: Evidence) -> Evidence:
        """Evidence of the differences from another's figures, on the same episodes with the same resamples."""
        return replace(
            self,
            values=self.values - other.values,
            resampled=self.resampled - other.resampled,
            moves=self.moves.minus(other.moves),
            least=-1.0,
        )

    @staticmethod
    def mean(parts: Sequence[Evidence]) -> Evidence:
        """Evidence of the mean of the last figures, `FIGURES`, over several tracks, which may share images."""
        n = len(FIGURES)
        return Evidence(
            values=np.mean([part.values[-n:] for part in parts], axis=0),
            resampled=np.mean([part.resampled[:, -n:] for part in parts], axis=0),
            moves=Moves.mean([part.moves for part in parts]),
            images=tuple(images for part in parts for images in part.images),
            freedom=np.sum([part.freedom[-n:] for part in parts], axis=0).tolist(),
            of_episodes=np.all([part.of_episodes[-n:] for part in parts], axis=0).tolist(),
            of_images=np.all([part.of_images[-n:] for part in parts], axis=0).tolist(),
            least=parts[0].least,
        )

    @staticmethod
    def over_seeds(parts: Sequence[Evidence]) -> Evidence:
        """Evidence of the mean of every figure over tracks of one fold.

        They draw from the same images, so degrees of freedom over images do not add up.
        """
        return Evidence(
            values=np.mean([part.values for part in parts], axis=0),
            resampled=np.mean([part.resampled for part in parts], axis=0),
            moves=Moves.mean([part.moves for part in parts]),
            images=tuple(images for part in parts for images in part.images),
            freedom=np.max([part.freedom for part in parts], axis=0).tolist(),
            of_episodes=np.all([part.of_episodes for part in parts], axis=0).tolist(),
            of_images=np.all([part.of_images for part in parts], axis=0).tolist(),
            least=parts[0].least,
        )

    @cached_property
    def errors(self) -> Floats:
        """Standard error of each figure if other images were drawn, (F,).

        Σ ψ_e ψ_f over all pairs of episodes that share an image, an episode with itself included; at least
        Σ ψ_e², as if no two episodes shared any. (A pair that shares two images counts twice.)
        """
        error: Floats = np.sqrt(self.moves.squares(self.images, n_classes=len(self.values) - len(FIGURES)))
        return error

    @cached_property
    def centred(self) -> Floats:
        """The resamples (R, F), those of a figure moved onto it where it lies outside their middle 95 %."""
        low, high = _middle(self.resampled)
        outside = (self.values < low) | (self.values > high)  # never where anything is undefined
        if not outside.any():
            return self.resampled
        centred: Floats = self.resampled + np.where(outside, self.values - np.median(self.resampled, axis=0), 0)
        return centred

    def uncertainties(self) -> list[Uncertainty]:
        """The intervals of each figure."""
        low, high = _middle(self.centred)
        from scipy.special import stdtrit

        reach = self.errors * stdtrit(np.maximum(self.freedom, 1), (1 + LEVEL) / 2)
        return [
            Uncertainty(
                self._interval(low[f], high[f]) if self.of_episodes[f] else None,
                self._interval(value - reach[f], value + reach[f]) if self.of_images[f] else None,
            )
            for f, value in enumerate(self.values)
        ]

    def _interval(self, low: float, high: float) -> Interval | None:
        if math.isnan(low) or math.isnan(high):
            return None
        return Interval(float(min(max(low, self.least), 1)), float(min(max(high, self.least), 1)))

    def differences(self) -> list[Difference | None]:
        """Each figure as a difference from none; ``None`` where it is undefined."""
        found: list[Difference | None] = []
        for f, (between, error) in enumerate(zip(self.uncertainties(), self.errors, strict=True)):
            value = float(self.values[f])
            if math.isnan(value):
                found.append(None)
                continue
            by_episodes = _p_resampled(self.centred[:, f]) if between.episodes else None
            by_images = _p_student(value, float(error), self.freedom[f]) if between.images else None
            found.append(Difference(value=value, between=between, p_episodes=by_episodes, p_images=by_images))
        return found


def _middle(resampled: Floats) -> Floats:
    """The ends of the middle 95 % of resamples (R, F): (2, F)."""
    tail = 100 * (1 - LEVEL) / 2
    with np.errstate(invalid="ignore"):
        ends: Floats = np.percentile(resampled, [tail, 100 - tail], axis=0)
    return ends


def _p_resampled(differences: Floats) -> float:
    """Two-sided: twice the share of resamples on the other side of 0, none of them counting as one."""
    fewer = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    return min(1.0, 2 * (fewer + 1) / (len(differences) + 1))


def _p_student(value: float, error: float, freedom: int) -> float | None:
    """Two-sided p-value of a difference with its standard error, by Student's t."""
    if error == 0:
        return 1.0 if value == 0 else None
    from scipy.special import stdtr

    return float(2 * stdtr(freedom, -abs(value) / error))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """p-values corrected for their number (Holm 1979), in the given order; ``None`` stays and does not count."""
    known = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, i) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - rank) * p))
        corrected[i] = highest
    return corrected

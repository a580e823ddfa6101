"""What a definition makes of a few tiny masks.

This is a second implementation of the scores, apart from `fssbench.scoring.metrics`: it counts characters one by
one and calculates in fractions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from fssbench.scoring.conformance.definitions import Absent, Definition, Empty, Fb, Grounds, Ignored, Repeats
from fssbench.scoring.conformance.kit import CLASSES, PAIRS, Pair

__all__ = ["Numbers", "count_pixels", "numbers_under"]


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """What a definition makes of some episodes: values in [0, 1], ``None`` where it has none.

    ``per_class`` lacks a class of which the definition says nothing: one without episodes, where mIoU is
    no mean over classes.
    """

    miou: Fraction | None
    fb_iou: Fraction | None
    per_class: dict[int, Fraction | None]


@dataclass(frozen=True)
class _Tally:
    """Pixels of one episode, and how often the episode counts."""

    class_id: int
    weight: Fraction
    foreground: tuple[int, int]  # intersection, union
    background: tuple[int, int]

    def of(self, grounds: Grounds) -> tuple[tuple[int, int], ...]:
        return (self.foreground, self.background) if grounds is Grounds.BOTH else (self.foreground,)


def numbers_under(
    definition: Definition, pairs: Sequence[Pair] = PAIRS, classes: Mapping[int, str] = CLASSES
) -> Numbers:
    """mIoU, FB-IoU and IoU per class of ``pairs`` under a definition."""
    by_episode, over_classes = definition.aggregation.by_episode, definition.aggregation.over_classes
    tallies = _tallies(definition, pairs)
    per_class: dict[int, Fraction | None] = {}
    for class_id in classes:
        own = [tally for tally in tallies if tally.class_id == class_id]
        if own or over_classes:
            per_class[class_id] = _rate(own, by_episode, definition.grounds, definition.empty)
    if over_classes:
        if definition.absent is Absent.ZERO:
            per_class = {class_id: value or Fraction(0) for class_id, value in per_class.items()}
        miou = _mean(list(per_class.values()), definition.absent)
    else:
        miou = _rate(tallies, by_episode, definition.grounds, definition.empty)
    fb_iou = _rate(tallies, definition.fb is Fb.EPISODES, Grounds.BOTH, definition.empty)
    return Numbers(miou=miou, fb_iou=fb_iou, per_class=per_class)


def _tallies(definition: Definition, pairs: Sequence[Pair]) -> list[_Tally]:
    queries = [pair.query for pair in pairs]
    tallies = []
    for place, pair in enumerate(pairs):
        weight = {
            Repeats.EACH: Fraction(1),
            Repeats.LAST: Fraction(pair.query not in queries[place + 1 :]),
            Repeats.SHARED: Fraction(1, queries.count(pair.query)),
        }[definition.repeats]
        tallies.append(_Tally(pair.class_id, weight, *count_pixels(pair, definition.ignored)))
    return tallies


def count_pixels(pair: Pair, ignored: Ignored) -> tuple[tuple[int, int], tuple[int, int]]:
    """Intersection and union of a pair's foreground, and of its background, counted pixel by pixel."""
    seen = [p + t for p, t in zip("".join(pair.prediction), "".join(pair.truth), strict=True)]
    if ignored is Ignored.EXCLUDED:
        seen = [both for both in seen if both[1] != "x"]
    else:
        seen = [both.replace("x", "." if ignored is Ignored.BACKGROUND else "#") for both in seen]
    hits, rejections = seen.count("##"), seen.count("..")
    return (hits, len(seen) - rejections), (rejections, len(seen) - hits)


def _rate(tallies: Sequence[_Tally], by_episode: bool, grounds: Grounds, empty: Empty) -> Fraction | None:
    """IoU of some episodes: the mean of theirs, or that of all their pixels."""
    if by_episode:
        value_of_none = {Empty.SKIPPED: None, Empty.ZERO: Fraction(0), Empty.ONE: Fraction(1)}[empty]
        rates = [
            (tally.weight, rate)
            for tally in tallies
            for inter, union in tally.of(grounds)
            if (rate := Fraction(inter, union) if union else value_of_none) is not None
        ]
        total = sum(weight for weight, _ in rates)
        return sum((weight * rate for weight, rate in rates), Fraction(0)) / total if total else None
    values = []
    for ground in zip(*(tally.of(grounds) for tally in tallies), strict=True):
        inter = sum(tally.weight * i for tally, (i, _) in zip(tallies, ground, strict=True))
        union = sum(tally.weight * u for tally, (_, u) in zip(tallies, ground, strict=True))
        values.append(Fraction(inter) / Fraction(union) if union else None)
    return _mean(values, Absent.UNDEFINED)


def _mean(values: Sequence[Fraction | None], absent: Absent) -> Fraction | None:
    """The mean of the values, undefined if one is, unless those are skipped."""
    defined = [value for value in values if value is not None]
    if not defined or (len(defined) < len(values) and absent is not Absent.SKIPPED):
        return None
    return sum(defined, Fraction(0)) / len(defined)

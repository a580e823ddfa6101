"""What a definition makes of a few tiny masks.

This is a second implementation of the scores, apart from `fssbench.scoring.metrics`: it counts characters one by
one and calculates in fractions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from fssbench.scoring.conformance.definitions import Definition
from fssbench.scoring.conformance.kit import CLASSES, PAIRS, Pair

__all__ = ["Numbers", "count_pixels", "numbers_under"]

Ratio = tuple[int, int]
"""Intersection and union."""


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
    """Pixels of one episode's foreground and background, and how often the episode counts."""

    class_id: int
    weight: Fraction
    grounds: tuple[Ratio, Ratio]


def numbers_under(
    definition: Definition, pairs: Sequence[Pair] = PAIRS, classes: Mapping[int, str] = CLASSES
) -> Numbers:
    """mIoU, FB-IoU and IoU per class of ``pairs`` under a definition."""
    queries = [pair.query for pair in pairs]
    tallies = []
    for place, pair in enumerate(pairs):
        shared, last = Fraction(1, queries.count(pair.query)), Fraction(pair.query not in queries[place + 1 :])
        weight = {"each": Fraction(1), "last": last, "shared": shared}[definition.repeats]
        tallies.append(_Tally(pair.class_id, weight, count_pixels(pair, definition.ignored)))
    n_grounds = 2 if definition.grounds == "both" else 1

    def rate(own: Sequence[_Tally]) -> Fraction | None:
        return _by_episode(own, n_grounds, definition.empty) if definition.by_episode else _pooled(own, n_grounds)

    by_class = {class_id: [tally for tally in tallies if tally.class_id == class_id] for class_id in classes}
    per_class = {class_id: rate(own) for class_id, own in by_class.items() if own or definition.over_classes}
    if definition.over_classes and definition.absent == "zero":
        per_class = {class_id: value or Fraction(0) for class_id, value in per_class.items()}
    skipped = definition.absent == "skipped"
    return Numbers(
        miou=_mean(list(per_class.values()), skip=skipped) if definition.over_classes else rate(tallies),
        fb_iou=_by_episode(tallies, 2, definition.empty) if definition.fb == "episodes" else _pooled(tallies, 2),
        per_class=per_class,
    )


def count_pixels(pair: Pair, ignored: str) -> tuple[Ratio, Ratio]:
    """Intersection and union of a pair's foreground, and of its background, counted pixel by pixel.

    Args:
        ignored: the definition's choice.
    """
    seen = [p + t for p, t in zip("".join(pair.prediction), "".join(pair.truth), strict=True)]
    if ignored == "excluded":
        seen = [both for both in seen if both[1] != "x"]
    else:
        seen = [both.replace("x", "." if ignored == "background" else "#") for both in seen]
    hits, rejections = seen.count("##"), seen.count("..")
    return (hits, len(seen) - rejections), (rejections, len(seen) - hits)


def _by_episode(tallies: Sequence[_Tally], n_grounds: int, empty: str) -> Fraction | None:
    """The mean of the episodes' IoUs."""
    of_none = {"skipped": None, "zero": Fraction(0), "one": Fraction(1)}[empty]
    rates = [
        (tally.weight, rate)
        for tally in tallies
        for inter, union in tally.grounds[:n_grounds]
        if (rate := Fraction(inter, union) if union else of_none) is not None
    ]
    total = sum(weight for weight, _ in rates)
    return sum((weight * rate for weight, rate in rates), Fraction(0)) / total if total else None


def _pooled(tallies: Sequence[_Tally], n_grounds: int) -> Fraction | None:
    """The mean over grounds of the IoU of all pixels."""
    rates = []
    for ground in range(n_grounds):
        inter, union = (sum((t.weight * t.grounds[ground][n] for t in tallies), Fraction(0)) for n in (0, 1))
        rates.append(inter / union if union else None)
    return _mean(rates, skip=False)


def _mean(values: Sequence[Fraction | None], *, skip: bool) -> Fraction | None:
    """The mean of the values, undefined if one is, unless those are skipped."""
    defined = [value for value in values if value is not None]
    if not defined or (len(defined) < len(values) and not skip):
        return None
    return sum(defined, Fraction(0)) / len(defined)

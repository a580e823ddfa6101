"""The definitions of mIoU and FB-IoU that are in use, and what each makes of the same masks.

This is a second implementation of the scores, apart from `fssbench.metrics`: it counts characters one by
one and calculates in fractions. It is for a few tiny masks only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from fractions import Fraction
from itertools import product
from typing import get_type_hints

from fssbench.conformance.kit import CLASSES, PAIRS, Pair

__all__ = [
    "OURS",
    "Absent",
    "Aggregation",
    "Definition",
    "Empty",
    "Fb",
    "Grounds",
    "Ignored",
    "Numbers",
    "Repeats",
    "count_pixels",
    "definitions",
    "numbers_under",
]


class Aggregation(StrEnum):
    """How the episodes' pixels become mIoU."""

    CLASS_POOLED = "class-pooled"
    CLASS_EPISODES = "class-episodes"
    ALL_EPISODES = "all-episodes"
    ALL_POOLED = "all-pooled"

    @property
    def over_classes(self) -> bool:
        """Whether the last mean is one over classes."""
        return self in (Aggregation.CLASS_POOLED, Aggregation.CLASS_EPISODES)

    @property
    def by_episode(self) -> bool:
        """Whether it divides within each episode; else pixels are summed first."""
        return self in (Aggregation.CLASS_EPISODES, Aggregation.ALL_EPISODES)


class Grounds(StrEnum):
    """What mIoU is a mean of."""

    FOREGROUND = "foreground"
    BOTH = "both"


class Absent(StrEnum):
    """What a class without episodes does to mIoU."""

    UNDEFINED = "undefined"
    SKIPPED = "skipped"
    ZERO = "zero"


class Empty(StrEnum):
    """What an episode without any pixel in truth or prediction counts, where episodes are averaged."""

    SKIPPED = "skipped"
    ZERO = "zero"
    ONE = "one"


class Ignored(StrEnum):
    """What pixels under the ignore label count as."""

    EXCLUDED = "excluded"
    BACKGROUND = "background"
    FOREGROUND = "foreground"


class Repeats(StrEnum):
    """What an image counts that is the query of several episodes."""

    EACH = "each"
    LAST = "last"
    SHARED = "shared"


class Fb(StrEnum):
    """How the episodes' pixels become FB-IoU."""

    POOLED = "pooled"
    EPISODES = "episodes"


CLAUSES: dict[str, dict[str, str]] = {
    "aggregation": {
        Aggregation.CLASS_EPISODES: "averages the IoU of a class's episodes, where fssbench sums their pixels first",
        Aggregation.ALL_EPISODES: "averages the IoU of all episodes at once, where fssbench averages classes",
        Aggregation.ALL_POOLED: "sums the pixels of all episodes at once, where fssbench averages classes",
    },
    "grounds": {
        Grounds.BOTH: "takes the mean of foreground and background for mIoU, where fssbench takes the foreground",
    },
    "absent": {
        Absent.SKIPPED: "leaves a class without episodes out of the mean, where fssbench says that there is none",
        Absent.ZERO: "counts a class without episodes as 0, where fssbench says that there is no mean",
    },
    "empty": {},
    "ignored": {
        Ignored.BACKGROUND: "takes ignored pixels for background, where fssbench leaves them out",
        Ignored.FOREGROUND: "takes ignored pixels for foreground, where fssbench leaves them out",
    },
    "repeats": {
        Repeats.LAST: "keeps the last episode of an image only, where fssbench counts each",
        Repeats.SHARED: "gives the episodes of one image the weight of one, where fssbench counts each",
    },
    "fb": {
        Fb.EPISODES: "averages the episodes' foreground and background IoU for FB-IoU, where fssbench sums pixels",
    },
}
"""What a choice on an axis does otherwise than fssbench."""

EMPTY_CLAUSES = {
    Empty.SKIPPED: "leaves an IoU of nothing with nothing out of its mean of episodes",
    Empty.ZERO: "counts an IoU of nothing with nothing as 0 in its mean of episodes",
    Empty.ONE: "counts an IoU of nothing with nothing as 1 in its mean of episodes",
}
"""What it makes of empty episodes, a question that fssbench never meets, because it averages none."""


@dataclass(frozen=True, kw_only=True)
class Definition:
    """One way to compute mIoU and FB-IoU; the defaults are fssbench's own."""

    aggregation: Aggregation = Aggregation.CLASS_POOLED
    grounds: Grounds = Grounds.FOREGROUND
    absent: Absent = Absent.UNDEFINED
    empty: Empty = Empty.SKIPPED
    ignored: Ignored = Ignored.EXCLUDED
    repeats: Repeats = Repeats.EACH
    fb: Fb = Fb.POOLED

    @property
    def averages_episodes(self) -> bool:
        """Whether mIoU or FB-IoU divides within each episode, so that an empty one matters."""
        return self.aggregation.by_episode or self.fb is Fb.EPISODES

    @property
    def plain(self) -> Definition:
        """The same definition with fssbench's own choice wherever the choice changes no number on any data.

        An empty episode adds 0 to the sums of pixels, so `Empty` matters only where episodes are averaged;
        a class without episodes has no part in a mean over episodes or in a sum of all pixels.
        """
        return replace(
            self,
            empty=self.empty if self.averages_episodes else Empty.SKIPPED,
            absent=self.absent if self.aggregation.over_classes else Absent.UNDEFINED,
        )

    @property
    def differences(self) -> tuple[str, ...]:
        """What a tool with this definition does and fssbench does not, a clause each; none for fssbench's own."""
        said = [CLAUSES[field.name].get(getattr(self, field.name)) for field in fields(self)]
        empty = EMPTY_CLAUSES[self.empty] if self.averages_episodes else None
        return tuple(clause for clause in (*said, empty) if clause)


OURS = Definition()
"""fssbench's own."""


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


def definitions() -> Iterator[Definition]:
    """All definitions that can give different numbers on some data, fssbench's own first."""
    axes = get_type_hints(Definition)
    for choices in product(*(axes[field.name] for field in fields(Definition))):
        definition = Definition(**dict(zip((field.name for field in fields(Definition)), choices, strict=True)))
        if definition == definition.plain:
            yield definition


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
        miou = _mean_of_classes(list(per_class.values()), definition.absent)
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
    return _mean_of_classes(values, Absent.UNDEFINED)


def _mean_of_classes(values: Sequence[Fraction | None], absent: Absent) -> Fraction | None:
    defined = [value for value in values if value is not None]
    if not defined or (len(defined) < len(values) and absent is not Absent.SKIPPED):
        return None
    return sum(defined, Fraction(0)) / len(defined)

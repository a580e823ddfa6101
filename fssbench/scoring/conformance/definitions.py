"""The definitions of mIoU and FB-IoU that are in use, as independent choices.

`fssbench.scoring.conformance.scoring` says what each makes of the same masks.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import StrEnum
from functools import cache
from itertools import product
from typing import get_type_hints

__all__ = [
    "OURS",
    "Absent",
    "Aggregation",
    "Definition",
    "Empty",
    "Fb",
    "Grounds",
    "Ignored",
    "Repeats",
    "definitions",
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
        Absent.SKIPPED: "leaves a class without episodes out of the mean, where fssbench calls mIoU undefined",
        Absent.ZERO: "counts a class without episodes as 0, where fssbench calls mIoU undefined",
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
    Empty.SKIPPED: "leaves out the IoU of an episode whose union is empty",
    Empty.ZERO: "counts the IoU of an episode whose union is empty as 0",
    Empty.ONE: "counts the IoU of an episode whose union is empty as 1",
}
"""What it makes of empty episodes, a question that fssbench never meets, because it averages none."""


@dataclass(frozen=True, kw_only=True)
class Definition:
    """One way to compute mIoU and FB-IoU; the defaults are fssbench's own.

    Attributes:
        aggregation: pixels of a class summed, or IoUs of its episodes averaged, and then the mean over classes;
            or the mean over all episodes at once; or the pixels of all episodes summed into one IoU.
        grounds: mIoU is made of foreground IoUs, or of the mean of foreground and background IoU.
        absent: a class without episodes leaves mIoU undefined, is skipped in the mean, or counts 0.
        empty: where episodes are averaged, an IoU with an empty union is skipped, or counts 0 or 1.
        ignored: pixels under the ignore label are excluded, or taken for background or foreground.
        repeats: of an image that is the query of several episodes each counts, or the last only, or they
            share the weight of one.
        fb: foreground and background IoU of FB-IoU come from all pixels, or are means over episodes.
    """

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


@cache
def definitions() -> tuple[Definition, ...]:
    """All definitions that can give different numbers on some data, fssbench's own first."""
    axes = get_type_hints(Definition)
    chosen = (Definition(**dict(zip(axes, choices, strict=True))) for choices in product(*axes.values()))
    return tuple(definition for definition in chosen if definition == definition.plain)

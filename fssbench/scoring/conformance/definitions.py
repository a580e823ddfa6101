"""The definitions of mIoU and FB-IoU that are in use, and those that differ from one of them by one choice.

`fssbench.scoring.conformance.scoring` says what each makes of the same masks.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cache

__all__ = ["AXES", "IN_USE", "OURS", "Definition", "definitions"]

AXES: dict[str, dict[str, str]] = {
    "aggregation": {
        "class-pooled": "",
        "class-episodes": "averages the IoU of a class's episodes, where fssbench sums their pixels first",
        "all-episodes": "averages the IoU of all episodes at once, where fssbench averages classes",
        "all-pooled": "sums the pixels of all episodes at once, where fssbench averages classes",
    },
    "grounds": {
        "foreground": "",
        "both": "takes the mean of foreground and background for mIoU, where fssbench takes the foreground",
    },
    "absent": {
        "undefined": "",
        "skipped": "leaves a class without episodes out of the mean, where fssbench calls mIoU undefined",
        "zero": "counts a class without episodes as 0, where fssbench calls mIoU undefined",
    },
    "ignored": {
        "excluded": "",
        "background": "takes ignored pixels for background, where fssbench leaves them out",
        "foreground": "takes ignored pixels for foreground, where fssbench leaves them out",
    },
    "repeats": {
        "each": "",
        "last": "keeps the last episode of an image only, where fssbench counts each",
        "shared": "gives the episodes of one image the weight of one, where fssbench counts each",
    },
    "fb": {
        "pooled": "",
        "episodes": "averages the episodes' foreground and background IoU for FB-IoU, where fssbench sums pixels",
    },
    "empty": {  # a question that fssbench never meets, because it averages no episodes
        "skipped": "leaves out the IoU of an episode whose union is empty",
        "zero": "counts the IoU of an episode whose union is empty as 0",
        "one": "counts the IoU of an episode whose union is empty as 1",
    },
}
"""The choices on each axis, fssbench's own first, and what each does otherwise than fssbench."""


@dataclass(frozen=True, kw_only=True)
class Definition:
    """One way to compute mIoU and FB-IoU, by its choice on each of `AXES`; the defaults are fssbench's own.

    docs/background/conformance.md says what each choice means.
    """

    aggregation: str = "class-pooled"
    grounds: str = "foreground"
    absent: str = "undefined"
    ignored: str = "excluded"
    repeats: str = "each"
    fb: str = "pooled"
    empty: str = "skipped"

    @property
    def over_classes(self) -> bool:
        """Whether the last mean of mIoU is one over classes."""
        return self.aggregation.startswith("class")

    @property
    def by_episode(self) -> bool:
        """Whether mIoU divides within each episode; else pixels are summed first."""
        return self.aggregation.endswith("episodes")

    @property
    def plain(self) -> Definition:
        """The same definition with fssbench's own choice wherever the choice changes no number on any data.

        An empty episode adds 0 to the sums of pixels, so ``empty`` matters only where episodes are averaged; a class
        without episodes has no part in a mean over episodes or in a sum of all pixels.
        """
        return replace(
            self,
            empty=self.empty if self._meets_empty else "skipped",
            absent=self.absent if self.over_classes else "undefined",
        )

    @property
    def differences(self) -> tuple[str, ...]:
        """What a tool with this definition does and fssbench does not, a clause each; none for fssbench's own."""
        said = {axis: AXES[axis][choice] for axis, choice in asdict(self).items()}
        return tuple(clause for axis, clause in said.items() if clause and (axis != "empty" or self._meets_empty))

    @property
    def _meets_empty(self) -> bool:
        return self.by_episode or self.fb == "episodes"


OURS = Definition()
"""fssbench's own."""

IN_USE = {
    "fssbench": OURS,
    "HSNet and HDMNet": Definition(absent="zero"),
    "RePRI": Definition(absent="skipped"),
    "torchmetrics": Definition(aggregation="all-episodes", ignored="background"),
}
"""Definitions by the code that has them."""


@cache
def definitions() -> tuple[Definition, ...]:
    """Those in use, fssbench's own first, and all that differ from one of them by one choice; each once."""
    neighbours = (
        replace(one, **{axis: choice})
        for one in IN_USE.values()
        for axis, choices in AXES.items()
        for choice in choices
    )
    return tuple(dict.fromkeys(one.plain for one in (*IN_USE.values(), *neighbours)))

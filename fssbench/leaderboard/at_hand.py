"""What can be said of an entry that has no mean: of the folds and classes that were asked."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

from fssbench.schemas.leaderboard import Entry

__all__ = ["AtHand", "at_hand"]


@dataclass(frozen=True, kw_only=True)
class AtHand:
    """A mean over less than a benchmark, which no paper's mean can be compared with.

    Attributes:
        value: mIoU in [0, 1], the mean over the folds at hand of the means over their classes at hand.
        of: these, in words: ``fold 0``, ``17 of 20 classes of fold 0``.
    """

    value: float
    of: str


def at_hand(entry: Entry) -> AtHand | None:
    """The mIoU over what there is; ``None`` if the entry has a mean, or not one class has an IoU."""
    if entry.miou.value is not None:
        return None
    by_fold: dict[int, list[float | None]] = {}
    for one in entry.per_class:
        by_fold.setdefault(one.fold, []).append(one.iou.value)
    there = {fold: [v for v in values if v is not None] for fold, values in by_fold.items()}
    there = {fold: values for fold, values in there.items() if values}
    if not there:
        return None
    n, of = (sum(len(values[fold]) for fold in there) for values in (there, by_fold))
    folds = f"fold{'' if len(there) == 1 else 's'} {', '.join(map(str, there))}"
    return AtHand(
        value=fmean(fmean(values) for values in there.values()),
        of=folds if n == of else f"{n} of {of} classes of {folds}",
    )

"""What of a leaderboard is drawn: of each ranking the entries that have an mIoU, best first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fssbench.base.errors import UsageError
from fssbench.leaderboard.flat import sure_of
from fssbench.schemas.leaderboard import Entry, Score

__all__ = ["Plotted", "arms_of", "panels_of"]


@dataclass(frozen=True)
class Plotted:
    """An entry and the mIoU that stands for it: over folds, or of the only fold it was evaluated on.

    Attributes:
        value: in [0, 1].
        of: nothing for a mean over folds; else `` of fold 0``.
    """

    entry: Entry
    score: Score
    value: float
    of: str

    @property
    def percent(self) -> float:
        """The mIoU in percent."""
        return 100 * self.value

    @property
    def arms(self) -> list[list[float]]:
        """How far its interval reaches below and above it, in percent."""
        return arms_of(self.score)

    @property
    def speed(self) -> float:
        """Episodes a second; 0 where nobody knows."""
        return self.entry.episodes_per_second or 0.0


def panels_of(groups: Sequence[Sequence[Entry]]) -> list[list[Plotted]]:
    """What there is to draw of each ranking, best first."""
    panels = [sorted(filter(None, map(_plotted, group)), key=lambda shown: -shown.value) for group in groups]
    panels = [panel for panel in panels if panel]
    if not panels:
        raise UsageError(
            "there is nothing to draw: no entry has all that this figure shows",
            remedy="evaluate a model on every fold of a benchmark, or on one",
        )
    return panels


def _plotted(entry: Entry) -> Plotted | None:
    """``None`` for a control, and for an entry with neither a mean over folds nor a single fold."""
    whole = entry.miou.value is not None
    if entry.model.control is not None or not (whole or len(entry.folds) == 1):
        return None
    score = entry.miou if whole else entry.folds[0].miou
    of = "" if whole else f" of fold {entry.folds[0].fold}"
    return None if score.value is None else Plotted(entry, score, score.value, of)


def arms_of(score: Score) -> list[list[float]]:
    """How far an interval reaches below and above its value, in percent; nowhere if there is no interval."""
    sure, value = sure_of(score), score.value or 0.0
    below, above = (value - sure.low, sure.high - value) if sure else (0.0, 0.0)
    return [[100 * max(0.0, below)], [100 * max(0.0, above)]]

"""Who is ranked where, and how far from the leader."""

from __future__ import annotations

from collections.abc import Sequence

from fssbench.leaderboard.scores import MIOU, Figures
from fssbench.schemas.leaderboard import DifferenceRecord, Entry, ShiftInterval
from fssbench.scoring.uncertainty import METHODS

__all__ = ["ranked"]

Contender = tuple[Entry, Figures]


def ranked(group: Sequence[Contender]) -> list[Entry]:
    """Entries of one group, best first, each with its rank and its difference from the leader.

    Equals share a rank. A control, whose supports were tampered with, has none and takes none away.
    """
    best_first = sorted(group, key=lambda one: (-_score(one[0]), one[0].label, one[0].id))
    scores = [_score(entry) for entry, _ in best_first if _is_ranked(entry)]
    leader = next((one for one in best_first if _is_ranked(one[0])), None)
    return [
        entry.model_copy(
            update={
                "rank": 1 + sum(score > _score(entry) for score in scores) if _is_ranked(entry) else None,
                "difference": _difference((entry, figures), leader),
            }
        )
        for entry, figures in best_first
    ]


def _is_ranked(entry: Entry) -> bool:
    return entry.miou.value is not None and entry.model.control is None


def _score(entry: Entry) -> float:
    return -1.0 if entry.miou.value is None else entry.miou.value


def _difference(one: Contender, leader: Contender | None) -> DifferenceRecord:
    """An entry's mIoU less the leader's, from the counts of the very same episodes."""
    entry, figures = one
    if leader is None:
        return DifferenceRecord.none("no entry is ranked", leader=None)
    best, best_figures = leader
    if entry.id == best.id:
        return DifferenceRecord.none("it leads", leader=best.id)
    if entry.miou.value is None or best.miou.value is None or not figures.evidence or not best_figures.evidence:
        return DifferenceRecord.none(entry.miou.reason or "it has no mean", leader=best.id)
    found = figures.evidence.minus(best_figures.evidence).differences()[MIOU]
    return DifferenceRecord(
        leader=best.id,
        value=entry.miou.value - best.miou.value,
        reason=None,
        other_episodes=ShiftInterval.of(found.between.episodes if found else None, METHODS["episodes"]),
        other_images=ShiftInterval.of(found.between.images if found else None, METHODS["images"]),
        p_episodes=found.p_episodes if found else None,
        p_images=found.p_images if found else None,
    )

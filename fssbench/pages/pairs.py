"""Two entries on the same episodes, figure by figure: what a page says of their difference."""

from __future__ import annotations

from itertools import combinations
from typing import Any

from fssbench.base.errors import ResultError
from fssbench.base.progress import Advance, no_progress
from fssbench.leaderboard.board import Leaderboard
from fssbench.pages.render import between
from fssbench.pages.view import View
from fssbench.schemas.leaderboard import Entry, Score
from fssbench.schemas.result import Ends
from fssbench.scoring.comparison import Comparison, comparison_of, p_of, say
from fssbench.scoring.uncertainty import Difference, Evidence

__all__ = ["compare_views", "comparisons", "entry_data", "pair_data"]

DIGITS = 5
"""Decimals of a share that a page is given: a thousandth of a point."""


def compare_views(first: View, second: View) -> Comparison:
    """The first less the second; both of one group, so that they answered the same episodes.

    Tracks are folds: the mean over their seeds.

    Raises `ResultError` if they did not, whatever the leaderboard says.
    """
    for ours, theirs in zip(first.runs, second.runs, strict=True):
        if unlike := ours.result.episodes.identity.unlike(theirs.result.episodes.identity):
            raise ResultError(
                f"{ours.path} and {theirs.path} stand in one ranking and are of {unlike}",
                remedy="build the leaderboard again",
            )
    differences = [ours.evidence.minus(theirs.evidence) for ours, theirs in zip(first.runs, second.runs, strict=True)]
    by_fold: dict[int, list[Evidence]] = {}
    for run, one in zip(first.runs, differences, strict=True):
        by_fold.setdefault(run.fold, []).append(one)
    names = {run.fold: {c.id: c.name for c in run.result.score.per_class} for run in first.runs}
    tracks = [(fold, names[fold], Evidence.over_seeds(seeds)) for fold, seeds in by_fold.items()]
    return comparison_of(Evidence.mean(differences), tracks)


def comparisons(
    board: Leaderboard, views: dict[str, View], *, advance: Advance = no_progress
) -> dict[tuple[str, str], Comparison]:
    """Every two entries of a group whose results are at hand, by their ids in the board's order.

    Args:
        advance: called with 1 for every two compared.
    """
    found = {}
    for group in board.groups():
        for a, b in combinations([entry.id for entry in group if entry.id in views], 2):
            found[a, b] = compare_views(views[a], views[b])
            advance(1)
    return found


def entry_data(entry: Entry) -> dict[str, Any]:
    """An entry as the page's script reads it: each figure is value, low, high, or null."""
    return {
        "id": entry.id,
        "label": entry.label,
        "group": entry.group,
        "benchmark": entry.benchmark,
        "miou": _score(entry.miou),
        "fb_iou": _score(entry.fb_iou),
        "folds": [[fold.fold, _score(fold.miou)] for fold in entry.folds],
        "classes": [[f"{one.fold}/{one.id}", one.name, one.fold, _score(one.iou)] for one in entry.per_class],
    }


def pair_data(found: Comparison, first: Entry, second: Entry) -> dict[str, Any]:
    """A comparison as the page's script reads it: each difference is value, low, high, p, or null."""
    return {
        "sentence": say(found, *_names(first, second)),
        "images": found.miou is not None and found.miou.between.images is not None,
        "miou": _difference(found.miou),
        "fb_iou": _difference(found.fb_iou),
        "folds": {fold.fold: _difference(one) for fold, one in zip(first.folds, found.tracks, strict=True)},
        "classes": {
            f"{one.fold}/{one.class_id}": _difference(one.difference, p=one.p_corrected) for one in found.per_class
        },
    }


def _names(first: Entry, second: Entry) -> tuple[str, str]:
    """What to call two entries; numbered if both have one name."""
    if first.label != second.label:
        return first.label, second.label
    return f"{first.label} (1)", f"{second.label} (2)"


def _score(score: Score) -> list[float | None] | None:
    return None if score.value is None else [_rounded(x) for x in (score.value, *_ends(between(score)))]


def _difference(one: Difference | None, *, p: float | None = None) -> list[float | None] | None:
    """Value, interval and p-value; the one given, or that of the harder question that can be answered."""
    if one is None:
        return None
    sure = one.between.episodes if one.between.images is None else one.between.images
    return [*(_rounded(x) for x in (one.value, *_ends(sure))), p_of(one) if p is None else p]


def _ends(interval: Ends | None) -> tuple[float | None, float | None]:
    return (None, None) if interval is None else (interval.low, interval.high)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS) + 0.0  # which turns −0.0 into 0.0

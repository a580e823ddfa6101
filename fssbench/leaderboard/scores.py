"""The figures of an entry: means over seeds and folds, and their intervals.

Values are means of the results' own figures, each exact; intervals come from the counts, in which the models of
one track share their resamples, so that differences between them are paired.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fssbench.leaderboard.gathered import Candidate
from fssbench.schemas.leaderboard import ClassScore, FoldScore, Score
from fssbench.schemas.result import FigureRecord, IntervalRecord, PolicyResult
from fssbench.scoring.uncertainty import METHODS, Evidence, Uncertainty

__all__ = ["FB_IOU", "MIOU", "UNKNOWN", "Figures", "figures_of", "mean_score"]

MIOU, FB_IOU = -3, -2
"""Where the overall figures stand in evidence."""

UNKNOWN = Uncertainty(None, None)


@dataclass(frozen=True, kw_only=True, eq=False)
class Figures:
    """How good a model is, in all figures of an entry.

    Attributes:
        evidence: of the means over folds; ``None`` if there are none.
    """

    miou: Score
    fb_iou: Score
    folds: tuple[FoldScore, ...]
    per_class: tuple[ClassScore, ...]
    evidence: Evidence | None


def figures_of(candidate: Candidate) -> Figures:
    """Figures of an entry."""
    by_fold: dict[int, list[tuple[PolicyResult, Evidence]]] = {}
    for item in candidate.items:
        by_fold.setdefault(item.fold, []).append((item.result.score, item.evidence))
    folds, per_class = [], []
    for fold, runs in by_fold.items():
        seeds = [score for score, _ in runs]
        sure = Evidence.over_seeds([one for _, one in runs]).uncertainties()
        folds.append(
            FoldScore(
                fold=fold,
                n_episodes=sum(score.miou.n_episodes for score in seeds),
                miou=mean_score([score.miou for score in seeds], sure[MIOU]),
                fb_iou=mean_score([score.fb_iou for score in seeds], sure[FB_IOU]),
            )
        )
        for n, c in enumerate(seeds[0].per_class):
            iou = mean_score([score.per_class[n].iou for score in seeds], sure[n])
            per_class.append(ClassScore(id=c.id, name=c.name, fold=fold, iou=iou))
    whole = None if candidate.incomplete else Evidence.mean([item.evidence for item in candidate.items])
    overall = whole.uncertainties() if whole else [UNKNOWN] * 3
    return Figures(
        miou=_over_folds(candidate, lambda score: score.miou, overall[MIOU]),
        fb_iou=_over_folds(candidate, lambda score: score.fb_iou, overall[FB_IOU]),
        folds=tuple(folds),
        per_class=tuple(per_class),
        evidence=whole,
    )


def _over_folds(candidate: Candidate, figure: Callable[[PolicyResult], FigureRecord], sure: Uncertainty) -> Score:
    """The mean over folds of the mean over seeds; all folds have the same seeds, so one mean does both."""
    if reason := candidate.incomplete:
        return Score(value=None, reason=reason, other_episodes=None, other_images=None)
    named = {f"fold {item.fold}: ": figure(item.result.score) for item in candidate.items}
    undefined = next((f"{fold}{one.reason}" for fold, one in named.items() if one.reason), None)
    return mean_score([figure(item.result.score) for item in candidate.items], sure, reason=undefined)


def mean_score(figures: Sequence[FigureRecord], sure: Uncertainty, *, reason: str | None = None) -> Score:
    """The mean of figures that are all defined, or the first's reason why it is not."""
    reason = reason or next((figure.reason for figure in figures if figure.reason), None)
    if reason:
        return Score(value=None, reason=reason, other_episodes=None, other_images=None)
    values = [figure.value for figure in figures if figure.value is not None]
    return Score(
        value=math.fsum(values) / len(values),
        reason=None,
        other_episodes=IntervalRecord.of(sure.episodes, METHODS["episodes"]),
        other_images=IntervalRecord.of(sure.images, METHODS["images"]),
    )

"""Every figure of a result, from its table of counts alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from fssbench.schemas.result import ClassResult, FigureRecord, GroupResult, IntervalRecord, PolicyResult, SplitResult
from fssbench.scoring.counts import CountsTable
from fssbench.scoring.estimates import Sample
from fssbench.scoring.groups import Split, splits
from fssbench.scoring.metrics import Figure, Scores, score
from fssbench.scoring.uncertainty import METHODS, Evidence, Uncertainty

__all__ = ["evidence_of", "policy_results"]


def evidence_of(table: CountsTable, *, classes: Iterable[int]) -> dict[str, Evidence]:
    """How sure all figures are, by policy.

    Args:
        classes: all novel classes of the fold.
    """
    evidence = Evidence.of(Sample(table.track, classes=tuple(classes)), table.counts)
    return dict(zip(table.policies, evidence, strict=True))


def policy_results(
    table: CountsTable,
    *,
    classes: Mapping[int, str],
    check: bool = True,
    evidence: Mapping[str, Evidence] | None = None,
) -> tuple[PolicyResult, ...]:
    """All figures with their intervals, policy by policy; the same table always gives the same.

    Args:
        classes: all novel classes of the fold with their names.
        check: refuse counts that contradict themselves; whoever lists all that is wrong looks for them elsewhere.
        evidence: what `evidence_of` gives for the same table and classes, if it is there already.

    Raises:
        MetricError: counts that contradict themselves, or episodes of other classes.
    """
    scores = [score(table.class_ids, table.under(policy), classes=classes, check=check) for policy in table.policies]
    sure = [one.uncertainties() for one in (evidence or evidence_of(table, classes=classes)).values()]
    split = [_split(table, one, check=check) for one in splits(table)]
    return tuple(
        PolicyResult(
            policy=policy,
            miou=_record(scores[p].miou, sure[p][-3]),
            fb_iou=_record(scores[p].fb_iou, sure[p][-2]),
            episode_iou=_record(scores[p].episode_iou, sure[p][-1]),
            per_class=tuple(
                ClassResult(id=c, name=name, iou=_record(scores[p].per_class[c], sure[p][n]))
                for n, (c, name) in enumerate(classes.items())
            ),
            splits=tuple(by_policy[p] for by_policy in split),
        )
        for p, policy in enumerate(table.policies)
    )


def _split(table: CountsTable, split: Split, *, check: bool) -> tuple[SplitResult, ...]:
    """One split under every policy."""
    groups: list[tuple[GroupResult, ...]] = [() for _ in table.policies]
    classes = {c: str(c) for c in split.classes}
    for group in split.groups if classes else ():
        sample = Sample(table.track, classes=split.classes, members=group.members)
        counts, class_ids = table.counts[group.members], table.class_ids[group.members]
        for p, evidence in enumerate(Evidence.of(sample, counts)):
            found = score(class_ids, np.ascontiguousarray(counts[:, p]), classes=classes, check=check)
            groups[p] += (_group(group.name, found, evidence.uncertainties()),)
    return tuple(
        SplitResult(by=split.by, definition=split.definition, classes=split.classes, reason=split.reason, groups=found)
        for found in groups
    )


def _group(name: str, scores: Scores, sure: list[Uncertainty]) -> GroupResult:
    return GroupResult(
        name=name,
        miou=_record(scores.miou, sure[-3]),
        fb_iou=_record(scores.fb_iou, sure[-2]),
        episode_iou=_record(scores.episode_iou, sure[-1]),
    )


def _record(figure: Figure, sure: Uncertainty) -> FigureRecord:
    defined = figure.value is not None
    # Not validated, so that what impossible counts give can be set against what a result says.
    return FigureRecord.model_construct(
        value=figure.value,
        reason=figure.reason,
        n_episodes=figure.n_episodes,
        n_classes=figure.n_classes,
        other_episodes=IntervalRecord.of(sure.episodes, METHODS["episodes"]) if defined else None,
        other_images=IntervalRecord.of(sure.images, METHODS["images"]) if defined else None,
    )

"""Two models on the same episodes: by how much one is better, and how sure that is.

Each episode is answered by both, so what makes it hard for both cancels out: a paired difference is far surer
than two scores with their intervals side by side.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fssbench.base.errors import ResultError
from fssbench.scoring.counts import CountsTable
from fssbench.scoring.estimates import FIGURES, Sample
from fssbench.scoring.uncertainty import Difference, Evidence, holm

__all__ = ["ClassDifference", "Comparison", "Pair", "compare", "comparison_of", "p_of", "p_text", "say"]

CERTAIN = 0.05


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """One track, answered by two models.

    Attributes:
        first: the one model's counts.
        second: the other's.
        classes: the fold's novel classes with their names.
    """

    first: CountsTable
    second: CountsTable
    classes: Mapping[int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassDifference:
    """The difference on one class of one track.

    ``p_corrected`` is ``p_images``, or ``p_episodes`` where there is none of images, corrected for all classes
    compared (Holm 1979).
    """

    fold: int
    class_id: int
    name: str
    difference: Difference
    p_corrected: float | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The first model less the second, in means over the tracks; ``None`` where one of them is undefined."""

    miou: Difference | None
    fb_iou: Difference | None
    episode_iou: Difference | None
    tracks: tuple[Difference | None, ...]
    per_class: tuple[ClassDifference, ...]
    undefined: tuple[str, ...]


def compare(pairs: Sequence[Pair], *, policy: str) -> Comparison:
    """Compare two models on one track, or on several, such as all folds.

    Args:
        policy: the scoring policy whose counts are compared.

    Raises:
        ResultError: a pair is not about the same episodes, or lacks the policy.
    """
    evidence = [_evidence(pair, policy) for pair in pairs]
    tracks = [(pair.first.track.fold, pair.classes, one) for pair, one in zip(pairs, evidence, strict=True)]
    return comparison_of(Evidence.mean(evidence), tracks)


def comparison_of(overall: Evidence, tracks: Iterable[tuple[int, Mapping[int, str], Evidence]]) -> Comparison:
    """The comparison that differences amount to: of the means, and of each track with its fold and classes."""
    differences, classes, undefined = [], [], []
    for fold, names, one in tracks:
        found = one.differences()
        differences.append(found[-len(FIGURES)])
        for (class_id, name), difference in zip(names.items(), found, strict=False):
            if difference is None:
                undefined.append(name)
            else:
                classes.append((fold, class_id, name, difference))
    corrected = holm([p_of(difference) for *_, difference in classes])
    miou, fb_iou, episode_iou = overall.differences()[-len(FIGURES) :]
    return Comparison(
        miou=miou,
        fb_iou=fb_iou,
        episode_iou=episode_iou,
        tracks=tuple(differences),
        per_class=tuple(
            ClassDifference(fold=fold, class_id=class_id, name=name, difference=difference, p_corrected=p)
            for (fold, class_id, name, difference), p in zip(classes, corrected, strict=True)
        ),
        undefined=tuple(undefined),
    )


def p_of(difference: Difference) -> float | None:
    """The p-value of the harder question that can be answered: other images, else other episodes."""
    return difference.p_episodes if difference.p_images is None else difference.p_images


def say(comparison: Comparison, first: str, second: str) -> str:
    """The outcome in one plain sentence."""
    found = comparison.miou
    if found is None:
        return f"{first} and {second} cannot be compared: mIoU is undefined for {', '.join(comparison.undefined)}."
    if found.value == 0:
        return f"{first} and {second} have the same mIoU."
    better, worse = (first, second) if found.value > 0 else (second, first)
    head = f"{better} is {100 * abs(found.value):.2f} points of mIoU better than {worse}"
    question = "images" if found.between.images else "episodes"
    p = found.p_images if found.between.images else found.p_episodes
    if p is None:
        return f"{head}, but there are too few episodes to say how sure that is."
    sure = f"p {_p(p)} over other {question}"
    if p >= CERTAIN:
        return f"{head}, but with other {question} it could well be the other way round ({sure})."
    if question == "episodes":
        return f"{head}, and with other episodes of these images it would be too ({sure}); other images may differ."
    return f"{head}, and with other images it would very likely be too ({sure})."


def p_text(p: float) -> str:
    """A p-value for people."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _p(p: float) -> str:
    return p_text(p) if p < 0.001 else f"= {p_text(p)}"


def _evidence(pair: Pair, policy: str) -> Evidence:
    first, second = pair.first, pair.second
    if unlike := first.identity.unlike(second.identity):
        raise ResultError(
            f"fold {first.track.fold}: the two were asked {unlike}",
            remedy="evaluate both on the same set with the same --shot, --seed and --episodes",
        )
    for table in (first, second):
        if policy not in table.policies:
            raise ResultError(
                f"fold {first.track.fold}: one was not scored under {policy}, it was under {', '.join(table.policies)}",
                remedy="pass a --policy that both have",
            )
    sample = Sample(first.track, classes=tuple(pair.classes))
    one, other = Evidence.of(sample, np.stack([first.under(policy), second.under(policy)], axis=1))
    return one.minus(other)

"""Scores: masks → integer counts → IoU per class, mIoU and FB-IoU.

The definitions all code bases agree on (HSNet, section 5; HDMNet, section 4): with intersections and
unions summed over all episodes of a class, IoU_c = Σ intersection / Σ union of the foreground; mIoU is
the mean of IoU_c over the fold's classes; FB-IoU is the mean of foreground and background IoU, summed
over all episodes whatever their class. None of them is a mean of per-episode IoUs; that mean is given
beside them, under its own name, for readers who expect it.

Everything before the last division is an exact integer, so counts can be added in any order and grouping.
What cannot be said is ``None`` with a reason: never NaN, −1 or a silent 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass

import numpy as np
import numpy.typing as npt

from fssbench.base.errors import (
    CountsError,
    MaskShapeError,
    MaskTypeError,
    MaskValueError,
    MetricError,
    OverlapError,
    UnknownClassError,
)

__all__ = [
    "COUNT_FIELDS",
    "Counts",
    "Figure",
    "Scores",
    "check_counts",
    "count",
    "counts_of",
    "impossible",
    "mean_iou",
    "score",
    "split_ignore",
    "tally",
]

Mask = npt.NDArray[np.generic]
MOST_NAMED = 20
"""Classes that a reason names; of FSS-1000's 240 the others are counted."""

COUNT_FIELDS = ("inter_f", "union_f", "inter_b", "union_b", "valid")

COUNTED = np.array(
    [  # a column each
        [0, 0, 1, 1, 1],  # background
        [0, 1, 0, 1, 1],  # background, predicted
        [0, 1, 0, 1, 1],  # foreground
        [1, 1, 0, 0, 1],  # foreground, predicted
        [0, 0, 0, 0, 0],  # ignored
        [0, 0, 0, 0, 0],  # ignored, predicted
    ]
)
"""Which of them a pixel adds to, by its place in a tally."""
COUNTED_WITH_IGNORED = np.concatenate([COUNTED[:4], COUNTED[:2]])
"""The same where ignored pixels are background."""

NO_EPISODES = "no episodes"
NO_FOREGROUND = "no foreground in truth or prediction"
NO_BACKGROUND = "no background in truth or prediction"


@dataclass(frozen=True, slots=True)
class Counts:
    """Pixels of predictions against their truths; counts add up, and ``Counts()`` adds nothing.

    Attributes:
        inter_f: foreground in both.
        union_f: foreground in either.
        inter_b: background in both.
        union_b: background in either.
        valid: all scored pixels. Always ``union_f + inter_b == union_b + inter_f == valid``.
    """

    inter_f: int = 0
    union_f: int = 0
    inter_b: int = 0
    union_b: int = 0
    valid: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure of a result: a value in [0, 1], or ``None`` and the reason why there is none.

    ``n_episodes`` is the number of episodes it rests on, ``n_classes`` that of their classes.
    """

    value: float | None
    reason: str | None
    n_episodes: int
    n_classes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Figures of one fold under one scoring policy.

    Attributes:
        per_class: IoU by class.
        miou: mean of ``per_class``.
        fb_iou: mean of foreground and background IoU over all episodes.
        episode_iou: mean over episodes of each episode's own foreground IoU; not the field's mIoU.
    """

    per_class: dict[int, Figure]
    miou: Figure
    fb_iou: Figure
    episode_iou: Figure


def split_ignore(label: Mask, *, ignore_label: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Split a label map (H, W) of {0, 1, ignore_label} into foreground and ignored pixels, both bool (H, W).

    Raises `MetricError` if the map holds any other value.
    """
    if label.dtype.kind not in "ui":
        raise MaskTypeError(f"a label map must hold integers, got {label.dtype}")
    if ignore_label in (0, 1):
        raise MaskValueError(f"ignore_label must differ from background 0 and foreground 1, got {ignore_label}")
    ignored = label == ignore_label
    return _as_mask("label map outside the ignore label", np.where(ignored, 0, label)), ignored


def _as_mask(name: str, mask: Mask) -> npt.NDArray[np.bool_]:
    """``mask`` as bool, refusing whatever is not two-dimensional and binary."""
    if mask.ndim != 2:
        raise MaskShapeError(f"{name} must have shape (H, W), got {mask.shape}")
    if mask.dtype == np.bool_:
        return mask.astype(np.bool_, copy=False)
    if mask.dtype.kind not in "ui":
        raise MaskTypeError(f"{name} must be bool or integer, got {mask.dtype}", remedy="threshold it first")
    if mask.size and not np.isin(mask, (0, 1)).all():
        strange = sorted({int(value) for value in np.unique(mask)} - {0, 1})
        raise MaskValueError(
            f"{name} must hold only 0 and 1, found {strange[:5]}",
            remedy="split an ignore label off with split_ignore and pass it as ignore=",
        )
    return mask.astype(np.bool_)


def tally(prediction: Mask, truth: Mask, *, ignore: Mask | None = None) -> npt.NDArray[np.int64]:
    """Count the pixels of one predicted mask by what the truth says: all that scores are made of, in one pass.

    Args:
        prediction: (H, W), bool or integer in {0, 1}.
        truth: (H, W), likewise.
        ignore: (H, W), likewise; pixels that are 1 here are not to be scored, whatever the prediction says.

    Returns:
        (3, 2) int64: rows are background, foreground and ignored pixels of the truth, columns are what
        was predicted for them, background and foreground.

    Raises:
        MaskShapeError: shapes differ, or a mask is not two-dimensional, or has no pixels.
        MaskTypeError: a mask is neither bool nor integer.
        MaskValueError: a mask holds something else than 0 and 1.
        OverlapError: a pixel is both foreground and ignored.
    """
    predicted, true = _as_mask("prediction", prediction), _as_mask("truth", truth)
    ignored = np.zeros_like(true) if ignore is None else _as_mask("ignore", ignore)
    if not predicted.shape == true.shape == ignored.shape:
        raise MaskShapeError(
            f"prediction, truth and ignore must have one shape, got {predicted.shape}, {true.shape} and {ignored.shape}"
        )
    if not true.size:
        raise MaskShapeError(f"a mask must have pixels, got shape {true.shape}")
    if both := int((true & ignored).sum()):
        raise OverlapError(
            f"{both} pixels of the truth are both foreground and ignored", remedy="let every pixel be one of the two"
        )
    joint = predicted + 2 * true.astype(np.uint8) + 4 * ignored.astype(np.uint8)
    return np.bincount(joint.reshape(-1), minlength=6).astype(np.int64).reshape(3, 2)


def counts_of(tallied: npt.NDArray[np.int64], *, exclude_ignored: bool = True) -> npt.NDArray[np.int64]:
    """Counts (…, 5) in the order of `COUNT_FIELDS` from tallies (…, 3, 2) as `tally` gives them.

    With ``exclude_ignored`` false, ignored pixels are background.
    """
    summed = COUNTED if exclude_ignored else COUNTED_WITH_IGNORED
    counts: npt.NDArray[np.int64] = tallied.reshape(*tallied.shape[:-2], 6) @ summed
    return counts


def count(prediction: Mask, truth: Mask, *, ignore: Mask | None = None) -> Counts:
    """Counts of one predicted mask, ignored pixels left out; arguments and errors as in `tally`."""
    return Counts(*counts_of(tally(prediction, truth, ignore=ignore)).tolist())


def impossible(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which rows of (N, 5) counts, in the order of `COUNT_FIELDS`, no masks can have: (N,) bool."""
    inter_f, union_f, inter_b, union_b, valid = counts.T
    wrong: npt.NDArray[np.bool_] = (
        (inter_f < 0)
        | (inter_b < 0)
        | (inter_f > union_f)
        | (inter_b > union_b)
        | (union_f + inter_b != valid)
        | (union_b + inter_f != valid)
    )
    return wrong


def check_counts(counts: npt.NDArray[np.int64]) -> None:
    """Raise `CountsError` unless rows of (N, 5) counts, in the order of `COUNT_FIELDS`, can be counts of masks."""
    if counts.ndim != 2 or counts.shape[1] != len(COUNT_FIELDS) or counts.dtype != np.int64:
        raise CountsError(f"counts must be int64 of shape (N, 5), got {counts.dtype} of shape {counts.shape}")
    wrong = impossible(counts)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise CountsError(
            f"{int(wrong.sum())} of {len(counts)} rows of counts contradict themselves, the first is row {row}: "
            + ", ".join(f"{name}={value}" for name, value in zip(COUNT_FIELDS, counts[row], strict=True))
        )


def score(
    class_ids: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    *,
    classes: Mapping[int, str],
    check: bool = True,
) -> Scores:
    """Per-class IoU, mIoU, FB-IoU and the mean of per-episode IoUs of a fold.

    Args:
        class_ids: (N,) int64, the class of each episode.
        counts: (N, 5) int64 in the order of `COUNT_FIELDS`, one row an episode.
        classes: all classes of the fold with their names; the mean is over these, so one without
            episodes leaves mIoU undefined, and the reason names it.
        check: refuse counts that contradict themselves.

    Raises:
        CountsError: counts that contradict themselves.
        UnknownClassError: episodes of a class that is not in ``classes``.
    """
    if check:
        check_counts(counts)
    if class_ids.shape != (len(counts),):
        raise MetricError(f"class_ids must have shape ({len(counts)},), got {class_ids.shape}")
    if not classes:
        raise MetricError("a fold must have classes, got none")
    if strangers := sorted({int(c) for c in class_ids} - set(classes)):
        raise UnknownClassError(f"episodes of classes {strangers[:5]}, which are not among the {len(classes)} scored")

    per_class: dict[int, Figure] = {}
    sums: dict[int, tuple[int, int]] = {}
    for class_id in classes:
        rows = counts[class_ids == class_id]
        inter, union = sums[class_id] = int(rows[:, 0].sum()), int(rows[:, 1].sum())
        per_class[class_id] = _ratio(inter, union, n_episodes=len(rows), n_classes=1, empty=NO_FOREGROUND)
    n_classes = len(np.unique(class_ids))
    return Scores(
        per_class=per_class,
        miou=_mean_over_classes(per_class, classes, mean_iou(sums.values())),
        fb_iou=_fb_iou(counts, n_classes),
        episode_iou=_episode_iou(counts, n_classes),
    )


def _ratio(intersection: int, union: int, *, n_episodes: int, n_classes: int, empty: str) -> Figure:
    if n_episodes == 0:
        return Figure(value=None, reason=NO_EPISODES, n_episodes=0, n_classes=n_classes)
    if union == 0:
        return Figure(value=None, reason=empty, n_episodes=n_episodes, n_classes=n_classes)
    return Figure(value=intersection / union, reason=None, n_episodes=n_episodes, n_classes=n_classes)


def mean_iou(sums: Iterable[tuple[int, int]]) -> float | None:
    """mIoU of sums of intersections and of unions, one pair a class; classes without a union say nothing.

    ``None`` if no class says anything. ``fsum`` rounds once, so the mean does not depend on the order of the classes.
    """
    ious = [inter / union for inter, union in sums if union]
    return math.fsum(ious) / len(ious) if ious else None


def _mean_over_classes(per_class: dict[int, Figure], names: Mapping[int, str], mean: float | None) -> Figure:
    n_episodes = sum(figure.n_episodes for figure in per_class.values())
    undefined = [f"{names[c]} ({figure.reason})" for c, figure in per_class.items() if figure.reason]
    if undefined:
        more = f" and {len(undefined) - MOST_NAMED} more classes" if len(undefined) > MOST_NAMED else ""
        reason = f"undefined for {', '.join(undefined[:MOST_NAMED])}{more}"
        return Figure(value=None, reason=reason, n_episodes=n_episodes, n_classes=len(per_class))
    return Figure(value=mean, reason=None, n_episodes=n_episodes, n_classes=len(per_class))


def _fb_iou(counts: npt.NDArray[np.int64], n_classes: int) -> Figure:
    inter_f, union_f, inter_b, union_b, _ = (int(total) for total in counts.sum(axis=0))
    n = len(counts)
    foreground = _ratio(inter_f, union_f, n_episodes=n, n_classes=n_classes, empty=NO_FOREGROUND)
    background = _ratio(inter_b, union_b, n_episodes=n, n_classes=n_classes, empty=NO_BACKGROUND)
    if foreground.value is None or background.value is None:
        return foreground if foreground.value is None else background
    value = (foreground.value + background.value) / 2
    return Figure(value=value, reason=None, n_episodes=n, n_classes=n_classes)


def _episode_iou(counts: npt.NDArray[np.int64], n_classes: int) -> Figure:
    n, empty = len(counts), np.flatnonzero(counts[:, 1] == 0)
    if n == 0 or len(empty):
        reason = f"{len(empty)} episodes have {NO_FOREGROUND}" if n else NO_EPISODES
        return Figure(value=None, reason=reason, n_episodes=n, n_classes=n_classes)
    mean = math.fsum((counts[:, 0] / counts[:, 1]).tolist()) / n
    return Figure(value=mean, reason=None, n_episodes=n, n_classes=n_classes)

"""Scores: masks → integer counts → IoU per class, mIoU and FB-IoU.

The definitions all code bases agree on (HSNet, section 5; HDMNet, section 4): with intersections and
unions summed over all episodes of a class, IoU_c = Σ intersection / Σ union of the foreground; mIoU is
the mean of IoU_c over the fold's classes; FB-IoU is the mean of foreground and background IoU, summed
over all episodes whatever their class. None of them is a mean of per-episode IoUs.

Everything before the last division is an exact integer, so counts can be added in any order and grouping.
What cannot be said is ``None`` with a reason: never NaN, −1 or a silent 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass

import numpy as np
import numpy.typing as npt

from fssbench.errors import MetricError

__all__ = ["COUNT_FIELDS", "Counts", "Figure", "Scores", "check_counts", "count", "score", "split_ignore"]

Mask = npt.NDArray[np.generic]
MOST_NAMED = 20
"""Classes that a reason names; of FSS-1000's 240 the others are counted."""

COUNT_FIELDS = ("inter_f", "union_f", "inter_b", "union_b", "valid")


@dataclass(frozen=True, slots=True)
class Counts:
    """Pixels of one prediction against its truth; counts of several predictions add up.

    Attributes:
        inter_f: foreground in both.
        union_f: foreground in either.
        inter_b: background in both.
        union_b: background in either.
        valid: all scored pixels. Always ``union_f + inter_b == union_b + inter_f == valid``.
    """

    inter_f: int
    union_f: int
    inter_b: int
    union_b: int
    valid: int

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure of a result: a value in [0, 1], or ``None`` and the reason why there is none.

    ``n_episodes`` is the number of episodes it rests on.
    """

    value: float | None
    reason: str | None
    n_episodes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Figures of one fold under one scoring policy."""

    per_class: dict[int, Figure]
    miou: Figure
    fb_iou: Figure


def split_ignore(label: Mask, *, ignore_label: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Split a label map (H, W) of {0, 1, ignore_label} into foreground and ignored pixels, both bool (H, W).

    Raises `MetricError` if the map holds any other value.
    """
    if label.dtype.kind not in "ui":
        raise MetricError(f"a label map must hold integers, got {label.dtype}")
    if ignore_label in (0, 1):
        raise MetricError(f"ignore_label must differ from background 0 and foreground 1, got {ignore_label}")
    ignored = label == ignore_label
    return _as_mask("label map outside the ignore label", np.where(ignored, 0, label)), ignored


def _as_mask(name: str, mask: Mask) -> npt.NDArray[np.bool_]:
    """``mask`` as bool, refusing whatever is not two-dimensional and binary."""
    if mask.ndim != 2:
        raise MetricError(f"{name} must have shape (H, W), got {mask.shape}")
    if mask.dtype == np.bool_:
        return mask.astype(np.bool_, copy=False)
    if mask.dtype.kind not in "ui":
        raise MetricError(f"{name} must be bool or integer, got {mask.dtype}", remedy="threshold it first")
    if mask.size and not np.isin(mask, (0, 1)).all():
        strange = sorted({int(value) for value in np.unique(mask)} - {0, 1})
        raise MetricError(
            f"{name} must hold only 0 and 1, found {strange[:5]}",
            remedy="split an ignore label off with split_ignore and pass it as ignore=",
        )
    return mask.astype(np.bool_)


def count(prediction: Mask, truth: Mask, *, ignore: Mask | None = None) -> Counts:
    """Count one predicted mask against the truth.

    Args:
        prediction: (H, W), bool or integer in {0, 1}.
        truth: (H, W), likewise.
        ignore: (H, W), likewise; pixels that are 1 here are not scored, whatever the two others say.

    Raises:
        MetricError: shapes differ, or a mask is not two-dimensional, empty, not binary, or not an integer.
    """
    predicted, true = _as_mask("prediction", prediction), _as_mask("truth", truth)
    ignored = np.zeros_like(true) if ignore is None else _as_mask("ignore", ignore)
    if not predicted.shape == true.shape == ignored.shape:
        raise MetricError(
            f"prediction, truth and ignore must have one shape, got {predicted.shape}, {true.shape} and {ignored.shape}"
        )
    if not true.size:
        raise MetricError(f"a mask must have pixels, got shape {true.shape}")
    scored = ~ignored
    inter_f = int(np.count_nonzero(predicted & true & scored))
    union_f = int(np.count_nonzero((predicted | true) & scored))
    valid = int(np.count_nonzero(scored))
    return Counts(inter_f, union_f, valid - union_f, valid - inter_f, valid)


def check_counts(counts: npt.NDArray[np.int64]) -> None:
    """Raise `MetricError` unless rows of (N, 5) counts, in the order of `COUNT_FIELDS`, can be counts of masks."""
    if counts.ndim != 2 or counts.shape[1] != len(COUNT_FIELDS) or counts.dtype != np.int64:
        raise MetricError(f"counts must be int64 of shape (N, 5), got {counts.dtype} of shape {counts.shape}")
    inter_f, union_f, inter_b, union_b, valid = counts.T
    wrong = (
        (inter_f < 0)
        | (inter_b < 0)
        | (inter_f > union_f)
        | (inter_b > union_b)
        | (union_f + inter_b != valid)
        | (union_b + inter_f != valid)
    )
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise MetricError(
            f"{int(wrong.sum())} of {len(counts)} rows of counts contradict themselves, the first is row {row}: "
            + ", ".join(f"{name}={value}" for name, value in zip(COUNT_FIELDS, counts[row], strict=True))
        )


def _ratio(intersection: int, union: int, *, n_episodes: int, empty: str) -> Figure:
    if n_episodes == 0:
        return Figure(value=None, reason="no episodes", n_episodes=0)
    if union == 0:
        return Figure(value=None, reason=empty, n_episodes=n_episodes)
    return Figure(value=intersection / union, reason=None, n_episodes=n_episodes)


def score(class_ids: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], *, classes: Mapping[int, str]) -> Scores:
    """Per-class IoU, mIoU and FB-IoU of a fold.

    Args:
        class_ids: (N,) int64, the class of each episode.
        counts: (N, 5) int64 in the order of `COUNT_FIELDS`, one row an episode.
        classes: all classes of the fold with their names; the mean is over these, so one without
            episodes leaves mIoU undefined, and the reason names it.

    Raises:
        MetricError: counts that contradict themselves, or episodes of a class that is not in ``classes``.
    """
    check_counts(counts)
    if class_ids.shape != (len(counts),):
        raise MetricError(f"class_ids must have shape ({len(counts)},), got {class_ids.shape}")
    if not classes:
        raise MetricError("a fold must have classes, got none")
    if strangers := sorted({int(c) for c in class_ids} - set(classes)):
        raise MetricError(f"episodes of classes {strangers[:5]}, which are not among the {len(classes)} scored")

    per_class = {}
    for class_id in classes:
        rows = counts[class_ids == class_id]
        per_class[class_id] = _ratio(
            int(rows[:, 0].sum()),
            int(rows[:, 1].sum()),
            n_episodes=len(rows),
            empty="no foreground in truth or prediction",
        )
    return Scores(per_class=per_class, miou=_mean(per_class, classes), fb_iou=_fb_iou(counts))


def _mean(per_class: dict[int, Figure], names: Mapping[int, str]) -> Figure:
    n_episodes = sum(figure.n_episodes for figure in per_class.values())
    undefined = [f"{names[c]} ({figure.reason})" for c, figure in per_class.items() if figure.reason]
    if undefined:
        more = f" and {len(undefined) - MOST_NAMED} more classes" if len(undefined) > MOST_NAMED else ""
        reason = f"undefined for {', '.join(undefined[:MOST_NAMED])}{more}"
        return Figure(value=None, reason=reason, n_episodes=n_episodes)
    values = [figure.value for figure in per_class.values() if figure.value is not None]
    # fsum rounds once, so the mean does not depend on the order of the classes.
    return Figure(value=math.fsum(values) / len(values), reason=None, n_episodes=n_episodes)


def _fb_iou(counts: npt.NDArray[np.int64]) -> Figure:
    inter_f, union_f, inter_b, union_b, _ = (int(total) for total in counts.sum(axis=0))
    n = len(counts)
    foreground = _ratio(inter_f, union_f, n_episodes=n, empty="no foreground in truth or prediction")
    background = _ratio(inter_b, union_b, n_episodes=n, empty="no background in truth or prediction")
    if foreground.value is None or background.value is None:
        return foreground if foreground.value is None else background
    return Figure(value=(foreground.value + background.value) / 2, reason=None, n_episodes=n)

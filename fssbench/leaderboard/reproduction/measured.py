"""What was measured of a row, beside what the paper reports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from fssbench.base.errors import ResultError
from fssbench.episodes.benchmarks import BENCHMARKS
from fssbench.leaderboard.reported import Row
from fssbench.pipelines.training_sets.published import published
from fssbench.results.load import load_result
from fssbench.schemas.result import FigureRecord, ModelRecord, PolicyResult
from fssbench.scoring.estimates import Sample
from fssbench.scoring.uncertainty import METHODS, Evidence, Uncertainty

__all__ = ["Figure", "Measured", "measure"]

UNKNOWN = Uncertainty(None, None)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A measured figure and the reported one. In percent.

    Attributes:
        value: ``None`` with a ``reason`` where there is none.
        reported: ``None`` where the table has none.
        interval: 95 %, of means over all folds; ``None`` where nothing can be said.
        method: what the interval is about.
    """

    value: float | None
    reason: str | None
    reported: float | None
    interval: tuple[float, float] | None = None
    method: str | None = None

    @property
    def difference(self) -> float | None:
        """Measured less reported."""
        return None if self.value is None or self.reported is None else self.value - self.reported

    @property
    def inside(self) -> bool | None:
        """Whether what is reported lies in the interval of what was measured."""
        if self.interval is None or self.reported is None:
            return None
        return self.interval[0] <= self.reported <= self.interval[1]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A row, measured: mIoU by fold, and mIoU and FB-IoU over all folds.

    Attributes:
        results: the files it is from.
        unofficial: why they are not what the paper's would be, each reason once.
        learned: of every fold whose weights were trained here, what from, in words.
    """

    row: Row
    folds: tuple[Figure, ...]
    mean: Figure
    fb_iou: Figure
    results: tuple[Path, ...]
    unofficial: tuple[str, ...]
    learned: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class _Track:
    """One result under one policy."""

    score: PolicyResult
    evidence: Evidence
    unofficial: tuple[str, ...]
    learned: str | None


def measure(row: Row, found: Sequence[Sequence[Path]], *, policy: str) -> Measured:
    """Measure a row from its results by fold, each of all seeds; a fold without results is empty.

    Args:
        policy: the one that the row was scored under, which need not be the results' headline.

    Raises:
        ResultError: a result is damaged, or was not scored under the policy.
    """
    tracks = [[_track(path, policy) for path in paths] for paths in found]
    absent = [fold for fold, paths in enumerate(found) if not paths]
    whole = [] if absent else [track for seeds in tracks for track in seeds]
    sure = Evidence.mean([track.evidence for track in whole]).uncertainties() if whole else [UNKNOWN] * 3
    reason = f"no result on fold {', '.join(map(str, absent))}" if absent else None
    reported = row.folds or (None,) * len(tracks)

    def miou(score: PolicyResult) -> FigureRecord:
        return score.miou

    return Measured(
        row=row,
        folds=tuple(
            _mean(seeds, miou, reported=said, reason=None if seeds else f"no result on fold {fold}")
            for fold, (seeds, said) in enumerate(zip(tracks, reported, strict=True))
        ),
        mean=_mean(whole, miou, reported=row.mean, reason=reason, sure=sure[0]),
        fb_iou=_mean(whole, lambda score: score.fb_iou, reported=row.fb_iou, reason=reason, sure=sure[1]),
        results=tuple(path for paths in found for path in paths),
        unofficial=tuple(dict.fromkeys(reason for seeds in tracks for one in seeds for reason in one.unofficial)),
        learned=tuple(dict.fromkeys(one.learned for seeds in tracks for one in seeds if one.learned)),
    )


def _track(path: Path, policy: str) -> _Track:
    loaded = load_result(path)
    score = next((one for one in loaded.result.policies if one.policy == policy), None)
    if score is None:
        raise ResultError(
            f"{path} was not scored under {policy}, it was under {', '.join(loaded.table.policies)}",
            remedy="evaluate again with --overwrite",
        )
    sample = Sample(loaded.table.track, classes=tuple(c.id for c in score.per_class))
    evidence = Evidence.of(sample, loaded.table.under(policy)[:, None])[0]
    learned = _learned(loaded.result.model)
    return _Track(score=score, evidence=evidence, unofficial=loaded.result.unofficial, learned=learned)


def _learned(model: ModelRecord) -> str | None:
    """What a model learned from, beside what the publication's did; ``None`` where either is not known."""
    trained = model.trained
    if trained is None or trained.learned is None:
        return None
    found = trained.learned
    benchmark = next((one for one in BENCHMARKS if one.name == trained.benchmark), None)
    known = None if benchmark is None else published(model.name, benchmark, trained.fold)
    if known is None:
        return None
    what = "the published list," if known.sha256 == found.sha256 else f"{found.pairs:,} pairs, not from the published"
    return f"fold {trained.fold} learned from {what} {known.pairs:,} pairs of image and class"


def _mean(
    tracks: Sequence[_Track],
    figure: Callable[[PolicyResult], FigureRecord],
    *,
    reported: float | None,
    reason: str | None,
    sure: Uncertainty = UNKNOWN,
) -> Figure:
    """The mean of a figure, with its interval over other images, or over other episodes where there is no such."""
    records = [figure(track.score) for track in tracks]
    reason = reason or next((record.reason for record in records if record.reason), None)
    if reason is not None:
        return Figure(value=None, reason=reason, reported=reported)
    value = 100 * fmean(record.value for record in records if record.value is not None)
    between, method = (sure.images, "images") if sure.images else (sure.episodes, "episodes")
    if between is None:
        return Figure(value=value, reason=None, reported=reported)
    limits = (100 * between.low, 100 * between.high)
    return Figure(value=value, reason=None, reported=reported, interval=limits, method=METHODS[method])

"""All reported scores, flat: what stands beside measured ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fssbench.leaderboard.reported.tables import papers
from fssbench.schemas.leaderboard import Regime

__all__ = ["ReportedRow", "reported_rows"]


@dataclass(frozen=True, kw_only=True)
class ReportedRow:
    """A row of a paper's table that says how good a method is. Figures are in percent.

    Attributes:
        paper: such as ``hsnet``; ``title`` and ``venue`` are of `fssbench.leaderboard.reported.papers`.
        table: its name, such as ``hsnet-table1``.
        number: what the paper calls it, such as ``Table 1``.
        method: as printed, with what sets it apart.
        ablation: whether it is there to show what a part of a method is worth.
        backbone: such as ``resnet50``, or ``None`` if the table names none.
        benchmark: the full name, such as ``pascal-5i``.
        protocol: the name of the one that scored it, or ``None`` if that is not known.
        ignore_label: whether ignored pixels were left out of the score.
        regime: what its weights have learned from, such as ``training-free``.
        shot: supports of an episode.
        folds: mIoU by fold, ``None`` where it is garbled; empty where the table has none.
        mean: over the folds.
        fb_iou: likewise.
        learnable_parameters: in millions.
        ours: our model and all its options that are not the default, or ``None`` if there is no such model or the
            row's was trained otherwise than its recipe says.
        note: what a reader should know.
    """

    paper: str
    table: str
    number: str
    method: str
    ablation: bool
    backbone: str | None
    benchmark: str
    protocol: str | None
    ignore_label: bool
    regime: Regime
    shot: int
    folds: tuple[float | None, ...]
    mean: float | None
    fb_iou: float | None
    learnable_parameters: float | None
    ours: tuple[str, Mapping[str, Any]] | None
    note: str | None


def reported_rows() -> tuple[ReportedRow, ...]:
    """Every scored row of every table, in the order of papers and tables; papers repeat each other's."""
    return tuple(
        ReportedRow(
            paper=paper.name,
            table=table.name,
            number=table.number,
            method=row.label,
            ablation=row.ablation,
            backbone=row.backbone,
            benchmark=row.benchmark,
            protocol=row.protocol,
            ignore_label=row.ignore_label,
            regime=row.regime,
            shot=row.shot,
            folds=row.folds,
            mean=row.mean,
            fb_iou=row.fb_iou,
            learnable_parameters=row.learnable_parameters,
            ours=None if row.ours is None or row.ours.recipe else (row.ours.model, row.options),
            note=row.note,
        )
        for paper in papers()
        for table in paper.tables
        for row in table.rows
        if row.scored
    )

"""What an evaluation amounts to when it ends: a mean over folds as in a paper's table, and what the paper has there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fssbench.base.files import sha256_file
from fssbench.leaderboard.build import board_of
from fssbench.leaderboard.gathered import Gathered
from fssbench.leaderboard.published import published_entries
from fssbench.leaderboard.standings import between, one_decimal
from fssbench.results.evaluation import Evaluation
from fssbench.results.figures import evidence_of
from fssbench.schemas.leaderboard import Entry, ReportedEntry

__all__ = ["Closing", "closings", "reported_for"]


@dataclass(frozen=True, kw_only=True)
class Closing:
    """Results of one model and one number of shots as one figure.

    Attributes:
        entry: as the leaderboard would have it.
        reported: what a paper prints for this model; of its own protocol if the paper has several, else of another.
    """

    entry: Entry
    reported: ReportedEntry | None

    def __str__(self) -> str:
        entry, asked = self.entry, f"{self.entry.shot}-shot"
        if entry.miou.value is None:
            lines = [f"{asked}: no mean over folds, {entry.miou.reason}"]
        else:
            mean = f"{asked}, mean over {len(entry.folds)} folds"
            lines = [f"{mean}: mIoU {between(entry.miou)}, FB-IoU {between(entry.fb_iou)}"]
        if self.reported is not None:
            protocol = "" if self.reported.protocol == entry.protocol else f" under protocol {self.reported.protocol}"
            figures = f"mIoU {one_decimal(self.reported.miou)}, FB-IoU {one_decimal(self.reported.fb_iou)}"
            lines.append(f"  reported{protocol}: {figures} ({self.reported.printed_in})")
        return "\n".join(lines)


def closings(found: Iterable[Evaluation]) -> list[Closing]:
    """The means of results that lie in files, one for each number of shots; a fold alone has none."""
    items = [
        Gathered(
            result=one.record,
            table=one.table,
            path=one.path,
            name=one.path.name,
            sha256=sha256_file(one.path),
            evidence=evidence_of(one.table, classes=[c.id for c in one.record.score.per_class])[one.record.headline],
        )
        for one in found
    ]
    entries = board_of(items).entries
    return [Closing(entry=entry, reported=reported_for(entry)) for entry in entries if len(entry.runs) > 1]


def reported_for(entry: Entry) -> ReportedEntry | None:
    """The row of the papers that is this very model, asked as many shots of this benchmark."""
    rows = sorted((row for row in published_entries() if _is(row, entry)), key=lambda row: row.ablation)
    same: Sequence[ReportedEntry] = [row for row in rows if row.protocol == entry.protocol]
    return next(iter((*same, *rows)), None)


def _is(row: ReportedEntry, entry: Entry) -> bool:
    model = entry.model
    return (
        (row.benchmark, row.shot, row.model, row.backbone) == (entry.benchmark, entry.shot, model.name, model.backbone)
        and row.ignore_label == entry.policy.endswith("/ignore")
        and _ablation(row.options) == _ablation(model.options)
        and model.control is None
    )


def _ablation(options: dict[str, object]) -> dict[str, object]:
    """What makes a model another than its paper's: not the backbone, and not what follows from the question."""
    return {name: value for name, value in options.items() if name not in ("backbone", "benchmark", "shot")}

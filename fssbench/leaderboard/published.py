"""What papers report, as entries to stand beside measured ones."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache

from fssbench.base.files import sha256_bytes
from fssbench.episodes.benchmarks import find_benchmark
from fssbench.leaderboard.gathered import slug
from fssbench.leaderboard.reported import ReportedRow, papers, reported_rows
from fssbench.schemas.leaderboard import Printed, ReportedEntry

__all__ = ["published_entries"]


@cache
def published_entries() -> tuple[ReportedEntry, ...]:
    """Every score that the transcribed tables print, once, however many tables repeat it or a part of it.

    Ordered by benchmark, number of shots and protocol, ablations last, the highest mean first.
    """
    rows = reported_rows()
    entries = [_entry(same, rows) for own in _by_method(rows).values() for same in _same_scores(own)]
    return tuple(
        sorted(entries, key=lambda e: (e.benchmark, e.shot, e.group, e.ablation, -(e.miou or 0), e.label, e.id))
    )


def _by_method(rows: Iterable[ReportedRow]) -> dict[str, list[ReportedRow]]:
    """Rows of one method on one question, those with most figures first."""
    found: dict[str, list[ReportedRow]] = defaultdict(list)
    for row in rows:
        asked = (row.benchmark, row.protocol, row.ignore_label, row.regime, row.shot)
        found[json.dumps([*asked, row.method, row.backbone, row.ours])].append(row)
    return {key: sorted(own, key=lambda row: _figures(row).count(None)) for key, own in found.items()}


def _figures(row: ReportedRow) -> tuple[float | None, ...]:
    """What it prints: folds, mean, FB-IoU; as many for every row of a benchmark."""
    folds = row.folds or (None,) * len(find_benchmark(row.benchmark).folds)
    return (*folds, row.mean, row.fb_iou)


def _same_scores(rows: Sequence[ReportedRow]) -> list[list[ReportedRow]]:
    """Rows put together that contradict each other in no figure; a row that fits to several stays alone."""
    found: list[list[ReportedRow]] = []
    for row in rows:
        fitting = [same for same in found if all(_agree(row, other) for other in same)]
        if len(fitting) == 1:
            fitting[0].append(row)
        else:
            found.append([row])
    return found


def _agree(one: ReportedRow, other: ReportedRow) -> bool:
    return all(a == b or None in (a, b) for a, b in zip(_figures(one), _figures(other), strict=True))


def _entry(same: Sequence[ReportedRow], rows: Sequence[ReportedRow]) -> ReportedEntry:
    """One score, from all ``same`` rows that print it; ``rows`` are all there are, in order."""
    row = same[0]
    model, options = row.ours or (None, {})
    shots = f"{row.shot}shot"
    ignored = "" if row.ignore_label else "no-ignore-label"
    regime = "" if row.regime == "base classes" else row.regime
    # Of each figure what the first row says that says anything.
    figures = [next((f for f in column if f is not None), None) for column in zip(*map(_figures, same), strict=True)]
    *folds, mean, fb_iou = map(_share, figures)
    known = sha256_bytes(json.dumps([row.protocol, row.ignore_label, figures]).encode())[:8]
    notes = dict.fromkeys(row.note for row in same if row.note)
    return ReportedEntry(
        id=slug("reported", row.benchmark, shots, row.method, row.backbone or "", known),
        group=slug("reported", row.benchmark, shots, row.protocol or "unknown-protocol", ignored, regime),
        source="reported",
        label=" ".join(filter(None, [row.method, row.backbone])),
        method=row.method,
        ablation=all(one.ablation for one in same),
        backbone=row.backbone,
        benchmark=row.benchmark,
        protocol=row.protocol,
        ignore_label=row.ignore_label,
        regime=row.regime,
        shot=row.shot,
        folds=tuple(folds),
        miou=mean,
        fb_iou=fb_iou,
        learnable_parameters=next((row.learnable_parameters for row in same if row.learnable_parameters), None),
        model=model,
        options=dict(options),
        printed=tuple(dict.fromkeys(map(_printed, sorted(same, key=rows.index)))),
        note="; ".join(notes) or None,
    )


def _share(percent: float | None) -> float | None:
    """A printed percentage as a share, without the digits that dividing adds."""
    return None if percent is None else round(percent / 100, 6)


def _printed(row: ReportedRow) -> Printed:
    (paper,) = (paper for paper in papers() if paper.name == row.paper)
    return Printed(paper=paper.name, title=paper.title, venue=paper.venue, table=row.table, number=row.number)

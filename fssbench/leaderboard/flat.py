"""Leaderboards for spreadsheets and programs: one row per entry, as CSV or Parquet."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from fssbench.schemas.leaderboard import DifferenceRecord, Entry, ReportedEntry, Score
from fssbench.schemas.result import IntervalRecord

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["rows", "sure_of", "table", "to_csv", "to_parquet"]

COLUMNS: dict[str, pa.DataType] = {
    "id": pa.string(),
    "source": pa.string(),
    "benchmark": pa.string(),
    "protocol": pa.string(),
    "shot": pa.int32(),
    "policy": pa.string(),
    "regime": pa.string(),
    "pretrained_on": pa.string(),
    "saw": pa.string(),
    "rank": pa.int32(),
    "model": pa.string(),
    "miou": pa.float64(),
    "miou_low": pa.float64(),
    "miou_high": pa.float64(),
    "fb_iou": pa.float64(),
    "fb_iou_low": pa.float64(),
    "fb_iou_high": pa.float64(),
    "interval": pa.string(),
    "difference": pa.float64(),
    "difference_low": pa.float64(),
    "difference_high": pa.float64(),
    "folds": pa.list_(pa.float64()),
    "official": pa.bool_(),
    "unofficial": pa.string(),
    "episodes_digest": pa.string(),
    "truth_digest": pa.string(),
    "printed_in": pa.string(),
}
"""Of the flat forms, in order: one row per entry, shares in [0, 1]; empty where there is nothing to say."""


def rows(entries: Iterable[Entry], reported: Iterable[ReportedEntry]) -> Iterator[dict[str, Any]]:
    """Every entry as one flat row, measured ones first."""
    for entry in entries:
        sure = sure_of(entry.difference)
        yield _row(
            entry,
            protocol=f"{entry.protocol}/{entry.protocol_version}",
            policy=entry.policy,
            regime=entry.regime,
            pretrained_on=entry.model.prior.partition(":")[0] or None,
            saw=", ".join(entry.model.pretrained.saw) or None if entry.model.pretrained else None,
            rank=entry.rank,
            model=entry.label,
            **_with_bounds("miou", entry.miou),
            **_with_bounds("fb_iou", entry.fb_iou),
            interval="other images" if entry.miou.other_images else "other episodes" if sure_of(entry.miou) else None,
            difference=entry.difference.value,
            difference_low=sure.low if sure else None,
            difference_high=sure.high if sure else None,
            folds=[fold.miou.value for fold in entry.folds],
            official=entry.official,
            unofficial="; ".join(entry.unofficial) or None,
            episodes_digest=entry.episodes_digest,
            truth_digest=entry.truth_digest,
        )
    for row in reported:
        yield _row(
            row,
            protocol=row.protocol,
            regime=row.regime,
            model=row.label,
            miou=row.miou,
            fb_iou=row.fb_iou,
            folds=list(row.folds),
            printed_in=row.printed_in,
        )


def _row(entry: Entry | ReportedEntry, **cells: Any) -> dict[str, Any]:
    shared = {name: getattr(entry, name) for name in ("id", "source", "benchmark", "shot")}
    return dict.fromkeys(COLUMNS) | shared | cells


def sure_of(figure: Score | DifferenceRecord) -> IntervalRecord | None:
    """The interval of the harder question that can be answered: other images, else other episodes."""
    return figure.other_images or figure.other_episodes


def _with_bounds(name: str, score: Score) -> dict[str, float | None]:
    sure = sure_of(score)
    return {name: score.value, f"{name}_low": sure.low if sure else None, f"{name}_high": sure.high if sure else None}


def table(found: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as a table whose columns have the types of `COLUMNS`, whatever is missing."""
    import pandas as pd

    types = {pa.int32(): pd.Int32Dtype(), pa.bool_(): pd.BooleanDtype()}
    return pa.Table.from_pylist(list(found), schema=pa.schema(COLUMNS)).to_pandas(types_mapper=types.get)


def to_csv(board: pd.DataFrame) -> bytes:
    """A row an entry, the folds' mIoU in one cell."""
    folds = board.folds.map(lambda values: " ".join("" if math.isnan(v) else str(v) for v in values.tolist()))
    text: str = board.assign(folds=folds).to_csv(index=False, lineterminator="\n")
    return text.encode()


def to_parquet(board: pd.DataFrame) -> bytes:
    """The same rows with types, for ``datasets.load_dataset("parquet", …)``."""
    data: bytes = board.to_parquet(None, index=False, compression="zstd", schema=pa.schema(COLUMNS))
    return data

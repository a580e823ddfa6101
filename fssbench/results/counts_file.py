"""The table of counts as a Parquet file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from fssbench.base import parquet
from fssbench.base.errors import FssbenchError, ResultError
from fssbench.episodes.episodes import Episode, Track
from fssbench.scoring.counts import CountsTable, QueryFacts
from fssbench.scoring.metrics import COUNT_FIELDS, check_counts

__all__ = ["from_bytes", "to_arrow", "to_bytes"]

T = TypeVar("T")

TRUTH = b"truth_digest"
"""Of the file's metadata, the truth digest of the episodes."""

NULLABLE = "query_classes"
"""The one column that may lack a value: what the data does not say."""


def to_arrow(table: CountsTable) -> pa.Table:
    """One row an episode and policy, episodes in index order; the metadata say on which truth."""
    n, p, _ = table.counts.shape
    track, episodes, queries = table.track, table.track.episodes, table.queries
    index = np.repeat(np.arange(n, dtype=np.int32), p)
    flat = table.counts.reshape(n * p, len(COUNT_FIELDS))

    def each(values: Iterable[Any], kind: pa.DataType) -> pa.Array:
        """What is the same under every policy."""
        return pa.array(values, kind).take(pa.array(index))

    columns = {
        "benchmark": pa.repeat(pa.scalar(track.benchmark, pa.string()), n * p),
        "fold": pa.repeat(pa.scalar(track.fold, pa.int32()), n * p),
        "shot": pa.repeat(pa.scalar(track.shot, pa.int32()), n * p),
        "seed": pa.repeat(pa.scalar(track.seed, pa.int64()), n * p),
        "index": pa.array(index, pa.int32()),
        "class_id": each((e.class_id for e in episodes), pa.int32()),
        "query": each((e.query for e in episodes), pa.string()),
        "supports": each((e.supports for e in episodes), pa.list_(pa.string())),
        "object_pixels": each((q.object_pixels for q in queries), pa.int64()),
        "image_pixels": each((q.image_pixels for q in queries), pa.int64()),
        "query_classes": each((q.n_classes for q in queries), pa.int32()),
        "policy": pa.array(table.policies, pa.string()).take(pa.array(np.tile(np.arange(p), n))),
    } | {name: pa.array(flat[:, i], pa.int64()) for i, name in enumerate(COUNT_FIELDS)}
    told = {} if table.truth_digest is None else {TRUTH: table.truth_digest}
    return pa.table(columns, metadata=told or None)


def to_bytes(table: CountsTable) -> bytes:
    """The table as Parquet: the same bytes for the same table."""
    return parquet.encode(to_arrow(table))


def from_bytes(data: bytes, *, where: str, check: bool = True) -> CountsTable:
    """Read a table as `to_bytes` writes it; the digest of its ``track`` tells which episodes it is about.

    Args:
        check: refuse counts that no masks can have; whoever wants to list them all looks for them later.

    Raises:
        ResultError: it is not such a table, or a cell contradicts the others.
        CountsError: its counts contradict themselves.
    """
    try:
        stored = parquet.read(data)
        if nulls := [name for name in stored.column_names if name != NULLABLE and stored[name].null_count]:
            raise ValueError(f"column {nulls[0]} has cells without a value")
        table = _from_columns(stored)
        if not to_arrow(table).equals(stored):
            raise ValueError("its cells contradict each other, or have other types")
    except (pa.ArrowException, OSError, KeyError, ValueError, IndexError, TypeError, FssbenchError) as error:
        raise ResultError(f"{where} is not a table of counts: {error}", remedy="evaluate again") from error
    if check:
        check_counts(table.counts.reshape(-1, len(COUNT_FIELDS)))
    return table


def _from_columns(stored: pa.Table) -> CountsTable:
    """A table from its columns, each fact taken from the first row that states it."""
    policies = tuple(stored["policy"].unique().to_pylist())
    if not policies:
        raise ValueError("it has no rows")
    # Each episode stands once for each policy.
    first = stored.take(pa.array(np.arange(0, len(stored), len(policies))))
    shared = _Shared()
    facts = (first[name].to_pylist() for name in ("object_pixels", "image_pixels", "query_classes"))
    episodes = zip(first["class_id"].to_pylist(), first["query"].to_pylist(), first["supports"], strict=True)
    track = Track(
        benchmark=stored["benchmark"][0].as_py(),
        protocol="",
        fold=stored["fold"][0].as_py(),
        shot=stored["shot"][0].as_py(),
        seed=stored["seed"][0].as_py(),
        episodes=tuple(Episode(c, shared(q), tuple(map(shared, images.as_py()))) for c, q, images in episodes),
    )
    columns = [stored[name].to_numpy() for name in COUNT_FIELDS]
    if strange := [column.dtype for column in columns if column.dtype != np.int64]:
        raise ValueError(f"its counts are {strange[0]}")
    flat = np.stack(columns, axis=1)
    told = (stored.schema.metadata or {}).get(TRUTH)
    return CountsTable(
        track,
        policies,
        flat.reshape(len(track.episodes), len(policies), len(COUNT_FIELDS)),
        tuple(shared(QueryFacts(object_pixels=o, image_pixels=i, n_classes=c)) for o, i, c in zip(*facts, strict=True)),
        None if told is None else told.decode(),
    )


class _Shared:
    """Equal values as one object: many episodes are of few images."""

    def __init__(self) -> None:
        self._known: dict[Any, Any] = {}

    def __call__(self, value: T) -> T:
        known: T = self._known.setdefault(value, value)
        return known

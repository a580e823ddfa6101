"""The table of counts as a Parquet file."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fssbench.base.errors import FssbenchError, ResultError
from fssbench.episodes.episodes import Episode, Track
from fssbench.scoring.counts import CountsTable, QueryFacts
from fssbench.scoring.metrics import COUNT_FIELDS, check_counts

__all__ = ["from_bytes", "to_arrow", "to_bytes"]

TRUTH = b"truth_digest"
"""Of the file's metadata, the truth digest of the episodes."""

NULLABLE = "query_classes"
"""The one column that may lack a value: what the data does not say."""


def to_arrow(table: CountsTable) -> pa.Table:
    """One row an episode and policy, episodes in index order; the metadata say on which truth."""
    n, p, _ = table.counts.shape
    track, episodes, queries = table.track, table.track.episodes, table.queries
    repeated = [i for i in range(n) for _ in range(p)]
    flat = table.counts.reshape(n * p, len(COUNT_FIELDS))
    columns = {
        "benchmark": pa.array([track.benchmark] * (n * p), pa.string()),
        "fold": pa.array([track.fold] * (n * p), pa.int32()),
        "shot": pa.array([track.shot] * (n * p), pa.int32()),
        "seed": pa.array([track.seed] * (n * p), pa.int64()),
        "index": pa.array(repeated, pa.int32()),
        "class_id": pa.array([episodes[i].class_id for i in repeated], pa.int32()),
        "query": pa.array([episodes[i].query for i in repeated], pa.string()),
        "supports": pa.array([list(episodes[i].supports) for i in repeated], pa.list_(pa.string())),
        "object_pixels": pa.array([queries[i].object_pixels for i in repeated], pa.int64()),
        "image_pixels": pa.array([queries[i].image_pixels for i in repeated], pa.int64()),
        "query_classes": pa.array([queries[i].n_classes for i in repeated], pa.int32()),
        "policy": pa.array(list(table.policies) * n, pa.string()),
    } | {name: pa.array(flat[:, i], pa.int64()) for i, name in enumerate(COUNT_FIELDS)}
    told = {} if table.truth_digest is None else {TRUTH: table.truth_digest}
    return pa.table(columns, metadata=told or None)


def to_bytes(table: CountsTable) -> bytes:
    """The table as Parquet: the same bytes for the same table."""
    buffer = io.BytesIO()
    pq.write_table(to_arrow(table), buffer, compression="zstd")
    return buffer.getvalue()


def from_bytes(data: bytes, *, where: str, check: bool = True) -> CountsTable:
    """Read a table as `to_bytes` writes it; the digest of its ``track`` tells which episodes it is about.

    Args:
        check: refuse counts that no masks can have; whoever wants to list them all looks for them later.

    Raises:
        ResultError: it is no such table, or a cell contradicts the others.
        CountsError: its counts contradict themselves.
    """
    try:
        stored = pq.ParquetFile(io.BytesIO(data)).read()
        if nulls := [name for name in stored.column_names if name != NULLABLE and stored[name].null_count]:
            raise ValueError(f"column {nulls[0]} has cells without a value")
        table = _from_columns(stored.to_pydict(), (stored.schema.metadata or {}).get(TRUTH))
        if not to_arrow(table).equals(stored):
            raise ValueError("its cells contradict each other, or have other types")
    except (pa.ArrowException, OSError, KeyError, ValueError, IndexError, TypeError, FssbenchError) as error:
        raise ResultError(f"{where} is no table of counts: {error}", remedy="evaluate again") from error
    if check:
        check_counts(table.counts.reshape(-1, len(COUNT_FIELDS)))
    return table


def _from_columns(columns: dict[str, list[Any]], truth: bytes | None) -> CountsTable:
    """A table from its columns, each fact taken from the first row that states it."""
    policies = tuple(dict.fromkeys(columns["policy"]))
    first = slice(None, None, len(policies))  # each episode stands once for each policy
    episodes = zip(columns["class_id"][first], columns["query"][first], columns["supports"][first], strict=True)
    facts = (columns[name][first] for name in ("object_pixels", "image_pixels", "query_classes"))
    track = Track(
        benchmark=columns["benchmark"][0],
        protocol="",
        fold=columns["fold"][0],
        shot=columns["shot"][0],
        seed=columns["seed"][0],
        episodes=tuple(Episode(c, query, tuple(supports)) for c, query, supports in episodes),
    )
    flat = np.array([columns[name] for name in COUNT_FIELDS], dtype=np.int64).T
    return CountsTable(
        track,
        policies,
        flat.reshape(len(track.episodes), len(policies), len(COUNT_FIELDS)),
        tuple(QueryFacts(object_pixels=o, image_pixels=i, n_classes=c) for o, i, c in zip(*facts, strict=True)),
        None if truth is None else truth.decode(),
    )

"""Parquet in memory, read and written in the thread that asks.

Arrow's pool of threads now and then aborts a process that is about to end well: see apache/arrow#34314 and #50482. What
this package reads is small, so it leaves the pool alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["encode", "read"]


def encode(table: pa.Table) -> bytes:
    """``table`` as a Parquet file: the same bytes for the same table."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    data: bytes = sink.getvalue().to_pybytes()
    return data


def read(data: bytes, *, columns: Sequence[str] | None = None) -> pa.Table:
    """The table of a Parquet file; with ``columns``, those of them that it has.

    Raises:
        ArrowException: it is not such a file.
        OSError: it is cut or damaged.
    """
    asked = None if columns is None else list(columns)
    return pq.ParquetFile(pa.BufferReader(data)).read(columns=asked, use_threads=False)

"""Per-episode counts: the table every figure is computed from."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from fssbench.episodes import Episode, Track
from fssbench.errors import FssbenchError, ResultError
from fssbench.metrics import COUNT_FIELDS, check_counts

__all__ = ["CountsTable"]


@dataclass(frozen=True)
class CountsTable:
    """Counts of every episode of a track under every scoring policy.

    Attributes:
        track: the episodes evaluated; row i belongs to episode i.
        policies: names of the scoring policies.
        counts: (N, P, 5) int64 in the order of `fssbench.metrics.COUNT_FIELDS`.
    """

    track: Track
    policies: tuple[str, ...]
    counts: npt.NDArray[np.int64]

    @property
    def class_ids(self) -> npt.NDArray[np.int64]:
        """(N,) the class of each episode."""
        return np.array([episode.class_id for episode in self.track.episodes], dtype=np.int64)

    def of(self, policy: str) -> npt.NDArray[np.int64]:
        """(N, 5) counts under one policy."""
        return self.counts[:, self.policies.index(policy)]

    def to_table(self) -> pa.Table:
        """The table as Arrow: one row an episode and policy, episodes in index order."""
        n, p, _ = self.counts.shape
        episodes = self.track.episodes
        repeated = [i for i in range(n) for _ in range(p)]
        flat = self.counts.reshape(n * p, len(COUNT_FIELDS))
        columns = {
            "benchmark": pa.array([self.track.benchmark] * (n * p), pa.string()),
            "fold": pa.array([self.track.fold] * (n * p), pa.int32()),
            "shot": pa.array([self.track.shot] * (n * p), pa.int32()),
            "seed": pa.array([self.track.seed] * (n * p), pa.int64()),
            "index": pa.array(repeated, pa.int32()),
            "class_id": pa.array([episodes[i].class_id for i in repeated], pa.int32()),
            "query": pa.array([episodes[i].query for i in repeated], pa.string()),
            "supports": pa.array([list(episodes[i].supports) for i in repeated], pa.list_(pa.string())),
            "policy": pa.array(list(self.policies) * n, pa.string()),
        } | {name: pa.array(flat[:, i], pa.int64()) for i, name in enumerate(COUNT_FIELDS)}
        return pa.table(columns)

    def to_bytes(self) -> bytes:
        """`to_table` as Parquet."""
        buffer = io.BytesIO()
        pq.write_table(self.to_table(), buffer, compression="zstd")
        return buffer.getvalue()

    @staticmethod
    def from_bytes(data: bytes, *, where: str) -> CountsTable:
        """Read a table as `to_bytes` writes it; the digest of its ``track`` tells which episodes it is about.

        Raises:
            ResultError: it is no such table, or a cell contradicts the others.
            MetricError: its counts contradict themselves.
        """
        try:
            stored = pq.read_table(io.BytesIO(data))
            table = _from_columns(stored.to_pydict())
            if not table.to_table().equals(stored):
                raise ValueError("its cells contradict each other, or have other types")
        except (pa.ArrowException, OSError, KeyError, ValueError, IndexError, TypeError, FssbenchError) as error:
            raise ResultError(f"{where} is no table of counts: {error}", remedy="evaluate again") from error
        check_counts(table.counts.reshape(-1, len(COUNT_FIELDS)))
        return table


def _from_columns(columns: dict[str, list[Any]]) -> CountsTable:
    """A table from its columns, each fact taken from the first row that states it."""
    policies = tuple(dict.fromkeys(columns["policy"]))
    first = slice(None, None, len(policies))  # each episode stands once for each policy
    rows = zip(columns["class_id"][first], columns["query"][first], columns["supports"][first], strict=True)
    track = Track(
        benchmark=columns["benchmark"][0],
        protocol="",
        fold=columns["fold"][0],
        shot=columns["shot"][0],
        seed=columns["seed"][0],
        episodes=tuple(Episode(c, query, tuple(supports)) for c, query, supports in rows),
    )
    flat = np.array([columns[name] for name in COUNT_FIELDS], dtype=np.int64).T
    return CountsTable(track, policies, flat.reshape(len(track.episodes), len(policies), len(COUNT_FIELDS)))

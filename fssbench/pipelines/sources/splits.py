"""Split files: the lists that published evaluations draw from, as their code ships them."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from fssbench.base.errors import UsageError
from fssbench.episodes.benchmarks import Benchmark
from fssbench.episodes.lists import FoldLists
from fssbench.episodes.protocols import EvaluationProtocol
from fssbench.pipelines.sources.hdmnet_splits import BENCHMARKS, HdmnetSplits
from fssbench.pipelines.sources.hsnet_splits import SPLITS, HsnetSplits
from fssbench.schemas.manifest import FileRecord

__all__ = ["SplitFiles", "has_splits", "open_splits"]


class SplitFiles(Protocol):
    """The lists of one benchmark below one folder."""

    benchmark: Benchmark

    def records(self, fold: int) -> tuple[FileRecord, ...]:
        """The fold's files by their published names, with hash and size."""
        ...

    def unofficial(self, fold: int) -> tuple[str, ...]:
        """Why the fold's files are not the published ones, as far as that is known."""
        ...

    def path(self, fold: int) -> Path:
        """Where the fold's file is, or the first of them; `SourceError` if there is none."""
        ...

    def lists(self, fold: int) -> FoldLists:
        """The fold's lists in the order of its files; a class that has no images has an empty pool.

        Raises `SourceError` if a file is missing, too large, malformed or of another fold.
        """
        ...


def has_splits(protocol: EvaluationProtocol, benchmark: Benchmark) -> bool:
    """Whether there are split files of the protocol, for this benchmark, in a form that can be read."""
    readable = {"hsnet": SPLITS.keys(), "hdmnet": BENCHMARKS.keys()}
    return benchmark.alias in readable.get(protocol.name, ())


def open_splits(protocol: EvaluationProtocol, benchmark: Benchmark, folder: Path) -> SplitFiles:
    """The split files in ``folder`` for a protocol; `UsageError` if there are none that can be read."""
    if not has_splits(protocol, benchmark):
        raise UsageError(
            f"there are no split files of the protocol {protocol.name} for {benchmark.title} that can be read",
            remedy="leave out --splits, or pass --splits derive",
        )
    return HsnetSplits(folder, benchmark) if protocol.name == "hsnet" else HdmnetSplits(folder, benchmark)

"""Sources: what a data set on disk says about images and classes."""

from __future__ import annotations

from pathlib import Path

from fssbench.benchmarks import Benchmark
from fssbench.errors import UsageError
from fssbench.pipelines.sources.base import RawSample, Source

__all__ = ["RawSample", "Source", "open_source"]


def open_source(benchmark: Benchmark, folder: Path) -> Source:
    """The reader of ``benchmark``'s raw data in ``folder``; `SourceError` if it is not there."""
    if benchmark.alias in ("coco", "toy"):
        from fssbench.pipelines.sources.coco import CocoSource

        return CocoSource(folder, benchmark=benchmark)
    raise UsageError(f"{benchmark.title} cannot be read from raw data yet", remedy="readable are: coco, toy")

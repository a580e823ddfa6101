"""Sources: what a data set on disk says about images and classes."""

from __future__ import annotations

from pathlib import Path

from fssbench.benchmarks import Benchmark
from fssbench.errors import UsageError
from fssbench.pipelines.sources.base import RawSample, Source

__all__ = ["RawSample", "Source", "open_source"]


def open_source(benchmark: Benchmark, folder: Path, *, splits: Path | None = None) -> Source:
    """The reader of ``benchmark``'s raw data in ``folder``.

    Args:
        splits: split lists, where the benchmark's test images follow from them: FSS-1000's test classes.

    Raises:
        SourceError: the data is not there, or not what it should be.
    """
    match benchmark.raw:
        case "pascal":
            from fssbench.pipelines.sources.pascal import PascalSource

            return PascalSource(folder, benchmark=benchmark)
        case "fss":
            from fssbench.pipelines.sources.fss import FssSource

            return FssSource(folder, splits=splits, benchmark=benchmark)
        case "coco" | "toy":
            from fssbench.pipelines.sources.coco import CocoSource

            return CocoSource(folder, benchmark=benchmark)
    raise UsageError(f"{benchmark.title} has no reader of raw data", remedy="readable are pascal, coco, fss, toy")

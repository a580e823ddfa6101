"""What users name → where it is."""

from __future__ import annotations

from pathlib import Path

from fssbench.base.home import Home
from fssbench.episodes.benchmarks import Benchmark
from fssbench.pipelines.episode_sets.episode_set import benchmark_below
from fssbench.pipelines.transport import Place, Remote, find_place

__all__ = ["benchmark_and_root", "root_of"]


def root_of(data: Place | str | Path | None) -> Place:
    """Where episode sets lie: a folder or an address; ``None`` is the home."""
    if data is None:
        return Home.find().episodes
    return data if isinstance(data, Path | Remote) else find_place(data)


def benchmark_and_root(name: str, data: Place | str | Path | None) -> tuple[Benchmark, Place]:
    """The benchmark called ``name``, built in or defined by a set below ``data``, and where its sets lie.

    Raises:
        UsageError: there is no such benchmark.
    """
    root = root_of(data)
    return benchmark_below(root, name), root

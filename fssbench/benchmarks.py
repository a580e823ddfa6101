"""The benchmarks and their classes, for code outside of the package; `fssbench.episodes.benchmarks` holds them."""

from __future__ import annotations

from fssbench.episodes.benchmarks import (
    BENCHMARKS,
    COCO_20I,
    COCO_20I_CONTIGUOUS,
    COCO_20I_TO_PASCAL,
    COCO_CLASSES,
    FSS_1000,
    PASCAL_5I,
    TOY_20I,
    VOC_CLASSES,
    Benchmark,
    find_benchmark,
)

__all__ = [
    "BENCHMARKS",
    "COCO_20I",
    "COCO_20I_CONTIGUOUS",
    "COCO_20I_TO_PASCAL",
    "COCO_CLASSES",
    "FSS_1000",
    "PASCAL_5I",
    "TOY_20I",
    "VOC_CLASSES",
    "Benchmark",
    "find_benchmark",
]

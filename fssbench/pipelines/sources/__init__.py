"""Sources: what a data set on disk says about images and classes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fssbench.benchmarks import Benchmark
from fssbench.errors import UsageError
from fssbench.pipelines.sources.base import RawSample, Source

if TYPE_CHECKING:
    from fssbench.pipelines.sources.coco_masks import Crowds

__all__ = ["RawSample", "Source", "open_source"]


def open_source(
    benchmark: Benchmark,
    folder: Path,
    *,
    splits: Path | None = None,
    crowds: Crowds = "exclude",
    masks: Path | None = None,
) -> Source:
    """The reader of ``benchmark``'s raw data in ``folder``.

    Args:
        splits: split lists, where the benchmark's test images follow from them: FSS-1000's test classes.
        crowds: what becomes of COCO's crowd regions; see `AnnotationMasks`.
        masks: a folder of ready-made masks to read instead of drawing COCO's annotations; see `ReadyMasks`.

    Raises:
        SourceError: the data is not there, or not what it should be.
        UsageError: ``crowds`` or ``masks`` for data without annotations of instances, or both at once.
    """
    if (crowds != "exclude" or masks is not None) and benchmark.alias not in ("coco", "toy"):
        raise UsageError(
            f"{benchmark.title} comes with masks, not with annotations of instances",
            remedy="leave out --crowds and --masks, which are for COCO",
        )
    if crowds != "exclude" and masks is not None:
        raise UsageError(
            "ready-made masks have crowds in them or not, which --crowds cannot change",
            remedy="pass either --masks or --crowds",
        )
    match benchmark.alias:
        case "pascal":
            from fssbench.pipelines.sources.pascal import PascalSource

            return PascalSource(folder, benchmark=benchmark)
        case "fss":
            from fssbench.pipelines.sources.fss import FssSource

            return FssSource(folder, splits=splits, benchmark=benchmark)
        case "coco" | "toy":
            from fssbench.pipelines.sources.coco import CocoSource

            return CocoSource(folder, benchmark=benchmark, crowds=crowds, masks=masks)
        case "folder":
            from fssbench.pipelines.sources.folder import FolderSource

            return FolderSource(folder)
    raise UsageError(
        f"{benchmark.title} has no reader of raw data", remedy="readable are pascal, coco, fss, folder, toy"
    )

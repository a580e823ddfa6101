"""Sources: what a data set on disk says about images and classes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fssbench.base.errors import UsageError
from fssbench.episodes.benchmarks import Benchmark
from fssbench.episodes.protocols import MaskRule
from fssbench.pipelines.sources.base import Part, RawSample, Source

if TYPE_CHECKING:
    from fssbench.pipelines.sources.coco_masks import Crowds

__all__ = ["RawSample", "Source", "open_source"]


def open_source(
    benchmark: Benchmark,
    place: Path | str,
    *,
    splits: Path | None = None,
    mask_rule: MaskRule = "union",
    crowds: Crowds = "exclude",
    masks: Path | None = None,
    columns: Mapping[str, str] | None = None,
    part: Part = "test",
) -> Source:
    """The reader of ``benchmark``'s raw data in the folder ``place``, or in ``hf:NAME``, a Hugging Face dataset.

    Args:
        splits: split lists, where the benchmark's images follow from them: FSS-1000's classes.
        mask_rule: how COCO's annotations become masks; see `AnnotationMasks` and `LabelMaps`.
        crowds: what becomes of COCO's crowd regions; see `AnnotationMasks`.
        masks: a folder of ready-made masks to read instead of drawing COCO's annotations; see `ReadyMasks`.
        columns: the columns of a Hugging Face dataset; see `HuggingFaceSource`.
        part: the images that are tested, or those to train on.

    Raises:
        SourceError: the data is not there, or not what it should be.
        UsageError: an option that means nothing to such data.
    """
    on_hub = str(place).startswith("hf:")
    if columns and not on_hub:
        raise UsageError("a folder has no columns", remedy="leave out --column, which is for --source hf:NAME")
    if (crowds != "exclude" or masks is not None or mask_rule != "union") and (
        on_hub or benchmark.raw not in ("coco", "toy")
    ):
        has = "has one rule of masks" if benchmark.rules else "comes with masks, not with annotations of instances"
        raise UsageError(
            f"{place if on_hub else benchmark.title} {has}",
            remedy="leave out --crowds, --masks and --mask-rule, which are for COCO",
        )
    if crowds != "exclude" and masks is not None:
        raise UsageError(
            "ready-made masks have crowds in them or not, which --crowds cannot change",
            remedy="pass either --masks or --crowds",
        )
    if mask_rule == "label-map" and masks is not None:
        raise UsageError(
            "ready-made masks are as they are, which --mask-rule cannot change",
            remedy="pass either --masks or --mask-rule",
        )
    if mask_rule == "label-map" and crowds != "exclude":
        raise UsageError(
            f"label maps leave crowds out, so --crowds {crowds} cannot be had with them",
            remedy="leave out --crowds; or pass --mask-rule union, which is strict's rule and not official with a "
            "published protocol on COCO",
        )
    if on_hub:
        from fssbench.pipelines.sources.huggingface import PREFIX, HuggingFaceSource

        return HuggingFaceSource(str(place).removeprefix(PREFIX), benchmark=benchmark, columns=columns, part=part)
    folder = Path(place)
    if benchmark.rules is not None:
        from fssbench.pipelines.sources.described_tree import DescribedTreeSource
        from fssbench.pipelines.sources.lvis import LvisSource

        kind = LvisSource if "annotations" in benchmark.rules.layout else DescribedTreeSource
        return kind(folder, benchmark=benchmark, part=part)
    match benchmark.raw:
        case "pascal":
            from fssbench.pipelines.sources.pascal import PascalSource

            return PascalSource(folder, benchmark=benchmark, part=part)
        case "fss":
            from fssbench.pipelines.sources.fss import FssSource

            return FssSource(folder, splits=splits, benchmark=benchmark, part=part)
        case "coco" | "toy":
            from fssbench.pipelines.sources.coco import CocoSource

            return CocoSource(folder, benchmark=benchmark, mask_rule=mask_rule, crowds=crowds, masks=masks, part=part)
        case "folder":
            from fssbench.pipelines.sources.folder import FolderSource

            return FolderSource(folder, part=part)
    raise UsageError(
        f"{benchmark.title} has no reader of raw data", remedy="readable are pascal, coco, fss, folder, toy"
    )

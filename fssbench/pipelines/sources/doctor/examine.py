"""Examining one source from end to end."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from fssbench.base.errors import SourceError, UsageError
from fssbench.episodes.benchmarks import BENCHMARKS, COCO_20I, FSS_1000, PASCAL_5I, Benchmark
from fssbench.pipelines.sources import Source, open_source
from fssbench.pipelines.sources.base import LabelledSource, MaskFiles
from fssbench.pipelines.sources.coco import CocoSource
from fssbench.pipelines.sources.coco_annotations import Annotations
from fssbench.pipelines.sources.description import DESCRIPTION, read_description
from fssbench.pipelines.sources.doctor.annotations import examine_annotations
from fssbench.pipelines.sources.doctor.comparison import compare_masks
from fssbench.pipelines.sources.doctor.findings import ClassRow, Finding, Report, by_kind, found
from fssbench.pipelines.sources.doctor.pictures import examine_pictures
from fssbench.pipelines.sources.files import read_names
from fssbench.pipelines.sources.fss import FssSource
from fssbench.pipelines.sources.fss_files import find_classes
from fssbench.pipelines.sources.pascal import PascalSource, find_devkit
from fssbench.pipelines.sources.ready_masks import index_masks

__all__ = ["Steps", "examine", "guess_benchmark"]

T = TypeVar("T")
Steps = Callable[[str, int | None], Callable[[int], None]]
"""Announces a long step and how many items it has; what it returns counts them."""


def guess_benchmark(folder: Path) -> Benchmark:
    """Whose layout ``folder`` has; `SourceError` if it is nobody's."""
    if (folder / DESCRIPTION).is_file():
        return read_description(folder).benchmark
    described = [one for one in BENCHMARKS if one.rules is not None]
    known: list[tuple[Benchmark, Callable[[Path], object]]] = [
        (COCO_20I, CocoSource),
        (PASCAL_5I, find_devkit),
        (FSS_1000, find_classes),
        *((one, partial(open_source, one)) for one in described),
    ]
    for benchmark, find in known:
        try:
            find(folder)
        except SourceError:
            continue
        return benchmark
    raise SourceError(
        f"{folder} is laid out as none of COCO (annotations/), VOC (JPEGImages/), FSS-1000 (abacus/1.jpg), "
        f"{', '.join(one.title for one in described)} and a benchmark of your own ({DESCRIPTION})"
        if folder.is_dir()
        else f"there is no folder {folder}",
        remedy="pass --benchmark to hear what is missing",
    )


def examine(
    source: Source,
    *,
    min_pixels: int,
    masks: Path | None = None,
    look: bool = True,
    pixels: bool = False,
    steps: Steps = lambda *_: lambda _: None,
) -> Report:
    """Report on a source; nothing it finds is an error of its own.

    Args:
        min_pixels: least mask pixels of an eligible image.
        masks: a folder of ready-made masks to compare with those the source gives.
        look: read every image file too.
        pixels: tell images apart by their pixels, not their bytes.

    Raises:
        SourceError: the source cannot be opened at all.
        UsageError: ``masks`` for a source whose masks are not of class indices.
    """
    if masks is not None and not isinstance(source, LabelledSource):
        raise UsageError(f"{source.benchmark.title} has no masks of class indices", remedy="leave out --masks")
    report = Report(title=source.benchmark.title, layout="", split="", min_pixels=min_pixels)
    if isinstance(source, CocoSource):
        _attempt(report, lambda: _annotations(source.annotations, report))
        report.findings += found("note", "images that lie in several folders, one is used", source.copies)
    if isinstance(source, PascalSource):
        _voc(source, report)
    _attempt(report, lambda: _record(source, report))
    if isinstance(source, MaskFiles):
        faults = _attempt(report, lambda: source.mask_faults(advance=steps("masks", None)))
        report.findings += by_kind(faults or ())
    _attempt(report, lambda: _classes(source, report, steps))
    _attempt(report, lambda: _remarks(source, report))
    if masks is not None and isinstance(source, LabelledSource):
        _compare(source, masks, report, steps)
    if look:
        pictures = _attempt(report, source.pictures) or []
        counts, findings = examine_pictures(pictures, pixels=pixels, advance=steps("images", len(pictures)))
        report.counts |= counts
        report.findings += findings
    report.findings.sort(key=lambda finding: ("error", "warning", "note").index(finding.gravity))
    return report


def _annotations(annotations: Annotations, report: Report) -> None:
    counts, findings = examine_annotations(annotations)
    report.counts |= counts
    report.findings += findings


def _voc(source: PascalSource, report: Report) -> None:
    """What lies in VOC's folders, listed or not."""
    present = source.images.keys()
    report.counts |= {"listed images": len(source.image_ids), "image files": len(present)}
    report.counts |= {f"masks in {name}": len(paths) for name, paths in source.mask_folders.items()}
    lost = sorted(source.masks.keys() - present - set(source.image_ids))
    report.findings += found("note", "masks without an image file, not listed", lost)
    train = source.list_file.with_name("train.txt")
    if train.is_file():
        both = set(_attempt(report, lambda: read_names(train)) or ()) & set(source.image_ids)
        report.findings += found("warning", "images listed for both training and validation", sorted(both))


def _attempt(report: Report, step: Callable[[], T]) -> T | None:
    """Do a step; where the source refuses, that is a finding, told once."""
    try:
        return step()
    except SourceError as error:
        refusal = Finding(gravity="error", what=f"prepare would refuse: {error.problem}")
        if refusal not in report.findings:
            report.findings.append(refusal)
    return None


def _record(source: Source, report: Report) -> None:
    record = source.record()
    report.layout, report.split = record.layout, record.split


def _classes(source: Source, report: Report, steps: Steps) -> None:
    """The classes of all folds with the sizes of their pools, and the images these name but nobody has."""
    benchmark = source.benchmark
    fold_of = {c: fold for fold in range(len(benchmark.folds)) for c in benchmark.novel_classes(fold)}
    if isinstance(source, FssSource):  # without its list, not every index has a class
        fold_of = dict.fromkeys(source.classes, 0)
    names = source.class_names()
    shown = source.pools(sorted(fold_of), min_pixels=1, advance=steps("masks", None))
    eligible = source.pools(sorted(fold_of), min_pixels=report.min_pixels)
    report.classes = [
        ClassRow(id=c, name=names[c], fold=fold, images=len(shown[c]), eligible=len(eligible[c]))
        for c, fold in sorted(fold_of.items())
    ]
    few = [f"{row.name} ({row.eligible})" for row in report.classes if row.eligible < 2]
    report.findings += found("error", "classes with fewer than the 2 eligible images of a 1-shot episode", few)
    used = sorted({image_id for ids in shown.values() for image_id in ids})
    report.counts["images that show a class"] = len(used)
    report.findings += found("error", "images with masks but no image file", source.missing(used))


def _remarks(source: Source, report: Report) -> None:
    """What the source says of itself; a reason that is also a remark is told once."""
    reasons = _attempt(report, source.unofficial) or ()
    report.findings += [Finding(gravity="warning", what=f"not official: {reason}") for reason in reasons]
    report.findings += [Finding(gravity="note", what=note) for note in source.notes() if note not in reasons]


def _compare(source: LabelledSource, masks: Path, report: Report, steps: Steps) -> None:
    ready = index_masks(masks, split=report.split)
    shown = _attempt(report, source.shown) or {}
    if shown and not shown.keys() & ready.keys():
        others = f" (it has {len(ready):,} of other images)" if ready else ""
        raise SourceError(
            f"{masks} holds no mask of an image of the source{others}", remedy="expected PNGs named as the images are"
        )
    compared = _attempt(report, lambda: compare_masks(source, ready, advance=steps("comparing", len(ready))))
    if compared is not None:
        report.comparison, findings = compared
        report.findings += findings

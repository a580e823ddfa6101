"""Ready-made masks against those the policy gives, class by class."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fssbench.base.errors import MaskFileError, SourceError
from fssbench.base.progress import Advance, no_progress
from fssbench.pipelines.formats import masks
from fssbench.pipelines.sources import files
from fssbench.pipelines.sources.base import LabelledSource
from fssbench.pipelines.sources.doctor.findings import Compared, Comparison, Finding, by_kind, found
from fssbench.pipelines.sources.index_masks import IndexMasks
from fssbench.pipelines.sources.mask_png import MaskValues, read_indices

__all__ = ["compare_masks"]

WORST = 10


def compare_masks(
    source: LabelledSource, ready: dict[str, Path], *, advance: Advance = no_progress
) -> tuple[Comparison, list[Finding]]:
    """Compare every image that has both kinds of masks; pixels that either does not score are left out.

    Args:
        ready: PNGs of class indices (class + 1, 0 for background, 255 for not scored) by image id.
    """
    names = source.class_names()
    shown = source.shown()
    both = sorted(shown.keys() & ready.keys())
    totals: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
    single: list[Compared] = []
    faults: list[SourceError] = []
    meant = MaskValues.of_classes(source.benchmark.n_classes, ignore_label=files.IGNORED)
    values = IndexMasks(lambda image_id: read_indices(ready[image_id], meant), where=ready.__getitem__, meant=meant)
    equal = 0
    for image_id in both:
        try:
            found_here = _compare(source, image_id, shown[image_id], values)
        except SourceError as error:
            faults.append(error)
            continue
        finally:
            advance(1)
        for class_id, (inter, union) in found_here.items():
            total = totals[class_id]
            total[0] += inter != union
            total[1] += inter
            total[2] += union
            if inter != union:
                where = f"{image_id} {names[class_id]}"
                single.append(Compared(where=where, images=1, inter=inter, union=union))
        equal += all(inter == union for inter, union in found_here.values())
    comparison = Comparison(
        images=len(both) - len(faults),
        equal=equal,
        classes=tuple(
            Compared(where=names[c], images=n, inter=inter, union=union)
            for c, (n, inter, union) in sorted(totals.items())
        ),
        worst=tuple(heapq.nsmallest(WORST, single, key=lambda one: (-one.differing, one.where))),
    )
    lacking = sorted(shown.keys() - ready.keys())
    return comparison, [
        *found("warning", "images of the source without a ready-made mask", lacking),
        *by_kind(faults, "ready-made "),
    ]


def _compare(
    source: LabelledSource, image_id: str, classes: Sequence[int], values: IndexMasks
) -> dict[int, tuple[int, int]]:
    """Pixels in both masks and in either, by class, of the classes that one of them has in the image."""
    indices = values.indices(image_id)
    present = files.areas(values.histogram(image_id), n_classes=source.benchmark.n_classes).keys()
    compared = {}
    for class_id in sorted({*present, *classes}):
        scored: npt.NDArray[np.bool_] = indices != files.IGNORED
        if class_id in classes:
            rle, ignore = source.mask(class_id, image_id)
            if rle["size"] != list(indices.shape):
                raise MaskFileError(
                    f"{values.where(image_id)} is {_size(list(indices.shape))} pixels, its image {_size(rle['size'])}",
                    kind="masks of another size than their image",
                )
            policy = masks.decode(rle)
            scored &= ~masks.decode(ignore) if ignore is not None else True
        else:
            policy = np.zeros(indices.shape, np.bool_)
        theirs = indices == class_id + 1
        union = int((scored & (policy | theirs)).sum())
        if union:
            compared[class_id] = (int((scored & policy & theirs).sum()), union)
    return compared


def _size(size: Sequence[int]) -> str:
    return f"{size[1]}×{size[0]}"

"""COCO's annotation file, looked at entry by entry without giving up at the first fault."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from fssbench.pipelines.formats import masks, regions
from fssbench.pipelines.formats.regions import Size
from fssbench.pipelines.sources.coco_annotations import Annotations
from fssbench.pipelines.sources.coco_contents import Annotation, Contents, name_of, text_id
from fssbench.pipelines.sources.doctor.findings import Finding, found

__all__ = ["examine_annotations"]


def examine_annotations(annotations: Annotations) -> tuple[dict[str, int], list[Finding]]:
    """Counts of what the file has, what is not as the format says, and what is odd about the rest."""
    data, contents = annotations.data, annotations.contents
    counts = {
        "listed images": len(data["images"]),
        "annotations": len(data["annotations"]),
        "crowds": sum(bool(row.get("iscrowd")) for row in contents.rows),
        "categories": len(data["categories"]),
    }
    return counts, [*_faults(contents), *_shapes(contents), *_coverage(contents)]


def _faults(contents: Contents) -> Iterator[Finding]:
    kinds: dict[str, list[str]] = {}
    for fault in contents.faults:
        kinds.setdefault(fault.kind, []).append(str(fault))
    for kind, places in kinds.items():
        yield from found("error", kind, places)


def _shapes(contents: Contents) -> Iterator[Finding]:
    """Regions by how they are written down."""
    kinds: dict[str, list[str]] = {}
    for row in contents.rows:
        for kind in _oddities(row, contents.sizes[row["image_id"]] or (1, 1)):
            kinds.setdefault(kind, []).append(name_of(row).removeprefix("annotation "))
    yield from found("note", "crowds, left out of masks unless --crowds says otherwise", kinds.get("crowd", ()))
    yield from found("note", "annotations of several polygons, all drawn", kinds.get("several", ()))
    yield from found("warning", "polygons of two corners, which enclose nothing", kinds.get("line", ()))
    yield from found("warning", "annotations whose region covers no pixel", kinds.get("empty", ()))
    yield from found("warning", "polygons that leave their image, cut at its border", kinds.get("outside", ()))


def _oddities(row: Annotation, size: Size) -> Iterator[str]:
    height, width = size
    region = row["segmentation"]
    if row.get("iscrowd"):
        yield "crowd"
    if isinstance(region, dict):
        if not masks.area(regions.draw(region, size)):
            yield "empty"
        return
    if len(region) > 1:
        yield "several"
    if min(map(len, region)) < 6:
        yield "line"
    xs = list(chain.from_iterable(polygon[0::2] for polygon in region))
    ys = list(chain.from_iterable(polygon[1::2] for polygon in region))
    if min(xs) < 0 or min(ys) < 0 or max(xs) > width or max(ys) > height:
        yield "outside"
    # Drawing all polygons takes minutes; only a thin one can come to nothing.
    if (max(xs) - min(xs) < 1 or max(ys) - min(ys) < 1) and not masks.area(regions.draw(region, size)):
        yield "empty"


def _coverage(contents: Contents) -> Iterator[Finding]:
    rows = contents.rows
    shown = {row["image_id"] for row in rows}
    solid = {(row["image_id"], row["category_id"]) for row in rows if not row.get("iscrowd")}
    crowds = {(row["image_id"], row["category_id"]) for row in rows if row.get("iscrowd")}
    yield from found(
        "note",
        "listed images without any annotation, never drawn",
        (text_id(image) for image in contents.sizes if image not in shown),
    )
    yield from found(
        "note",
        "images that show a category as crowds alone, not drawn for it",
        (f"{text_id(image)} category {category}" for image, category in sorted(crowds - solid)),
    )

"""COCO's annotation file, looked at entry by entry without giving up at the first fault."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from fssbench.pipelines.formats import masks
from fssbench.pipelines.sources.coco_annotations import Annotation, Annotations, text_id
from fssbench.pipelines.sources.doctor.findings import Finding, found
from fssbench.schemas.rle import Rle

__all__ = ["examine_annotations"]


def examine_annotations(annotations: Annotations) -> tuple[dict[str, int], list[Finding]]:
    """Counts of what the file has, and what is odd about it."""
    data = annotations.data
    rows = data["annotations"]
    counts = {
        "listed images": len(data["images"]),
        "annotations": len(rows),
        "crowds": sum(bool(row.get("iscrowd")) for row in rows),
        "categories": len(data["categories"]),
    }
    sizes = {image["id"]: (image["height"], image["width"]) for image in data["images"]}
    return counts, [*_references(data), *_shapes(rows, sizes), *_coverage(rows, sizes)]


def _references(data: dict[str, list[Annotation]]) -> Iterator[Finding]:
    images = Counter(row["id"] for row in data["images"])
    categories = {row["id"] for row in data["categories"]}
    rows = data["annotations"]
    yield from found("error", "images listed more than once", (str(i) for i, n in images.items() if n > 1))
    yield from found(
        "error", "annotations of images that are not listed", (_name(r) for r in rows if r["image_id"] not in images)
    )
    yield from found(
        "error",
        "annotations of categories that are not listed",
        (_name(r) for r in rows if r["category_id"] not in categories),
    )
    ids = Counter(row["id"] for row in rows if "id" in row)
    yield from found("warning", "annotation ids given more than once", (str(i) for i, n in ids.items() if n > 1))


def _shapes(rows: Sequence[Annotation], sizes: dict[Any, tuple[int, int]]) -> Iterator[Finding]:
    """Regions by how they are written down."""
    kinds: dict[str, list[str]] = {}
    for row in rows:
        if row["image_id"] in sizes:
            for kind in _oddities(row, sizes[row["image_id"]]):
                kinds.setdefault(kind, []).append(_name(row))
    yield from found("note", "crowds, left out of masks unless --crowds says otherwise", kinds.get("crowd", ()))
    yield from found("note", "annotations of several polygons, all drawn", kinds.get("several", ()))
    yield from found("error", "annotations without a region", kinds.get("nothing", ()))
    yield from found("error", "run lengths of another size than their image", kinds.get("size", ()))
    yield from found("warning", "annotations whose region covers no pixel", kinds.get("empty", ()))
    yield from found("warning", "polygons that leave their image, cut at its border", kinds.get("outside", ()))


def _oddities(row: Annotation, size: tuple[int, int]) -> Iterator[str]:
    height, width = size
    region = row["segmentation"]
    if row.get("iscrowd"):
        yield "crowd"
    if isinstance(region, dict):
        counts = region.get("counts")
        if not counts or "size" not in region:
            yield "nothing"
        elif list(region["size"]) != [height, width]:
            yield "size"
        elif not _pixels(region):
            yield "empty"
        return
    polygons = region if isinstance(region, list) else []
    if not polygons or any(not isinstance(p, list) or len(p) < 6 or len(p) % 2 for p in polygons):
        yield "nothing"
        return
    if len(polygons) > 1:
        yield "several"
    xs = list(chain.from_iterable(p[0::2] for p in polygons))
    ys = list(chain.from_iterable(p[1::2] for p in polygons))
    if min(xs) < 0 or min(ys) < 0 or max(xs) > width or max(ys) > height:
        yield "outside"
    # Drawing all polygons takes minutes; only a thin one can come to nothing.
    if (max(xs) - min(xs) < 1 or max(ys) - min(ys) < 1) and not masks.area(masks.draw(polygons, height, width)):
        yield "empty"


def _pixels(region: dict[str, Any]) -> int:
    counts = region["counts"]
    if isinstance(counts, list):
        return sum(counts[1::2])
    return masks.area(Rle(size=region["size"], counts=counts))


def _coverage(rows: Sequence[Annotation], sizes: dict[Any, tuple[int, int]]) -> Iterator[Finding]:
    shown = {row["image_id"] for row in rows}
    solid = {(row["image_id"], row["category_id"]) for row in rows if not row.get("iscrowd")}
    crowds = {(row["image_id"], row["category_id"]) for row in rows if row.get("iscrowd")}
    yield from found(
        "note", "listed images without any annotation, never drawn", (_image(i) for i in sizes if i not in shown)
    )
    yield from found(
        "note",
        "images that show a category as crowds alone, not drawn for it",
        (f"{_image(image)} category {category}" for image, category in sorted(crowds - solid)),
    )


def _image(image_id: Any) -> str:
    return text_id(image_id) if isinstance(image_id, int) else str(image_id)


def _name(row: Annotation) -> str:
    return f"{row.get('id', '?')} of image {row['image_id']}"

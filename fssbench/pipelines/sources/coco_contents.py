"""What a file of COCO's annotations says, entry by entry, and everything in it that is not as the format has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from reprlib import repr
from typing import Any

from fssbench.base.errors import SourceError
from fssbench.pipelines.formats import masks, regions
from fssbench.pipelines.formats.regions import Size

__all__ = ["Annotation", "Contents", "Fault", "name_of", "read_contents", "text_id"]

Annotation = dict[str, Any]
"""One entry of the file's ``annotations``."""

MOST_ID = 10**12 - 1
"""The largest number of an image, whose file is named by 12 digits."""


@dataclass(frozen=True)
class Fault:
    """Something that is not as the format says.

    Attributes:
        kind: what such things are called, in the plural.
        where: which one, such as ``annotation 7 of image 000000000042``; empty if it is the file.
        problem: what was expected and what was found.
    """

    kind: str
    where: str
    problem: str

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}" if self.where else self.problem


@dataclass(kw_only=True)
class Contents:
    """What an annotation file says, apart from what is wrong with it.

    Attributes:
        sizes: of the images by id; ``None`` where the file gives none that an image can have.
        names: of the categories by id.
        rows: annotations whose fields can be read and whose region can be drawn.
        faults: what is wrong with everything else, in the file's order: images, categories, annotations, regions.
    """

    sizes: dict[int, Size | None] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    rows: list[Annotation] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def text_id(image_id: int) -> str:
    """An image's id as we write it: 12 digits."""
    return f"{image_id:012d}"


def read_contents(data: Mapping[str, list[Any]], *, n_classes: int) -> Contents:
    """What the sections of a file say; no fault in it is an error."""
    contents = Contents()
    contents.faults += _read_images(data["images"], contents.sizes)
    contents.faults += _read_categories(data["categories"], contents.names)
    if (found := len(data["categories"])) != n_classes:
        problem = f"it has {found} categories, expected {n_classes}"
        contents.faults.append(Fault("other numbers of categories than the benchmark's", "", problem))
    contents.faults += _read_annotations(data["annotations"], contents)
    _leave_out_what_cannot_be_drawn(contents)
    return contents


def _read_images(rows: list[Any], sizes: dict[int, Size | None]) -> Iterator[Fault]:
    for n, row in enumerate(rows):
        image = row.get("id") if isinstance(row, dict) else None
        if type(image) is not int or not 0 <= image <= MOST_ID:
            problem = f"its id must be a whole number of up to 12 digits, got {repr(image)}"
            yield Fault("images whose id is not a number", f"images[{n}]", problem)
            continue
        if image in sizes:
            yield Fault("images listed more than once", f"image {text_id(image)}", "it is listed more than once")
        try:
            sizes[image] = masks.check_size([row.get("height"), row.get("width")], what="its size")
        except SourceError as error:
            sizes[image] = None
            yield Fault("images of a size that none can have", f"image {text_id(image)}", error.problem)


def _read_categories(rows: list[Any], names: dict[int, str]) -> Iterator[Fault]:
    kind, taken = "categories that cannot be told apart", set()
    for n, row in enumerate(rows):
        category, name = (row.get("id"), row.get("name")) if isinstance(row, dict) else (None, None)
        if type(category) is not int:
            yield Fault(kind, f"categories[{n}]", f"its id must be a whole number, got {repr(category)}")
            continue
        if category in names:
            yield Fault(kind, f"category {category}", "it is listed more than once")
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            yield Fault(kind, f"category {category}", f"its name must be text, got {repr(name)}")
        elif name in taken:
            yield Fault(kind, f"category {category}", f"its name is {repr(name)}, which another one has")
        names.setdefault(category, str(name))
        taken.add(name if isinstance(name, str) else None)


def _read_annotations(rows: list[Any], contents: Contents) -> Iterator[Fault]:
    """Keep the annotations whose fields can be read; the first thing that is wrong with each of the others."""
    sizes, names, keep = contents.sizes, contents.names, contents.rows.append
    taken: set[int] = set()
    for n, row in enumerate(rows):
        if (
            type(row) is dict
            and type(own := row.get("id")) is int
            and own not in taken
            and type(image := row.get("image_id")) is int
            and image in sizes
            and type(category := row.get("category_id")) is int
            and category in names
            and row.get("iscrowd", 0) in (0, 1)
            and "segmentation" in row
        ):
            taken.add(own)
            if sizes[image] is not None:
                keep(row)
        else:
            yield _fault_of(row, f"annotations[{n}]", contents, taken)


def _leave_out_what_cannot_be_drawn(contents: Contents) -> None:
    rows, sizes = contents.rows, contents.sizes
    sizes_of_rows = [sizes[row["image_id"]] or (1, 1) for row in rows]
    faulty = dict(regions.faults([row["segmentation"] for row in rows], sizes_of_rows))
    kind = "annotations without a region that can be drawn"
    contents.faults += (Fault(kind, name_of(rows[n]), problem) for n, problem in faulty.items())
    if faulty:
        contents.rows = [row for n, row in enumerate(rows) if n not in faulty]


def _fault_of(row: Any, place: str, contents: Contents, taken: set[int]) -> Fault:
    """What is wrong with an annotation of which something is."""
    kind = "annotations whose fields are not COCO's"
    if not isinstance(row, dict):
        return Fault(kind, place, f"it must be an object, got {repr(row)}")
    where = name_of(row, place)
    for key in ("id", "image_id", "category_id"):
        if type(row.get(key)) is not int:
            found = f"got {repr(row[key])}" if key in row else "it has none"
            return Fault(kind, where, f"its {key} must be a whole number, {found}")
    if row["id"] in taken:
        return Fault(kind, where, f"its id must be unique, and an annotation before {place} has it")
    if row["image_id"] not in contents.sizes:
        return Fault(
            "annotations of images that are not listed", where, f"it names image {row['image_id']}, which is not listed"
        )
    if row["category_id"] not in contents.names:
        problem = f"it names category {row['category_id']}, which is not listed"
        return Fault("annotations of categories that are not listed", where, problem)
    if "segmentation" not in row:
        return Fault(kind, where, "it has no segmentation")
    return Fault(kind, where, f"its iscrowd must be 0 or 1, got {repr(row['iscrowd'])}")


def name_of(row: Annotation, place: str = "") -> str:
    """What an annotation is called in messages: ``annotation 7 of image 000000000042``; by its place without an id."""
    image = row.get("image_id")
    name = f"annotation {repr(row['id'])}" if type(row.get("id")) is int else place
    return f"{name} of image {text_id(image) if type(image) is int and 0 <= image <= MOST_ID else repr(image)}"

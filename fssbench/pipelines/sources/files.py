"""What sources share: images with their masks, name lists, files by image and fingerprints."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fssbench.base.errors import SourceError
from fssbench.base.files import sha256_bytes
from fssbench.base.listing import list_files
from fssbench.base.progress import Advance
from fssbench.pipelines.formats import images
from fssbench.pipelines.sources.base import RawSample
from fssbench.schemas.manifest import FileRecord
from fssbench.schemas.rle import Rle

__all__ = [
    "IGNORED",
    "areas",
    "by_stem",
    "fingerprint",
    "image_name",
    "make_sample",
    "names_digest",
    "pools",
    "read_bytes",
    "read_names",
    "read_sample",
    "record_file",
    "shorten",
]

IGNORED = 255
"""The value of pixels that are not scored, in masks of class indices."""

SUFFIXES = ("jpg", "jpeg", "png")
COCO_PREFIX = re.compile(r"(?:^|(?<=/))COCO_(?:train|val)2014_")


def read_bytes(path: Path) -> bytes:
    """The content of a file; `SourceError` if it cannot be read, or is a pipe that might never end."""
    try:
        if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
            raise SourceError(f"{path} is not a file but a pipe or device", remedy="put the file itself there")
        return path.read_bytes()
    except (OSError, ValueError) as error:  # the latter of a name that no file can have
        raise SourceError(
            f"{path} cannot be read: {getattr(error, 'strerror', error)}", remedy="check the file"
        ) from error


def read_sample(
    path: Path,
    *,
    image_id: str,
    class_id: int,
    mask: Rle,
    ignore: Rle | None,
    n_classes: int | None,
    formats: tuple[str, ...] = ("JPEG",),
) -> RawSample:
    """See `make_sample`, from a file."""
    return make_sample(
        read_bytes(path),
        where=str(path),
        image_id=image_id,
        class_id=class_id,
        mask=mask,
        ignore=ignore,
        n_classes=n_classes,
        formats=formats,
    )


def make_sample(
    jpeg: bytes,
    *,
    where: str,
    image_id: str,
    class_id: int,
    mask: Rle,
    ignore: Rle | None,
    n_classes: int | None,
    formats: tuple[str, ...] = ("JPEG",),
) -> RawSample:
    """An image file's bytes with its mask, whose size says how the image is to be turned.

    Raises `SourceError` naming ``where`` if the image is damaged or does not fit the mask.
    """
    height, width = mask["size"]
    header = images.inspect(jpeg, where=where, formats=formats)
    return RawSample(
        image_id=image_id,
        class_id=class_id,
        jpeg=jpeg,
        height=height,
        width=width,
        orientation=images.fit_orientation(header, height=height, width=width, where=where),
        mask=mask,
        ignore=ignore,
        n_classes=n_classes,
    )


def read_names(path: Path) -> tuple[str, ...]:
    """The names in a text file, one a line; `SourceError` if it is empty, no text, or names one twice.

    Blank lines, spaces around a name, a byte order mark and Windows line ends are nothing to object to.
    """
    try:
        lines = read_bytes(path).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} is not a text file: {error}", remedy="use the list as published") from error
    names = tuple(line.strip() for line in lines if line.strip())
    if not names:
        raise SourceError(f"{path} is empty, expected one name per line", remedy="use the list as published")
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise SourceError(f"{path} names '{name}' twice", remedy="use the list as published")
        seen.add(name)
    return names


def image_name(line: str) -> str:
    """What a line of a list begins with, without what makes it a file's name: ``val2014/000000000042``."""
    name, _, suffix = line.split()[0].rpartition(".")
    name = name if suffix.lower() in SUFFIXES else line.split()[0]
    return COCO_PREFIX.sub("", name)


def names_digest(names: Collection[str]) -> str:
    """SHA-256 (hex) of the sorted names, one a line: which names they are, in whatever order they stood."""
    return sha256_bytes("".join(f"{name}\n" for name in sorted(names)).encode())


def record_file(path: Path) -> FileRecord:
    """One file's record."""
    data = read_bytes(path)
    return FileRecord(name=path.name, sha256=sha256_bytes(data), bytes=len(data))


def fingerprint(name: str, files: Mapping[str, Path]) -> FileRecord:
    """Many files as one record called ``name``.

    Its hash is the SHA-256 of the lines ``key sha256`` by ascending key, its size the sum of theirs.
    """
    lines, total = [], 0
    for key, path in sorted(files.items()):
        data = read_bytes(path)
        lines.append(f"{key} {sha256_bytes(data)}\n")
        total += len(data)
    return FileRecord(name=name, sha256=sha256_bytes("".join(lines).encode()), bytes=total)


def by_stem(folder: Path, *suffixes: str) -> tuple[dict[str, Path], tuple[str, ...]]:
    """The files in ``folder`` that end in one of ``suffixes``, by their names without, and what was left out.

    Of several that differ only there, the one whose suffix stands first counts, and small letters before capitals.
    """
    if not folder.is_dir():
        return {}, ()
    listing = list_files(folder, suffixes=suffixes, error=SourceError)
    rank = {suffix: place for place, suffix in enumerate(suffixes)}
    found: dict[str, Path] = {}
    for path in sorted(listing.files, key=lambda path: (path.suffix not in rank, rank[path.suffix.lower()], path)):
        found.setdefault(path.stem, path)
    return found, tuple(f"{folder.name}/{name}" for name in listing.left_out)


def areas(histogram: npt.NDArray[np.int64], *, n_classes: int) -> dict[int, int]:
    """Pixels by class index, of the classes in a histogram of values class + 1 (256,)."""
    return {value - 1: int(histogram[value]) for value in range(1, n_classes + 1) if histogram[value]}


def pools(
    image_ids: Iterable[str],
    areas: Callable[[str], Mapping[int, int]],
    *,
    classes: Sequence[int],
    min_pixels: int,
    advance: Advance,
) -> dict[int, tuple[str, ...]]:
    """`Source.pools` where one mask tells all classes of an image: ``areas`` gives its pixels by class index."""
    found: dict[int, list[str]] = {class_id: [] for class_id in classes}
    for image_id in sorted(image_ids):
        for class_id, area in areas(image_id).items():
            if class_id in found and area >= min_pixels:
                found[class_id].append(image_id)
        advance(1)
    return {class_id: tuple(ids) for class_id, ids in found.items()}


def shorten(names: Sequence[str], *, shown: int = 5) -> str:
    """The first few names, with an ellipsis for the rest."""
    return ", ".join(names[:shown]) + (", …" if len(names) > shown else "")

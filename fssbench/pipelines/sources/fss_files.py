"""Where the files of FSS-1000 are: class folders, the images and masks in them, and the lists of classes."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fssbench.base.errors import SourceError
from fssbench.base.listing import list_files, list_folders
from fssbench.pipelines.sources import files

__all__ = ["ClassFiles", "class_folders", "find_classes", "find_list"]

IMAGES, MASKS = (".jpg", ".jpeg"), (".png",)
NUMBERED_FILE = re.compile(r"(?:[1-9]|10)\.(?:jpe?g|png)", re.IGNORECASE)


@dataclass(frozen=True)
class ClassFiles:
    """The files of one class.

    Attributes:
        images: by their names without suffix, such as ``1``.
        masks: likewise.
        left_out: what does not count, and why.
    """

    images: dict[str, Path]
    masks: dict[str, Path]
    left_out: tuple[str, ...]

    @staticmethod
    def of(folder: Path) -> ClassFiles:
        """Those in a class's folder; none if there is no such folder."""
        images, without_images = files.by_stem(folder, *IMAGES)
        masks, without_masks = files.by_stem(folder, *MASKS)
        return ClassFiles(images, masks, tuple(dict.fromkeys((*without_images, *without_masks))))


def class_folders(folder: Path) -> list[str]:
    """The names of the folders in ``folder`` that hold numbered images or masks, sorted.

    Folders that may not be looked into hold nothing, such as those that an operating system keeps on a disk.
    """
    names = []
    with suppress(SourceError):
        for inner in list_folders(folder, error=SourceError):
            with suppress(SourceError):
                listing = list_files(inner, suffixes=(*IMAGES, *MASKS), error=SourceError)
                names += [inner.name] * any(NUMBERED_FILE.fullmatch(file.name) for file in listing.files)
    return names


def find_classes(folder: Path) -> Path:
    """The folder of the class folders, which is ``folder`` or the only one in it that is such a folder."""
    remedy = "point --source at the folder that holds FSS-1000's class folders, such as abacus/1.jpg"
    if not folder.is_dir():
        raise SourceError(f"there is no folder {folder}", remedy=remedy)
    if class_folders(folder):
        return folder
    found = [inner for inner in list_folders(folder, error=SourceError) if class_folders(inner)]
    if len(found) != 1:
        what = f"several: {files.shorten([path.name for path in found])}" if found else "none"
        raise SourceError(f"{folder} should hold class folders or one folder of them, found {what}", remedy=remedy)
    return found[0]


def find_list(splits: Path, name: str) -> Path:
    """A list of classes: the file named, for the only list of a part, or in the folder named."""
    if name == "test" and splits.is_file():
        return splits
    folder = splits.parent if splits.is_file() else splits
    for place in (f"fss/{name}.txt", f"{name}.txt"):
        if (folder / place).is_file():
            return folder / place
    what, itself = ("test classes", f"{splits}, ") if name == "test" else ("classes", "")
    raise SourceError(
        f"there is no list of {what} {itself}{folder}/fss/{name}.txt or {folder}/{name}.txt",
        remedy="pass --splits with that file or its folder",
    )

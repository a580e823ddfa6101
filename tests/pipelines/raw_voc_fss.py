"""Makers of small VOC 2012 and FSS-1000 folders."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.io import savemat

Array = npt.NDArray[np.uint8]


def jpeg(path: Path, height: int, width: int, *, orientation: int = 1) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (90, 120, 60)).save(path, exif=exif)


def png(path: Path, pixels: Array, *, mode: str | None = None) -> None:
    """Write pixels as they are: mode P gets a palette whose colours are not its indices."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if mode == "P":
        image.putpalette([(37 * n + 11) % 256 for n in range(768)])
    elif mode is not None and mode != image.mode:
        image = image.convert(mode)
    image.save(path)


def indices(values: Mapping[int, int], *, height: int = 24, width: int = 32, start: int = 0) -> Array:
    """A mask with, row by row from pixel ``start``, so many pixels of each value."""
    flat = np.zeros(height * width, np.uint8)
    for value, count in values.items():
        flat[start : start + count] = value
        start += count
    return flat.reshape(height, width)


def voc(folder: Path, masks: Mapping[str, Array], *, listed: Iterable[str] | None = None, mode: str = "P") -> Path:
    """A VOC 2012 folder with one image and one SegmentationClassAug mask for each id."""
    for image_id, mask in masks.items():
        jpeg(folder / f"JPEGImages/{image_id}.jpg", *mask.shape)
        png(folder / f"SegmentationClassAug/{image_id}.png", mask, mode=mode)
    path = folder / "ImageSets/Segmentation/val.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{image_id}\n" for image_id in (masks if listed is None else listed)))
    return folder


def sbd(path: Path, pixels: Array) -> None:
    """Write a mask as SBD does: a MATLAB struct with its classes and boundaries beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    present = np.array([[value] for value in np.unique(pixels) if value], np.uint8)
    boundaries = np.empty((20, 1), object)
    boundaries[:, 0] = [np.zeros((0, 2)) for _ in boundaries]
    content = {"Boundaries": boundaries, "Segmentation": pixels, "CategoriesPresent": present}
    savemat(path, {"GTcls": content}, do_compression=True)


def blob(height: int = 20, width: int = 24) -> Array:
    """A soft-edged disc of grey values 0 … 255, off the centre."""
    y, x = np.mgrid[:height, :width]
    distance = np.hypot(y - 0.4 * height, x - 0.6 * width)
    grey: Array = np.clip(255 - 60 * (distance - 4), 0, 255).astype(np.uint8)
    return grey


def fss(folder: Path, classes: Iterable[str], *, numbers: Iterable[int] = range(1, 11)) -> Path:
    """An FSS-1000 folder whose classes all have the same disc as their masks."""
    first, *others = classes
    for number in numbers:
        jpeg(folder / f"{first}/{number}.jpg", *blob().shape)
        png(folder / f"{first}/{number}.png", blob())
    for name in others:
        shutil.copytree(folder / first, folder / name, dirs_exist_ok=True)
    return folder

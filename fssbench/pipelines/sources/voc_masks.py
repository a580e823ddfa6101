"""Masks of class indices for VOC 2012's images: VOC's own, SBD's, and the merged set of both."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fssbench.base.errors import SourceError
from fssbench.pipelines.sources import files
from fssbench.pipelines.sources.mask_png import MaskValues, read_indices

__all__ = ["MASK_FOLDERS", "SBD", "find_masks", "read_mask"]

MASK_FOLDERS = ("SegmentationClass", "SegmentationClassAug")
"""VOC's own masks, which have the 255 border, come before the set that was merged with SBD's."""

SBD = "SBD cls"
"""What SBD's folder of ``.mat`` files is called in records."""

SBD_PLACES = (".", "SBD", "sbd", "benchmark_RELEASE", "dataset")


def find_masks(devkit: Path, source: Path) -> tuple[dict[str, dict[str, Path]], list[str]]:
    """Mask files by folder and image id, the folders in the order in which they count, and what was left out.

    Args:
        devkit: the folder with ``JPEGImages``.
        source: the folder the user named, at or above it: SBD may lie anywhere between.
    """
    found: dict[str, dict[str, Path]] = {}
    left_out: list[str] = []
    places = [(name, devkit / name, ".png") for name in MASK_FOLDERS]
    if (sbd := _find_sbd(devkit, source)) is not None:
        places.append((SBD, sbd, ".mat"))
    for name, folder, suffix in places:
        found[name], others = files.by_stem(folder, suffix)
        left_out += others
    return found, left_out


def _find_sbd(devkit: Path, source: Path) -> Path | None:
    """SBD's ``cls`` as it is unpacked (``benchmark_RELEASE/dataset/cls``), or below a folder of SBD's name."""
    roots = [devkit, *(parent for parent in devkit.parents if parent == source or source in parent.parents)]
    for root in roots:
        for place in SBD_PLACES:
            for within in (root / place, root / place / "dataset", root / place / "benchmark_RELEASE/dataset"):
                if files.by_stem(within / "cls", ".mat")[0]:
                    return within / "cls"
    return None


def read_mask(path: Path, meant: MaskValues) -> tuple[npt.NDArray[np.uint8], bool]:
    """A mask file, PNG or SBD's ``.mat`` → its class indices (H, W) uint8; see `read_indices`."""
    if path.suffix.lower() == ".mat":
        return _read_mat(path), False
    return read_indices(path, meant)


def _read_mat(path: Path) -> npt.NDArray[np.uint8]:
    """SBD's category-level ground truth: the field ``Segmentation`` of the struct ``GTcls``."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(io.BytesIO(files.read_bytes(path)), variable_names=["GTcls"])
        indices = content["GTcls"][0, 0]["Segmentation"]
    except (MatReadError, zlib.error, OSError, NotImplementedError, LookupError, TypeError, ValueError) as error:
        raise SourceError(
            f"{path} is not a mask of SBD, a MATLAB file with GTcls.Segmentation: {error}",
            remedy="download or unpack it again; of SBD's folders cls is the one with classes",
        ) from error
    if not isinstance(indices, np.ndarray) or indices.ndim != 2 or indices.dtype != np.uint8:
        raise SourceError(
            f"{path}: GTcls.Segmentation is {getattr(indices, 'dtype', type(indices).__name__)} of "
            f"{getattr(indices, 'ndim', 0)} dimensions, expected uint8 of 2",
            remedy="download or unpack it again",
        )
    return np.ascontiguousarray(indices)

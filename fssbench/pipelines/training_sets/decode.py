"""A sample of a training set → pixels, and where which class is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fssbench.base.errors import SourceError, TrainingSetError
from fssbench.models.batch import IGNORED
from fssbench.pipelines.formats import images, masks
from fssbench.schemas.rle import Rle
from fssbench.schemas.samples import TrainingMeta, TrainingSample

__all__ = ["LabelledImage", "Labels", "decode_sample"]

Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class LabelledImage:
    """A decoded image; its masks are decoded when they are asked for.

    Attributes:
        image: RGB pixels (H, W, 3) uint8.
        meta: what its sample says.
    """

    image: npt.NDArray[np.uint8]
    meta: TrainingMeta

    def target(self, class_id: int) -> Labels:
        """(H, W) uint8: 1 where the class is, 0 elsewhere, `IGNORED` where it is not known."""
        if class_id not in self.meta.masks:
            raise TrainingSetError(
                f"image {self.meta.image_id} does not show class {class_id}",
                remedy="draw the lists from this very training set",
            )
        return self.labels({class_id: 1})

    def labels(self, numbers: Mapping[int, int]) -> Labels:
        """(H, W) uint8: the number of the class there, 0 for none of ``numbers``, `IGNORED` where it is not known.

        Where classes overlap, which in COCO they may, the one that covers less of the image lies on top.
        """
        labels = np.zeros(self.image.shape[:2], np.uint8)
        if self.meta.ignore is not None:
            labels[self._decode(self.meta.ignore)] = IGNORED
        shown = {c: self._decode(mask) for c, mask in self.meta.masks.items() if c in numbers}
        for class_id in sorted(shown, key=lambda c: (-np.count_nonzero(shown[c]), c)):
            labels[shown[class_id]] = numbers[class_id]
        return labels

    def _decode(self, rle: Rle) -> npt.NDArray[np.bool_]:
        try:
            return masks.decode(rle, size=(self.meta.height, self.meta.width))
        except SourceError as error:
            raise TrainingSetError(
                f"image {self.meta.image_id}: {error}", remedy="prepare the set again with --train --overwrite"
            ) from error


def decode_sample(sample: TrainingSample) -> LabelledImage:
    """Decode an image; `SourceError` if that fails, `TrainingSetError` if it has not the size of its masks."""
    meta = sample.meta
    where = f"image {sample.key} ({meta.image_id})"
    pixels = images.decode(sample.jpeg, orientation=meta.orientation, where=where)
    if pixels.shape[:2] != (meta.height, meta.width):
        raise TrainingSetError(
            f"{where} decodes to {pixels.shape[1]}×{pixels.shape[0]} pixels, its masks have {meta.width}×{meta.height}",
            remedy="prepare the set again with --train --overwrite",
        )
    return LabelledImage(pixels, meta)

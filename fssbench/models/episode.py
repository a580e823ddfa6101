"""Episodes as they are, images at their original size, and models that are shown them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from fssbench.base.errors import ModelError
from fssbench.models.answers import as_answer, masks_at
from fssbench.models.geometry import Geometry, Size
from fssbench.models.preprocess import Preprocess
from fssbench.models.segmenter import FewShotSegmenter

__all__ = ["EpisodeSegmenter", "QueryImage", "RawEpisode", "SupportImage"]


@dataclass(frozen=True, slots=True, eq=False)
class QueryImage:
    """An image that is to be segmented.

    Attributes:
        image_id: the benchmark's.
        image: RGB pixels (H, W, 3) uint8, at the original size.
    """

    image_id: str
    image: npt.NDArray[np.uint8]

    @property
    def pil(self) -> Image.Image:
        """The image as Pillow has it, RGB; a copy."""
        return Image.fromarray(self.image)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.image.shape[0], self.image.shape[1]


@dataclass(frozen=True, slots=True, eq=False)
class SupportImage(QueryImage):
    """An image that shows the class.

    Attributes:
        mask: (H, W) bool, where the class is.
        ignore: (H, W) bool, pixels of which the truth is not known, or ``None``; never in ``mask``.
    """

    mask: npt.NDArray[np.bool_]
    ignore: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RawEpisode:
    """One question as a model is asked it: the query without its truth.

    Attributes:
        query: `QueryImage` with ``image`` (H, W, 3) uint8, or ``pil``.
        supports: `SupportImage` likewise, with ``mask`` (H, W) bool and ``ignore``, one for each shot.
        benchmark: its name, such as ``coco-20i``.
        told: the class's index and name, for a model that says it uses them.
    """

    query: QueryImage
    supports: tuple[SupportImage, ...]
    benchmark: str
    told: tuple[int, str] | None = None

    @property
    def class_id(self) -> int:
        """The benchmark's index of the class; `ModelError` unless the model says that it uses it."""
        return self._class[0]

    @property
    def class_name(self) -> str:
        """What people call the class; likewise."""
        return self._class[1]

    @property
    def _class(self) -> tuple[int, str]:
        if self.told is None:
            raise ModelError(
                "the model asks what the class is called, which it does not say it uses",
                remedy="set uses_class_names = True on the class or function: results record it",
            )
        return self.told


class EpisodeSegmenter(FewShotSegmenter):
    """A model that is shown images as they are. Derive from it and implement `segment`; nothing else is needed.

    Attributes:
        preprocess: what `inputs` makes tensors by; of a model that does not call it, nothing.
    """

    preprocess: Preprocess = Preprocess(resize="none")
    reads_pixels: bool = False

    @abstractmethod
    def segment(self, episode: RawEpisode) -> Any:
        """Segment ``episode.query``.

        Returns:
            A mask (H, W) of bool or {0, 1}, or float logits: (2, h, w) of background and foreground, or (1, h, w) of
            foreground, of which 0 is the threshold. An array, a tensor or an image of Pillow, which may have a batch
            of 1 before it. What has the query's own size is taken as it is; what has another is of the input that
            `preprocess` makes of the query, whatever its scale.
        """

    def inputs(self, episode: RawEpisode) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """The episode as tensors, by `preprocess`, on the model's device.

        Returns:
            The query (1, 3, H, W), normalised; the K supports, each (1, 3, h, w) of a size of its own; and their
            masks, each (1, h, w) in {0, 1}.
        """
        show = self.preprocess
        first = next(self.parameters(), None)
        device = torch.device("cpu") if first is None else first.device
        query, *supports = [
            show.normalise(show.image(one.image).to(device))[None] for one in (episode.query, *episode.supports)
        ]
        return query, supports, [show.mask(one.mask).to(device).float()[None] for one in episode.supports]

    def masks_of(self, given: Any, geometry: Geometry, sizes: Sequence[Size], *, of: str) -> list[Tensor]:
        """What `segment` gave as masks (h, w) uint8 at each of ``sizes``.

        Args:
            geometry: where the query would lie in the input that `preprocess` makes.
            of: whose answer it is, for messages.

        Raises:
            ModelError: it is not an answer, or of another shape than the padded input.
        """
        answer = as_answer(given, of=of)
        height, width = answer.shape[-2:]
        if (height, width) == geometry.original:
            return masks_at(answer, sizes)
        _require_shape((height, width), geometry, of=of)
        return masks_at(answer, sizes, geometry=geometry)

    def predict(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        """Not to be asked for: the model is shown images as they are, not tensors."""
        raise ModelError(f"{type(self).__name__} answers episodes with their images, not tensors")


def _require_shape(given: Size, geometry: Geometry, *, of: str) -> None:
    """Raise `ModelError` if an answer cannot be of a padded input: their sides differ by more than a pixel."""
    (h, w), (height, width) = given, geometry.input
    if geometry.padded and abs(h * width - w * height) > height + width:
        own, whole = ("×".join(map(str, size)) for size in (geometry.original, geometry.input))
        raise ModelError(
            f"{of} gave {h}×{w}, neither of the query's own size, {own}, nor of the shape of its input, {whole}",
            remedy="return what the network gives for the whole input, padding and all, or what has the query's size",
        )

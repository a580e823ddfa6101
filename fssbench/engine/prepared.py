"""Episodes as a model is shown them: images made its input, and what its masks are scored against."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fssbench.models.interface import Geometry, Preprocess, Size, resize_mask
from fssbench.pipelines.episode_sets.stream import Frame
from fssbench.schemas.samples import MaskSize

__all__ = ["PreparedEpisode", "PreparedFrame", "Truth", "prepare"]


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What a mask of one size is scored against.

    Attributes:
        mask: (h, w) bool, where the class is.
        ignore: (h, w) bool, pixels that are not scored, or ``None``.
    """

    mask: Tensor
    ignore: Tensor | None

    def on(self, device: torch.device) -> Truth:
        """The same on the device that holds what is scored."""
        ignore = None if self.ignore is None else self.ignore.to(device, non_blocking=True)
        return Truth(self.mask.to(device, non_blocking=True), ignore)


@dataclass(frozen=True, slots=True, eq=False)
class PreparedFrame:
    """A frame as the model sees it, and as it is scored.

    Attributes:
        frame: the decoded image at its original size.
        pixels: (3, h, w), the model's input before it is normalised; of no shape for a model that does not look at it.
        mask: (h, w) bool, likewise.
        held: the mask on the CPU.
        geometry: where the image lies in the input.
        truths: at every size that masks are scored at.
    """

    frame: Frame
    pixels: Tensor
    mask: Tensor
    held: Tensor
    geometry: Geometry
    truths: Mapping[MaskSize, Truth]

    @property
    def tensors(self) -> Iterator[Tensor]:
        """All there are."""
        yield from (self.pixels, self.mask)
        for truth in self.truths.values():
            yield from (truth.mask,) if truth.ignore is None else (truth.mask, truth.ignore)


@dataclass(frozen=True, slots=True, eq=False)
class PreparedEpisode:
    """An episode as the model is shown it.

    Attributes:
        sizes: at which its mask is wanted.
        index: in its track.
        name: what messages call it.
    """

    query: PreparedFrame
    supports: Sequence[PreparedFrame]
    sizes: Sequence[Size]
    index: int
    name: str = "a drawn episode"


def prepare(
    frame: Frame,
    preprocess: Preprocess,
    *,
    with_pixels: bool = True,
    send: Callable[[Tensor], Tensor] = lambda tensor: tensor,
) -> PreparedFrame:
    """What a model with this ``preprocess`` sees of a frame, each part once for all episodes that have it.

    Args:
        with_pixels: whether it looks at the image, or at masks alone.
        send: brings a tensor to where it is needed.
    """
    geometry = preprocess.geometry((frame.mask.shape[0], frame.mask.shape[1]))
    pixels = preprocess.image(frame.image).contiguous() if with_pixels else torch.empty(0, dtype=torch.uint8)
    held = preprocess.mask(frame.mask)
    mask = send(held)
    ignore = None if frame.ignore is None else torch.from_numpy(frame.ignore)
    small = None if ignore is None else resize_mask(ignore, geometry.content)
    truths: dict[MaskSize, Truth] = {
        "original": Truth(send(torch.from_numpy(frame.mask)), None if ignore is None else send(ignore)),
        "model": Truth(mask[geometry.window], None if small is None else send(small)),
    }
    return PreparedFrame(frame, send(pixels), mask, held, geometry, truths)

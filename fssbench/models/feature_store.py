"""Features of images, kept as long as there is room."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from torch import Tensor

__all__ = ["FeatureStore"]


class FeatureStore:
    """What images were encoded to, by id; when it is full, what was not used for longest is dropped."""

    def __init__(self, budget: int) -> None:
        """Keep at most ``budget`` bytes."""
        self.budget = budget
        self.bytes = 0
        self._held: OrderedDict[str, list[Tensor]] = OrderedDict()

    def once(self, image_id: str, encode: Callable[[], list[Tensor]]) -> list[Tensor]:
        """The features of an image: as they are kept, or encoded now."""
        if image_id in self._held:
            self._held.move_to_end(image_id)
            return self._held[image_id]
        features = self._held[image_id] = encode()
        self.bytes += _size(features)
        while self.bytes > self.budget and len(self._held) > 1:
            _, dropped = self._held.popitem(last=False)
            self.bytes -= _size(dropped)
        return features


def _size(features: list[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in features)

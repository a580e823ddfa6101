"""The most memory that asking a model takes."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

__all__ = ["peak_bytes"]


def peak_bytes(ask: Callable[[], object], model: nn.Module, device: str) -> int:
    """The most memory that ``ask`` takes, with the weights; see `fssbench.engine.profile.Profile.peak_bytes`."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        ask()
        torch.cuda.synchronize(device)
        return int(torch.cuda.max_memory_allocated(device))
    weights: dict[int, int] = {
        t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in model.state_dict().values()
    }
    with _Living() as living:
        ask()
    return sum(weights.values()) + int(living.peak)


class _Living(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the storages of tensors that operators put out, until each is freed.

    Attributes:
        peak: the most bytes there were at one time.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = self._now = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {_address(t) for t in tree_flatten((args, kwargs))[0] if isinstance(t, Tensor)}
        for tensor in tree_flatten(result)[0]:
            if isinstance(tensor, Tensor) and _address(tensor) not in given:
                self._add(tensor.untyped_storage())
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        self._known.add(storage)
        self._now += storage.nbytes()
        self.peak = max(self.peak, self._now)
        weakref.finalize(storage, self._free, storage.nbytes())

    def _free(self, n_bytes: int) -> None:
        self._now -= n_bytes


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()

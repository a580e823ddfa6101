"""Tensors on their way to a device and back, while host and device do other things."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

__all__ = ["Transfer"]


class Transfer:
    """To one device and back. Only a GPU has a way between; a CPU has what is sent at once.

    What is sent goes on a stream of its own and passes what is computed meanwhile. The host never waits but in what
    `fetch` gives.
    """

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)
        self._sent = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None  # type: ignore[no-untyped-call]

    @property
    def ahead(self) -> int:
        """Batches to begin before the first is waited for: with one, the device always has something to do."""
        return 0 if self._sent is None else 1

    def send(self, tensor: Tensor) -> Tensor:
        """A tensor of the host on the device, from any thread; to be used after `arrived`.

        Where the device has no memory for it now, it stays where it is.
        """
        if self._sent is None:
            return tensor
        try:
            with torch.cuda.stream(self._sent):
                return tensor.pin_memory().to(self.device, non_blocking=True)
        except torch.OutOfMemoryError:
            return tensor

    def arrived(self, tensors: Iterable[Tensor]) -> None:
        """Let the device wait for all that was sent so far before it computes what it is asked from now on."""
        if self._sent is None:
            return
        computing = torch.cuda.current_stream(self.device)
        computing.wait_stream(self._sent)
        for tensor in tensors:
            if tensor.device.type == self.device.type:
                tensor.record_stream(computing)  # so that nothing is sent to its place before that is computed

    def fetch(self, tensors: Sequence[Tensor]) -> Callable[[], list[Tensor]]:
        """Begin to bring tensors to the host; what is returned waits until they are there, and gives them."""
        if self._sent is None:
            return lambda: [tensor.cpu() for tensor in tensors]
        there = [torch.empty(one.shape, dtype=one.dtype, pin_memory=True) for one in tensors]
        for host, one in zip(there, tensors, strict=True):
            host.copy_(one, non_blocking=True)
        done = torch.cuda.Event()  # type: ignore[no-untyped-call]
        done.record(torch.cuda.current_stream(self.device))

        def wait() -> list[Tensor]:
            done.synchronize()
            return there

        return wait

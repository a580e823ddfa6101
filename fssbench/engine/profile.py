"""What a model costs: parameters, floating-point operations, memory and time of one episode."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from torch.utils.flop_counter import FlopCounterMode

from fssbench.engine.drawn import ModelInputs, drawn
from fssbench.models.blame import blamed
from fssbench.models.interface import FewShotSegmenter

__all__ = ["Profile", "peak_bytes", "profile"]

CLASS = 0
"""The toy class of the episode; no cost depends on what an image shows."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The costs of one episode, alone in its batch, nothing kept from another.

    Attributes:
        parameters: all, the backbone's included.
        learnable_parameters: those that training would change.
        flops: floating-point operations of convolutions and matrix products, a multiplication and an addition
            being two, as `torch.utils.flop_counter` counts them.
        flops_by_part: the same for each child module of the model and for everything else it does.
        peak_bytes: on a GPU what torch allocated at most, with the weights; on a CPU the most that tensors
            held at one time, with the weights but without what an operator uses inside.
        milliseconds: median time of an episode, after one that is not timed.
    """

    device: str
    shot: int
    input_size: int
    parameters: int
    learnable_parameters: int
    flops: int
    flops_by_part: Mapping[str, int]
    peak_bytes: int
    milliseconds: float


def profile(model: FewShotSegmenter, *, shot: int = 1, device: str = "cpu", repeats: int = 5) -> Profile:
    """Ask ``model`` one drawn episode ``repeats`` times over, and measure.

    Args:
        shot: supports, ≥ 1.
        repeats: timed runs, ≥ 1.
    """
    with blamed(model, doing="to be profiled"):
        return _profile(model.to(device).eval(), shot=shot, device=device, repeats=repeats)


def _profile(model: FewShotSegmenter, *, shot: int, device: str, repeats: int) -> Profile:
    asked = drawn(model.preprocess, classes=[CLASS], shot=shot, device=device)

    def ask() -> Tensor:
        with torch.inference_mode():
            return model.predict(*asked.tensors)

    with FlopCounterMode(display=False) as counter:
        _PredictAsForward(model)(asked)
    peak = peak_bytes(ask, model, device)
    return Profile(
        device=device,
        shot=shot,
        input_size=model.preprocess.size,
        parameters=sum(p.numel() for p in model.parameters()),
        learnable_parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        flops=counter.get_total_flops(),
        flops_by_part=_by_part(counter, model),
        peak_bytes=peak,
        milliseconds=1000 * median(_seconds(ask, device) for _ in range(repeats)),
    )


class _PredictAsForward(nn.Module):
    """A model's `predict` as a module's forward: the counter tells operations apart by the modules they run in."""

    def __init__(self, model: FewShotSegmenter) -> None:
        super().__init__()
        self.model = model

    def forward(self, asked: ModelInputs) -> Tensor:
        with torch.inference_mode():
            return self.model.predict(*asked.tensors)


def _by_part(counter: FlopCounterMode, model: nn.Module) -> dict[str, int]:
    """Operations by child module; those of no child (correlations, for example) as ``other``.

    A part of which only inner modules are called, as HSNet calls its backbone, is the sum of these.
    """
    counts = counter.get_flop_counts()
    found: dict[str, int] = {}
    for name, _ in model.named_children():
        prefix = f"{_PredictAsForward.__name__}.model.{name}"
        outermost = (
            [prefix] if prefix in counts else _outermost([key for key in counts if key.startswith(f"{prefix}.")])
        )
        found[name] = sum(sum(counts[key].values()) for key in outermost)
    return found | {"other": counter.get_total_flops() - sum(found.values())}


def _outermost(names: list[str]) -> list[str]:
    """Of dotted names those that are below none of the others."""
    return [name for name in names if not any(name.startswith(f"{other}.") for other in names)]


def peak_bytes(ask: Callable[[], object], model: nn.Module, device: str) -> int:
    """The most memory that ``ask`` takes, with the weights; see `Profile.peak_bytes`."""
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


def _seconds(ask: Callable[[], Tensor], device: str) -> float:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    ask()
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    return time.perf_counter() - start

"""What a model costs, by part: parameters, floating-point operations, memory and time of one episode."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from fssbench.base.errors import ModelError
from fssbench.engine.drawn import Inputs, drawn_for
from fssbench.engine.inference import ready
from fssbench.engine.kept_weights import KeptWeights
from fssbench.engine.memory import peak_bytes
from fssbench.engine.naming import author
from fssbench.models.blame import blamed
from fssbench.models.interface import FewShotSegmenter, Size

__all__ = ["Part", "Profile", "profile"]

CLASS = 0
"""The toy class of the episode; no cost depends on what an image shows."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """What a part of a model costs in an episode, alone in its batch, nothing kept from another.

    Attributes:
        parameters: all; ``learnable_parameters`` are those that training would change.
        flops: floating-point operations of convolutions and matrix products, as `torch.utils.flop_counter` counts
            them: a multiplication and an addition are two.
        milliseconds: median time of an episode, after one that is not timed. Of a part, that spent within its modules.
    """

    parameters: int
    learnable_parameters: int
    flops: int
    milliseconds: float

    @property
    def multiply_adds(self) -> int:
        """Of a multiplication and an addition as one: what papers call FLOPs as a rule."""
        return self.flops // 2


@dataclass(frozen=True, kw_only=True)
class Profile(Part):
    """The costs of one episode, whole and by part.

    Attributes:
        input_size: side of the square that the episode's images were squashed to, or the size that they had.
        parts: by name, in the model's own order; see `FewShotSegmenter.cost_parts`.
        peak_bytes: on a GPU what torch allocated at most, with the weights; on a CPU the most that tensors
            held at one time, with the weights but without what an operator uses inside.
    """

    device: str
    shot: int
    input_size: int | Size
    parts: Mapping[str, Part]
    peak_bytes: int

    def of(self, parts: Sequence[str]) -> Part:
        """Some parts together, or the whole if none are named."""
        if not parts:
            return self
        return _sum([self.parts[name] for name in parts])


def profile(model: FewShotSegmenter, *, shot: int = 1, device: str = "cpu", repeats: int = 5) -> Profile:
    """Ask ``model`` one drawn episode ``repeats`` times over, and measure.

    Args:
        shot: supports, ≥ 1.
        repeats: timed runs, ≥ 1.

    Raises:
        ModelError: the parts it names overlap.
    """
    with blamed(author(model), doing="to be profiled"):
        return _profile(ready(model, device), shot=shot, device=device, repeats=repeats)


def _profile(model: FewShotSegmenter, *, shot: int, device: str, repeats: int) -> Profile:
    parts = _parts(model)
    asked, weights = drawn_for(model, class_id=CLASS, shot=shot, device=device), KeptWeights(model)

    def ask() -> object:
        with weights.asking():
            return asked.ask(model)

    with FlopCounterMode(display=False) as counter, weights.asking():
        _AskAsForward(model)(asked)
    flops = _flops(counter, model, parts)
    peak = peak_bytes(ask, model, device)
    whole = 1000 * median(_seconds(ask, device) for _ in range(repeats))
    spent = _milliseconds(ask, parts, device=device, repeats=repeats)
    return Profile(
        device=device,
        shot=shot,
        input_size=model.preprocess.square or model.preprocess.shape or asked.size,
        parameters=_parameters([model]),
        learnable_parameters=_parameters([model], learnable=True),
        flops=counter.get_total_flops(),
        parts={
            name: Part(
                parameters=_parameters(modules),
                learnable_parameters=_parameters(modules, learnable=True),
                flops=flops[name],
                milliseconds=spent[name],
            )
            for name, modules in parts.items()
        },
        peak_bytes=peak,
        milliseconds=whole,
    )


Parts = Mapping[str, Sequence[nn.Module]]


def _parts(model: FewShotSegmenter) -> Parts:
    """The model's parts, one without modules among them; `ModelError` if they overlap."""
    parts = dict(model.cost_parts())
    without = [name for name, modules in parts.items() if not modules]
    if len(without) > 1:
        raise ModelError(
            f"{type(model).__name__}.cost_parts has no modules in {' and '.join(without)}",
            remedy="leave one of them: what is computed in no module cannot be told apart",
        )
    if not without:
        parts["other"] = ()
    seen: dict[int, str] = {}
    for name, modules in parts.items():
        for module in (inner for outer in modules for inner in outer.modules()):
            if (first := seen.setdefault(id(module), name)) != name:
                raise ModelError(
                    f"{type(model).__name__}.cost_parts has a {type(module).__name__} in both {first} and {name}",
                    remedy="name each module in one part",
                )
    return parts


def _sum(parts: Sequence[Part]) -> Part:
    return Part(**{name: sum(getattr(part, name) for part in parts) for name in Part.__dataclass_fields__})


def _parameters(modules: Sequence[nn.Module], *, learnable: bool = False) -> int:
    found = {id(p): p for module in modules for p in module.parameters()}
    return sum(p.numel() for p in found.values() if p.requires_grad or not learnable)


class _AskAsForward(nn.Module):
    """A model's answer as a module's forward: the counter tells operations apart by the modules they run in."""

    def __init__(self, model: FewShotSegmenter) -> None:
        super().__init__()
        self.model = model

    def forward(self, asked: Inputs) -> object:
        return asked.ask(self.model)


def _flops(counter: FlopCounterMode, model: nn.Module, parts: Parts) -> dict[str, int]:
    """Operations by part; those of no module (correlations, for example) are of the part that has none.

    A module of which only inner ones are called, as HSNet calls its backbone's, is the sum of these.
    """
    counts = counter.get_flop_counts()
    names = {id(module): name for name, module in model.named_modules()}
    found = dict.fromkeys(parts, 0)
    for part, modules in parts.items():
        for module in modules:
            prefix = f"{_AskAsForward.__name__}.model.{names[id(module)]}"
            inside = [key for key in counts if key == prefix or key.startswith(f"{prefix}.")]
            found[part] += sum(sum(counts[key].values()) for key in _outermost(inside))
    return found | {_rest(parts): counter.get_total_flops() - sum(found.values())}


def _rest(parts: Parts) -> str:
    """The part that has no modules."""
    return next(name for name, modules in parts.items() if not modules)


def _outermost(names: list[str]) -> list[str]:
    """Of dotted names those that are below none of the others."""
    return [name for name in names if not any(name.startswith(f"{other}.") for other in names)]


def _milliseconds(ask: Callable[[], object], parts: Parts, *, device: str, repeats: int) -> dict[str, float]:
    """Median time within the modules of each part, a part's inner modules counted once."""
    clock = _Clock(device)
    hooks = []
    for name, modules in parts.items():
        for module in {id(inner): inner for outer in modules for inner in outer.modules()}.values():
            hooks += [module.register_forward_pre_hook(clock.enter), module.register_forward_hook(clock.leaving(name))]
    taken = []
    try:
        for _ in range(repeats):
            clock.spent = dict.fromkeys(parts, 0.0)
            whole = _seconds(ask, device)
            taken.append(clock.spent | {_rest(parts): max(0.0, whole - sum(clock.spent.values()))})
    finally:
        for hook in hooks:
            hook.remove()
    return {name: 1000 * median(one[name] for one in taken) for name in parts}


class _Clock:
    """Times the outermost of the modules that are entered, by part."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.spent: dict[str, float] = {}
        self._depth, self._since = 0, 0.0

    def enter(self, *_: object) -> None:
        if self._depth == 0:
            self._since = _now(self.device)
        self._depth += 1

    def leaving(self, part: str) -> Callable[..., None]:
        def leave(*_: object) -> None:
            self._depth -= 1
            if self._depth == 0:
                self.spent[part] += _now(self.device) - self._since

        return leave


def _now(device: str) -> float:
    """The time in seconds when all that was asked of the device is done."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _seconds(ask: Callable[[], object], device: str) -> float:
    start = _now(device)
    ask()
    return _now(device) - start

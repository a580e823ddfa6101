"""The weights that a file holds, under the names that a model has for them.

Training code saves them alone or beside an optimizer, under whatever key, and its wrappers put their own names before
those of the model. What fits a model in one way alone is read; what does not fit is told, and what fits in two ways.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from fssbench.base.errors import CheckpointError
from fssbench.models.checkpoint_file import Unknown, read_checkpoint_file

__all__ = ["fits", "load_checkpoint", "read_state_dict"]

WRAPPER = "module."
"""What DataParallel puts before every name."""

COMPILED = frozenset({"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
"""What torch.compile and other wrappers put into names, at any place; no model calls a part of it so."""

OPTIMIZERS = ("optim", "sched", "scaler")
"""Keys that hold one of these hold tensors by name that are not weights."""

NEEDLESS = "num_batches_tracked"
"""How old files, which do not count batches, lack a tensor that no model in eval mode uses."""

DEPTH = 4
"""Parts of a name that may be a prefix, and containers in each other that are looked into."""

LONGEST = 120
"""Characters of a name in messages."""

State = dict[str, Tensor]


def read_state_dict(path: str | Path, *, like: Mapping[str, Tensor] | None = None) -> State:
    """The tensors by name in a file of ``torch.save``, or in a ``.safetensors``, on the CPU.

    A state dict may be the whole file or stand in it beside other things. Only tensors and plain containers are
    unpickled; an object of any other class is passed over.

    Args:
        path: the file.
        like: the state of the model that it is for. Of several state dicts it is the one that fits, and what wrappers
            put before names is taken off or added, so that most of the names are the model's. Without it a leading
            ``module.`` is taken off.

    Raises:
        CheckpointError: the file is missing, no checkpoint, or holds no tensors by name, or several that could be it.
    """
    return _chosen(read_checkpoint_file(Path(path)), like, where=str(path))


def load_checkpoint(
    model: nn.Module,
    checkpoint: object,
    *,
    rename: Callable[[str], str] = str,
    where: str = "the state dict",
) -> State:
    """Fill ``model`` with a checkpoint; names and shapes must all fit.

    Args:
        model: what is filled.
        checkpoint: a file, or what one holds: a state dict in memory, alone or beside other things.
        rename: makes a name of the checkpoint one of the model.
        where: what messages call what is in memory.

    Returns:
        What it was filled with, by the model's names and of its types.

    Raises:
        CheckpointError: it is missing or unreadable, or names are missing, unexpected or wrongly shaped.
    """
    loaded = checkpoint
    if isinstance(checkpoint, (str, Path)):
        loaded, where = read_checkpoint_file(Path(checkpoint)), str(checkpoint)
    wanted = model.state_dict()
    state = _chosen(loaded, wanted, where=where, rename=rename)
    if problems := _problems(state, wanted):
        known = wanted.keys() & state.keys()
        remedy = "build the model with the backbone and options the checkpoint was trained with"
        if not known:
            remedy = f"it is of another network: its names are such as {_few(state)}, the model's {_few(wanted)}"
        raise CheckpointError(f"{where} does not fit {type(model).__name__}: {problems}", remedy=remedy)
    state = {name: state.get(name, own).to(own.dtype) for name, own in wanted.items()}
    model.load_state_dict(state)
    return state


def fits(loaded: object, wanted: Mapping[str, Tensor]) -> bool:
    """Whether what a file holds would fill a model of this state."""
    try:
        return not _problems(_chosen(loaded, wanted, where=""), wanted)
    except CheckpointError:
        return False


def _problems(state: State, wanted: Mapping[str, Tensor]) -> str:
    """What keeps ``state`` from being ``wanted``: how much of which kind, and the first of each."""
    common = sorted(wanted.keys() & state.keys())
    problems = {
        "missing": sorted(name for name in wanted.keys() - state.keys() if not name.endswith(NEEDLESS)),
        "unexpected": sorted(state.keys() - wanted.keys()),
        "wrongly shaped": [
            f"{name} {tuple(state[name].shape)} for {tuple(wanted[name].shape)}"
            for name in common
            if state[name].shape != wanted[name].shape
        ],
        "of another type": [
            f"{name} {state[name].dtype} for {wanted[name].dtype}"
            for name in common
            if state[name].is_floating_point() != wanted[name].is_floating_point()
            or not torch.can_cast(state[name].dtype, wanted[name].dtype)
        ],
        "not stored as plain tensors": [
            f"{name} {state[name].layout}" for name in common if state[name].layout != wanted[name].layout
        ],
        "without values": [name for name in common if state[name].is_meta and not wanted[name].is_meta],
    }
    return "; ".join(f"{len(names)} {kind} ({_few(names)})" for kind, names in problems.items() if names)


def _few(names: Mapping[str, object] | list[str]) -> str:
    return f"{', '.join(map(_cut, list(names)[:3]))}{', …' if len(names) > 3 else ''}"


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[:LONGEST]}…"


@dataclass(frozen=True, eq=False)
class _Reading:
    """One way to see tensors by a model's names in a file.

    Attributes:
        key: where the state dict stands in the file.
        prefix: what was taken off its names.
    """

    key: str
    prefix: str
    state: State

    def called(self) -> str:
        return " ".join(part for part in (self.key and f"'{self.key}'", self.prefix and f"{self.prefix}*") if part)

    def fitting(self, wanted: Mapping[str, Tensor]) -> tuple[int, int, int]:
        """How well it fits: names that agree in shape too, names that agree, and names too many."""
        known = [name for name in self.state if name in wanted]
        shaped = sum(self.state[name].shape == wanted[name].shape for name in known)
        return shaped, len(known), len(known) - len(self.state)


def _chosen(
    loaded: object, wanted: Mapping[str, Tensor] | None, *, where: str, rename: Callable[[str], str] = str
) -> State:
    """The one state dict of what a file holds; see `read_state_dict`."""
    found = dict(_states(loaded))
    if not found:
        raise CheckpointError(
            f"{where} holds no state dict: {_described(loaded)}",
            remedy="expected tensors by name, as torch.save(model.state_dict(), PATH) writes them",
        )
    if wanted is None:
        if len(found) > 1 and "state_dict" not in found:
            raise _several(where, [f"'{key}'" for key in found])
        state = found.get("state_dict") or next(iter(found.values()))
        return {rename(_compact(name).removeprefix(WRAPPER)): tensor for name, tensor in state.items()}
    readings = [one for key, state in found.items() for one in _readings(key, state, wanted, rename)]
    scores = [one.fitting(wanted) for one in readings]
    best = readings[scores.index(max(scores))]
    needed = {name for name in wanted if not name.endswith(NEEDLESS)}
    if needed <= best.state.keys():
        others = [one for one in readings if needed <= one.state.keys() and not _same(one.state, best.state)]
        rivals = [one for one in others if one.fitting(wanted)[0] == max(scores)[0]]
        if rivals:
            raise _several(where, [one.called() for one in (best, *rivals)])
    return best.state


def _same(one: State, other: State) -> bool:
    pairs = ((one[name], other[name]) for name in one.keys() & other.keys())
    return all(a is b or (a.dtype == b.dtype and torch.equal(a, b)) for a, b in pairs)


def _several(where: str, called: list[str]) -> CheckpointError:
    names = ", ".join(dict.fromkeys(called))
    return CheckpointError(
        f"{where} holds several state dicts that could be meant: {names}",
        remedy="save the one that is meant to a file of its own",
    )


def _states(loaded: object, key: str = "", depth: int = 0) -> Iterator[tuple[str, State]]:
    """Every mapping of names to tensors alone, by where it stands."""
    inner: Iterator[tuple[object, object]] = iter(())
    if isinstance(loaded, Mapping):
        if loaded and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in loaded.items()):
            yield key, {str(name): tensor for name, tensor in loaded.items()}
            return
        inner = iter(loaded.items())
    elif isinstance(loaded, (list, tuple)):
        inner = iter((str(number), one) for number, one in enumerate(loaded))
    if depth < DEPTH:
        for name, value in inner:
            if isinstance(name, str) and not any(part in name.lower() for part in OPTIMIZERS):
                yield from _states(value, f"{key}.{name}" if key else name, depth + 1)


def _described(loaded: object) -> str:
    """What is there instead of a state dict."""
    if isinstance(loaded, Mapping):
        kinds = [f"{_cut(str(key))} ({_kind(value)})" for key, value in loaded.items()]
        return f"it has {', '.join(kinds[:5])}{', …' if len(kinds) > 5 else ''}" if kinds else "it is empty"
    return f"it is {_kind(loaded)}, as a whole"


def _kind(value: object) -> str:
    return type(value).named if isinstance(value, Unknown) else type(value).__name__


def _readings(key: str, state: State, wanted: Mapping[str, Tensor], rename: Callable[[str], str]) -> Iterator[_Reading]:
    """The ways to take prefixes off the names and to put the model's own before them, the plainest first."""
    compact = {_compact(name): tensor for name, tensor in state.items()}
    bare = {_compact(name, without=COMPILED | {"module"}): tensor for name, tensor in compact.items()}
    before = [""] + [prefix for prefix, n in _prefixes(wanted).items() if n == len(wanted)]
    for names in (compact, bare):
        if len(names) < len(state):
            continue  # two names became one
        for prefix in ["", *(prefix for prefix, n in _prefixes(names).items() if 10 * n >= len(names))]:
            for own in before:
                if prefix == own != "":
                    continue  # as it was, but for what is not below it
                kept = {name[len(prefix) :]: t for name, t in names.items() if name.startswith(prefix)}
                yield _Reading(key, prefix, {f"{own}{rename(name)}": tensor for name, tensor in kept.items()})


def _compact(name: str, *, without: frozenset[str] = COMPILED) -> str:
    """A name without the parts that wrappers put into it."""
    return ".".join(part for part in name.split(".") if part not in without)


def _prefixes(names: Mapping[str, object]) -> Counter[str]:
    """How many names begin with each prefix of a few parts."""
    found: Counter[str] = Counter()
    for name in names:
        parts = name.split(".")[:-1][:DEPTH]
        found.update(".".join(parts[: n + 1]) + "." for n in range(len(parts)))
    return found

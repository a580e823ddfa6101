"""Reading weights from files, without running anything they contain."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from fssbench.base.errors import CheckpointError
from fssbench.models.cards import read_safetensors

__all__ = ["load_checkpoint", "read_state_dict"]

WRAPPER = "module."
"""What DataParallel puts before every name."""


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """The tensors by name in a file of ``torch.save``, or in a ``.safetensors``, on the CPU.

    A state dict may be the whole file or stand under ``state_dict`` beside an epoch and an optimizer; a
    leading ``module.`` is taken off. Only tensors and plain containers are unpickled.

    Raises:
        CheckpointError: the file is missing, no checkpoint, or holds no tensors by name.
    """
    path = Path(path)
    if path.suffix == ".safetensors" and path.is_file():
        return read_safetensors(path)
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no checkpoint {path}", remedy="check the path") from error
    except Exception as error:  # damaged files make the unpickler raise almost anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"{path} cannot be read as a PyTorch checkpoint: {reason}",
            remedy="it must be a file of torch.save that holds tensors and plain containers only",
        ) from error
    return _tensors(loaded, where=str(path))


def _tensors(loaded: object, *, where: str) -> dict[str, Tensor]:
    inner = loaded.get("state_dict", loaded) if isinstance(loaded, Mapping) else loaded
    if not isinstance(inner, Mapping) or not inner or not all(isinstance(v, Tensor) for v in inner.values()):
        raise CheckpointError(f"{where} holds no state dict", remedy="expected tensors by name, or 'state_dict'")
    return {str(name).removeprefix(WRAPPER): tensor for name, tensor in inner.items()}


def load_checkpoint(
    model: nn.Module,
    checkpoint: str | Path | Mapping[str, object],
    *,
    rename: Callable[[str], str] = str,
    where: str = "the state dict",
) -> None:
    """Fill ``model`` with a checkpoint; names and shapes must all fit.

    Args:
        model: what is filled.
        checkpoint: a file, or a state dict in memory.
        rename: makes a name of the checkpoint one of the model.
        where: what messages call a state dict in memory.

    Raises:
        CheckpointError: it is missing or unreadable, or names are missing, unexpected or wrongly shaped.
    """
    if isinstance(checkpoint, (str, Path)):
        state, where = read_state_dict(checkpoint), str(checkpoint)
    else:
        state = _tensors(checkpoint, where=where)
    state = {rename(name): tensor for name, tensor in state.items()}
    wanted = model.state_dict()
    problems = {
        "missing": sorted(wanted.keys() - state.keys()),
        "unexpected": sorted(state.keys() - wanted.keys()),
        "wrongly shaped": sorted(
            f"{name} {tuple(state[name].shape)} for {tuple(wanted[name].shape)}"
            for name in wanted.keys() & state.keys()
            if state[name].shape != wanted[name].shape
        ),
    }
    if any(problems.values()):
        listed = "; ".join(
            f"{len(names)} {kind} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
            for kind, names in problems.items()
            if names
        )
        raise CheckpointError(
            f"{where} does not fit {type(model).__name__}: {listed}",
            remedy="build the model with the backbone and options the checkpoint was trained with",
        )
    model.load_state_dict(state)

"""Checkpoints as safetensors with a card beside them: what they are, readable without loading them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fssbench.base.errors import CheckpointError
from fssbench.base.files import sha256_bytes, sha256_file, write_atomic
from fssbench.base.records import read_record
from fssbench.schemas.card import Card

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["SUFFIX", "card_path", "chosen_weights", "read_card", "read_safetensors", "write_card", "write_safetensors"]

SUFFIX = ".safetensors"


def card_path(weights: Path) -> Path:
    """Where the card of a safetensors file lies."""
    return weights.with_suffix(".json")


def chosen_weights(path: Path) -> Path:
    """The weights to evaluate in the folder of a training run; a path that is not a folder is left as it is."""
    if not path.is_dir():
        return path
    return next((path / name for name in ("best.safetensors", "last.safetensors") if (path / name).is_file()), path)


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors by name; `CheckpointError` if the file is damaged, or not the one that its card names."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if card_path(path).is_file() and (found := sha256_file(path)) != read_card(path).weights_sha256:
        raise CheckpointError(
            f"{path} has the SHA-256 {found[:12]}…, its card says {read_card(path).weights_sha256[:12]}…",
            remedy="copy both from one place, or remove the card",
        )
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} cannot be read as safetensors: {error}", remedy="copy or download it again"
        ) from error


def read_card(weights: Path) -> Card:
    """The card beside a safetensors file; `CheckpointError` if there is none, or it is none."""
    return read_record(
        card_path(weights),
        Card,
        error=CheckpointError,
        damaged="is not a checkpoint's card",
        remedy="convert again",
        bring="it lies beside its weights",
    )


def write_safetensors(path: Path, state: dict[str, Tensor], **facts: Any) -> Card:
    """Write the tensors, and last the card with ``facts``: a card always has its weights."""
    import torch
    from safetensors.torch import save

    # A tensor with two names, as published PSPNets have them, must be written twice.
    data = save({name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in state.items()})
    card = Card(weights_sha256=sha256_bytes(data), **facts)
    card_path(path).unlink(missing_ok=True)
    write_atomic(path, data)
    write_card(path, card)
    return card


def write_card(weights: Path, card: Card) -> None:
    """Put the card beside its weights, in place of one that is there."""
    write_atomic(card_path(weights), card.model_dump_json(indent=1) + "\n")

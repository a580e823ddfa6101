"""``fssbench convert``: published checkpoints to ours and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fssbench.base.errors import UsageError
from fssbench.cli import complete
from fssbench.cli.console import JsonFlag, aside, print_json
from fssbench.cli.model_options import BackboneOption, OptionsFileOption, PairsOption, given_options, resolve_options

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["convert"]

PUBLISHED = (".pt", ".pth")
OURS = ".safetensors"


def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A checkpoint: .pt, .pth or .safetensors.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write: .safetensors or .pt.")],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="The model it belongs to. [default: what the card of IN says]",
            autocompletion=complete.models,
        ),
    ] = None,
    backbone: BackboneOption = None,
    option: PairsOption = None,
    options_file: OptionsFileOption = None,
    backbone_file: Annotated[
        Path | None,
        typer.Option(
            "--backbone-file", help="The backbone weights that training began with; the card gets their SHA-256."
        ),
    ] = None,
    training_set: Annotated[
        str | None,
        typer.Option("--training-set", help="For the card: what was trained on, such as 'coco-20i fold 0 train'."),
    ] = None,
    protocol: Annotated[
        str | None, typer.Option("--protocol", help="For the card: the protocol of the validation.")
    ] = None,
    selection: Annotated[
        str | None,
        typer.Option("--selection", help="For the card: how the weights were chosen, such as 'best validation mIoU'."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Turn a published checkpoint into safetensors with a card, or back into a file of torch.save.

    Names and shapes must all fit the model; nothing that a file contains is ever run. Back in a .pt every name
    begins with 'module.', as the published files have it.
    """
    from fssbench.base.files import sha256_file
    from fssbench.models import full_name, model_spec
    from fssbench.models.cards import card_path, read_card, write_safetensors

    if target.suffix not in (OURS, *PUBLISHED):
        raise UsageError(f"OUT must end in {OURS}, .pt or .pth, got {target}", remedy="its ending says what to write")
    written_to = [target, card_path(target)] if target.suffix == OURS else [target]
    if not overwrite and (there := [path for path in written_to if path.exists()]):
        raise UsageError(f"{there[0]} is there already", remedy="pass --overwrite to replace it")
    card = read_card(source) if card_path(source).is_file() and source.suffix == OURS else None
    if model is None and card is None:
        raise UsageError(f"{source} has no card that says whose it is", remedy="pass --model")
    with aside():
        name = full_name(model or (card.model if card else ""))
        spec = model_spec(name, parts=True)
        given = given_options(spec, option, options_file)
        options = card.options if card else {}
        options |= resolve_options(spec, given, backbone=backbone, default_weights="none")
        state = _fitting(name, options, source)
    if target.suffix == OURS:
        facts: dict[str, Any] = {
            "backbone_sha256": sha256_file(backbone_file) if backbone_file else None,
            "training_set": training_set,
            "protocol": protocol,
            "selection": selection,
        }
        known = card.model_dump() if card else {}
        written = write_safetensors(
            target,
            state,
            model=name,
            options={key: value for key, value in options.items() if key != "backbone_weights"},
            converted_from_sha256=sha256_file(source),
            **{key: value if value is not None else known.get(key) for key, value in facts.items()},
        )
        said = {"weights": str(target), "card": str(card_path(target)), **written.model_dump()}
    else:
        _write_published(target, state)
        said = {"weights": str(target)}
    print_json(said) if as_json else print(f"{len(state)} tensors of {name} → {target}")


def _fitting(name: str, options: dict[str, Any], source: Path) -> dict[str, Tensor]:
    """The tensors that fill the model they are said to be of, by its names; the error says what would fit."""
    from fssbench.engine.model import fill
    from fssbench.models import build_module

    return fill(build_module(name, **options), source, name=name, options=options)


def _write_published(path: Path, state: dict[str, Tensor]) -> None:
    import torch

    from fssbench.base.files import atomic_file
    from fssbench.models.checkpoints import WRAPPER

    with atomic_file(path) as file:
        torch.save({f"{WRAPPER}{name}": tensor for name, tensor in state.items()}, file)

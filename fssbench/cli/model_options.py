"""Options that describe a model, alike in every command that builds one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fssbench.base.errors import UsageError
from fssbench.base.home import home_in
from fssbench.base.toml import read_toml
from fssbench.cli import complete
from fssbench.cli.console import warn

if TYPE_CHECKING:
    from fssbench.models import ModelSpec

__all__ = [
    "BackboneOption",
    "BackboneWeightsOption",
    "ModelOption",
    "OptionsFileOption",
    "PairsOption",
    "given_options",
    "parse_pairs",
    "resolve_options",
]

ModelOption = Annotated[
    str,
    typer.Option("--model", "-m", help="A model's name, or path/to/file.py:Name.", autocompletion=complete.models),
]
BackboneOption = Annotated[
    str | None,
    typer.Option(
        "--backbone", help="The feature extractor, such as efficientnet-lite0 or timm:NAME. [default: the model's]"
    ),
]
BackboneWeightsOption = Annotated[
    str | None,
    typer.Option(
        "--backbone-weights",
        help="none, imagenet, the PATH of a state dict, or pretrained for a library's own. [default: learned ones]",
    ),
]
PairsOption = Annotated[
    list[str] | None,
    typer.Option("--option", help="Another option of the model, as name=value; repeatable."),
]
OptionsFileOption = Annotated[
    Path | None,
    typer.Option("--options", help="A TOML file with the model's options; the command line wins over it."),
]


def given_options(spec: ModelSpec, pairs: list[str] | None, file: Path | None = None) -> dict[str, Any]:
    """The model's options from a file, and those given as pairs, which win."""
    return (read_options(file) if file else {}) | parse_pairs(pairs or [], spec)


def resolve_options(
    spec: ModelSpec,
    given: Mapping[str, Any],
    *,
    backbone: str | None = None,
    backbone_weights: str | None = None,
    default_weights: str | None = None,
) -> dict[str, Any]:
    """The model's options: those of `given_options`, then those with a flag of their own.

    Args:
        default_weights: what the backbone's weights are, if it has one and none are named; ``None`` for the usual.
    """
    options = dict(given)
    for name, value in (("backbone", backbone), ("backbone_weights", backbone_weights)):
        if value is not None and (name in spec.options or spec.takes_any):
            options[name] = parse_pairs([f"{name}={value}"], spec)[name]
        elif value is not None:
            warn(f"{spec.name} has no option {name}, so --{name.replace('_', '-')} means nothing to it")
    if spec.fills_backbone:
        options.setdefault("backbone_weights", default_weights or spec.usual_weights(options))
    return options


def parse_pairs(pairs: list[str], spec: ModelSpec | None = None) -> dict[str, Any]:
    """``size=200`` and the like as keyword arguments, each what the model wants there; else as TOML has it, or text."""
    from fssbench.models.options import from_text

    options: dict[str, Any] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name.isidentifier():
            raise UsageError(f"--option must be name=value, got '{pair}'", remedy="as in --option size=200")
        options[name] = from_text(value, spec.wanted.get(name, Any) if spec else Any)
    return options


def read_options(file: Path) -> dict[str, Any]:
    """A TOML file's keys as keyword arguments; `UsageError` if it cannot be read or has tables."""
    options = read_toml(file, option="--options", remedy='write one name = value per line, text in ""')
    options = {name: home_in(value) if isinstance(value, str) else value for name, value in options.items()}
    if tables := [name for name, value in options.items() if isinstance(value, dict)]:
        raise UsageError(
            f"{file} has a table [{tables[0]}], expected the model's options alone",
            remedy="write one name = value per line",
        )
    return options

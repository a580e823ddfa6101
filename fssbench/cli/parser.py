"""The parser of the command line: Typer's, with options in panels and under their own names in the environment."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

import typer

__all__ = ["build_parser", "variables"]

PREFIX = "FSSBENCH"
FEW = 6
"""Options that need no panels."""

PANELS: Mapping[str, tuple[str, ...]] = {
    "Raw data": ("source", "column", "splits", "mask-rule", "crowds", "masks", "images", "pixels"),
    "Download": ("download", "training", "catalogue"),
    "Model": ("model", "weights", "backbone", "backbone-weights", "option", "options", "name"),
    "Episodes": (
        *("benchmark", "data", "protocol", "fold", "shot", "seed", "episodes", "limit", "class", "size", "index"),
        *("result", "min-pixels", "loader-workers", "allow-missing-classes"),
    ),
    "Scoring": ("ignore-label", "control"),
    "Training": (
        *("list", "config", "set", "train.batch", "micro-batch", "epochs", "max-steps", "rate", "train.precision"),
        *("train.seed", "select-on"),
    ),
    "Tables": ("reproduce.list", "tables", "reproduce.backbone", "train-list", "reproduce.backbone-weights", "trial"),
    "Card": ("backbone-file", "training-set", "convert.protocol", "selection"),
    "Speed": ("device", "workers", "batch", "precision", "feature-cache", "compile", "plain", "repeats"),
    "Output": (
        *("train", "output", "overwrite", "resume", "visualize", "save-predictions", "maps", "channel", "page"),
        *("check", "digest", "dry-run", "print-config", "log-to", "json", "eval.config"),
    ),
}
"""Headings of a command's help in the order of work, and the options below them. A word before the dot is a command
whose option of that name is another thing than elsewhere."""


SHORT = {
    **dict.fromkeys(("<int>", "<int range>", "integer", "integer range"), "N"),
    **dict.fromkeys(("<float>", "<float range>", "float", "float range"), "X"),
    **dict.fromkeys(("<str>", "<list[str]>", "text"), "TEXT"),
    **dict.fromkeys(("<path>", "<list[path]>", "<list[Path]>", "path", "file", "directory"), "PATH"),
    **dict.fromkeys(("<bool>", "boolean"), ""),
}
"""What Typer's versions call the kinds of values, and what the help calls them, which leaves room for the rest."""


def build_parser(app: typer.Typer, *, hidden: Mapping[tuple[str, ...], Container[str]]) -> Any:
    """Typer's parser, of a type it keeps to itself.

    Every option is found in the environment under each of its names, as ``--json`` of eval is FSSBENCH_EVAL_JSON. The
    help names none of these variables, which would fill half of it: the epilog says how they go.

    Args:
        hidden: by a command's words, options that its help leaves out.
    """
    whole = typer.main.get_command(app)
    for words, command in _commands(whole):
        context = typer.Context(command, help_option_names=["-h", "--help"])
        options = [one for one in command.get_params(context) if _is_option(one)]
        for option in options:
            option.show_envvar = False
            option.hidden = option.hidden or option.opts[0] in hidden.get(words, ())
            if option.allow_from_autoenv:
                option.envvar = [_variable(*words, _name(one)) for one in option.opts]
            shown = option.display_type(context) if hasattr(option, "display_type") else option.type.name
            if option.metavar is None and shown in SHORT:
                option.metavar = SHORT[shown]
        if (
            words
            and not hasattr(command, "commands")
            and sum(not one.hidden for one in options if one in command.params) > FEW
        ):
            _arrange(command, options, words[0])
    return whole


def variables(parser: Any) -> set[str]:
    """Every variable of the environment that is an option of some command."""
    return {
        name
        for words, command in _commands(parser)
        for one in command.params
        if _is_option(one) and one.allow_from_autoenv
        for name in (*(one.envvar or ()), _variable(*words, one.name))
    }


def _commands(command: Any, *words: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield words, command
    for name, one in getattr(command, "commands", {}).items():
        yield from _commands(one, *words, name)


def _arrange(command: Any, options: Sequence[Any], word: str) -> None:
    """Put every option under its heading, and headings and options in their order; arguments stay first."""
    places = {name: (heading, place) for heading, names in PANELS.items() for place, name in enumerate(names)}
    headings = list(PANELS)

    def place(option: Any) -> tuple[str, int]:
        keys = [key for one in option.opts for key in (f"{word}.{_name(one)}", _name(one))]
        return next((places[key] for key in keys if key in places), (headings[-1], len(places)))

    for option in options:
        option.rich_help_panel = place(option)[0]
    own = [one for one in command.params if _is_option(one)]
    own.sort(key=lambda one: (headings.index(place(one)[0]), place(one)[1]))
    command.params = [one for one in command.params if not _is_option(one)] + own


def _is_option(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "option")


def _name(option: str) -> str:
    return option.lstrip("-")


def _variable(*words: str) -> str:
    return "_".join((PREFIX, *words)).upper().replace("-", "_")

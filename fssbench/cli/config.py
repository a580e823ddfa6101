"""``--config FILE``: a command's options from a TOML file, by the names they have on the line, which wins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from fssbench.base.errors import UsageError
from fssbench.base.home import home_in
from fssbench.base.suggest import did_you_mean
from fssbench.base.toml import read_toml

__all__ = ["ConfigOption"]


def _read(ctx: typer.Context, file: Path | None) -> Path | None:
    """Make what the file says the defaults of the options, before these are looked at."""
    if file is None or ctx.resilient_parsing:
        return file
    given = read_toml(file, option="--config", remedy="write one option = value per line")
    options = {
        name.lstrip("-"): one for one in ctx.command.params for name in one.opts if name.startswith("--") and one.name
    }
    found = dict(ctx.default_map or {})
    for name, value in given.items():
        if (option := options.get(name.replace("_", "-"))) is None or name == "config":
            close = did_you_mean(name.replace("_", "-"), options)
            raise UsageError(
                f"{file}: {ctx.command_path} has no option --{name.replace('_', '-')}",
                remedy=close or f"see {ctx.command_path} --help for its options",
            )
        words = list(_words(value))
        several = option.multiple
        if len(words) != 1 and not several:
            raise UsageError(f"{file}: {name} has {len(words)} values, and takes one", remedy="keep one of them")
        found[str(option.name)] = words if several else words[0]
    ctx.default_map = found
    return file


def _words(value: Any) -> Iterator[str]:
    """A value as it would be typed: each of several, and of a table ``name=value``."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from (f"{key}={word}" for word in _words(one))
    elif isinstance(value, list):
        for one in value:
            yield from _words(one)
    else:
        yield home_in(str(value).lower() if isinstance(value, bool) else str(value))


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        is_eager=True,
        callback=_read,
        help="A TOML file with options by name, such as shots = [1, 5]; the command line wins over it.",
    ),
]

"""TOML that people write: with a byte order mark or without, and one kind of error for all that is wrong with it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from fssbench.base.errors import UsageError

__all__ = ["parse_toml", "read_toml"]


def parse_toml(data: bytes | str) -> dict[str, Any]:
    """The tables of a text in UTF-8; `ValueError` saying in one line why it is none."""
    text = data.decode("utf-8") if isinstance(data, bytes) else data
    try:
        return tomllib.loads(text.removeprefix("\ufeff"))
    except RecursionError as error:
        raise ValueError("its brackets are nested too deeply") from error


def read_toml(file: Path, *, option: str, remedy: str) -> dict[str, Any]:
    """The tables of a file that an option of the command line names.

    Args:
        remedy: what to write in place of what is not TOML.

    Raises:
        UsageError: it cannot be read, or is not TOML.
    """
    try:
        return parse_toml(file.read_bytes())
    except OSError as error:
        raise UsageError(f"{option} {file} cannot be read: {error.strerror}", remedy="check the path") from error
    except ValueError as error:
        raise UsageError(f"{file} is not TOML: {error}", remedy=remedy) from error

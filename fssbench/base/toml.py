"""TOML that people write: with a byte order mark or without, and one kind of error for all that is wrong with it."""

from __future__ import annotations

import tomllib
from typing import Any

__all__ = ["parse_toml"]


def parse_toml(data: bytes | str) -> dict[str, Any]:
    """The tables of a text in UTF-8; `ValueError` saying in one line why it is none."""
    text = data.decode("utf-8") if isinstance(data, bytes) else data
    try:
        return tomllib.loads(text.removeprefix("\ufeff"))
    except RecursionError as error:
        raise ValueError("its brackets are nested too deeply") from error

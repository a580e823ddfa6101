"""Every command line that was ever valid still is: scripts rely on it.

``commands.json`` names the arguments and options of every command of 0.1.0. New ones may come; none may go.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from fssbench.cli import app

PROMISED: dict[str, list[str]] = json.loads(Path(__file__).with_name("commands.json").read_text())


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, set[str]]]:
    """Every command by its words, with its arguments and options."""
    inner = getattr(command, "commands", None)
    if inner is None:
        words = {name for p in command.params for name in (*p.opts, *p.secondary_opts)}
        yield " ".join(path), words
    for name, one in (inner or {}).items():
        yield from commands(one, (*path, name))


THERE = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("command", PROMISED)
def test_a_command_keeps_its_arguments_and_options(command: str) -> None:
    assert command in THERE, f"fssbench {command} is gone"
    assert set(PROMISED[command]) - THERE[command] == set()

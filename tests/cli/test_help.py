"""What a person reads at ``--help``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer.main
from command import Command

from fssbench.cli import app


def commands(command: Any, *path: str) -> Iterator[tuple[str, ...]]:
    """The words of every command, those that only gather others included."""
    yield path
    for name, one in getattr(command, "commands", {}).items():
        yield from commands(one, *path, name)


def described(path: tuple[str, ...]) -> list[str]:
    """What the source says of a command and of its options."""
    command: Any = typer.main.get_command(app)
    for name in path:
        command = command.commands[name]
    return [text for text in (command.help, *(getattr(one, "help", None) for one in command.params)) if text]


@pytest.mark.parametrize("path", list(commands(typer.main.get_command(app))), ids=" ".join)
def test_every_word_of_the_source_is_printed(
    path: tuple[str, ...], fssbench: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Defaults in brackets included, which markup took for styles; environment variables stay out of the way."""
    monkeypatch.setenv("COLUMNS", "1000")
    ran = fssbench(*path, "--help")
    printed = " ".join(ran.out.translate(dict.fromkeys(map(ord, "│╭╮╰╯─`"), " ")).split())
    missing = [text for text in described(path) if " ".join(text.replace("`", " ").split()) not in printed]
    assert (ran.code, missing) == (0, [])
    assert "env var" not in printed


@pytest.mark.parametrize("path", [(), ("prepare",), ("leaderboard",)], ids=" ".join)
def test_a_command_that_lacks_its_word_shows_its_help_and_no_empty_error(
    path: tuple[str, ...], fssbench: Command
) -> None:
    ran = fssbench(*path)
    assert (ran.code, ran.err) == (2, "")
    assert "Usage: fssbench" in ran.out


def test_no_command_line_is_taken_over_by_the_version(fssbench: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sets FSSBENCH_VERSION for a script of theirs does not ask every command for it."""
    monkeypatch.setenv("FSSBENCH_VERSION", "1")
    assert fssbench("list", "protocols").out.startswith("protocols:")

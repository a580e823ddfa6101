"""What a person reads at ``--help``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command import Command

from fssbench.cli import command_line
from fssbench.cli.parser import FEW, PANELS
from fssbench.cli.prepare import without_meaning
from fssbench.episodes.benchmarks import BENCHMARKS
from fssbench.episodes.protocols import PROTOCOLS


def commands(command: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command by its words, those that only gather others included."""
    yield path, command
    for name, one in getattr(command, "commands", {}).items():
        yield from commands(one, *path, name)


ALL = dict(commands(command_line()))
SHOWN = {path: one for path, one in ALL.items() if not hasattr(one, "commands")}


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_word_of_the_source_is_printed(
    path: tuple[str, ...], fssbench: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Defaults in brackets included, which markup took for styles; environment variables stay out of the way."""
    monkeypatch.setenv("COLUMNS", "1000")
    ran = fssbench(*path, "--help")
    printed = " ".join(ran.out.translate(dict.fromkeys(map(ord, "│╭╮╰╯─`"), " ")).split())
    texts = [ALL[path].help, *(one.help for one in ALL[path].params if not getattr(one, "hidden", False))]
    missing = [text for text in texts if text and " ".join(text.replace("`", " ").split()) not in printed]
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


@pytest.mark.parametrize("path", SHOWN, ids=" ".join)
def test_at_80_columns_every_option_is_printed_whole_under_a_heading(
    path: tuple[str, ...], fssbench: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    options = [one for one in SHOWN[path].params if one.param_type_name == "option" and not one.hidden]
    words = fssbench(*path, "--help").out.replace(",", " ").split()
    assert {name for one in options for name in (*one.opts, *one.secondary_opts)} <= set(words)
    headings = [one.rich_help_panel for one in options]
    assert headings == sorted(headings, key=list(PANELS).index) if len(options) > FEW else not any(headings)


@pytest.mark.parametrize("path", SHOWN, ids=" ".join)
def test_every_default_is_printed(path: tuple[str, ...], fssbench: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that a function's signature has as well as those that a text says."""
    monkeypatch.setenv("COLUMNS", "1000")
    printed = fssbench(*path, "--help").out
    for one in SHOWN[path].params:
        told = getattr(one, "help", None) or ""
        if one.default is None or one.default is False or getattr(one, "hidden", False) or "[default:" in told:
            continue
        name = rf"{one.opts[0]}[ ,]" if one.param_type_name == "option" else one.name
        block = re.search(rf"│ +{name}.*?(?=\n│ +-|\n╰)", printed, re.DOTALL)
        assert "[default: " in (block or [printed])[0], one.name


def test_commands_stand_in_the_order_of_work(fssbench: Command) -> None:
    printed = fssbench("--help").out
    order = ["demo", "doctor", "prepare", "verify", "show", "train", "eval", "compare", "leaderboard", "submit"]
    places = [printed.index(f"│ {name} ") for name in order]
    assert places == sorted(places)


def test_a_default_has_one_form(fssbench: Command) -> None:
    """Every text that speaks of a default does so as Typer does: in brackets, at its end."""
    texts = [text for path in SHOWN for one in SHOWN[path].params if (text := getattr(one, "help", None))]
    assert [text for text in texts if "[default" in text and not re.search(r"[.…] \[default: [^\]]+\]$", text)] == []


def test_a_benchmark_lists_no_options_that_mean_nothing_to_it(fssbench: Command) -> None:
    assert "--crowds" in fssbench("prepare", "coco", "--help").out
    for name in ("--crowds", "--masks ", "--mask-rule", "--loader-workers"):
        assert name not in fssbench("prepare", "fss", "--help").out
    assert "--splits" not in fssbench("episodes", "folder", "--help").out
    assert "--splits" in fssbench("episodes", "fss", "--help").out


def test_the_help_of_a_benchmark_leaves_out_what_its_protocols_do_not_know() -> None:
    for one in BENCHMARKS:
        drawn = [protocol for protocol in PROTOCOLS if one.name in protocol.episodes]
        assert ("--loader-workers" in without_meaning(one)) != any(protocol.loader_workers for protocol in drawn)
        assert ("--splits" in without_meaning(one)) != any(protocol.listed for protocol in drawn)


def test_what_the_help_of_a_benchmark_leaves_out_is_refused_in_words(fssbench: Command, tmp_path: Path) -> None:
    ran = fssbench("prepare", "fss", "--source", tmp_path, "--crowds", "paint")
    assert ran.code == 2
    assert "leave out --crowds, --masks and --mask-rule, which are for COCO" in ran.error

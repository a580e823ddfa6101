"""A file that a command writes may be its own of before; whatever else lies there stays as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from boards import write_model
from command import Command


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    write_model(folder, "good")
    return folder


@pytest.mark.parametrize(
    "command", [("leaderboard", "build"), ("report",), ("submit",)], ids=lambda words: " ".join(words)
)
def test_what_a_command_did_not_write_it_does_not_replace(
    fssbench: Command, results: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    precious = tmp_path / "run.sh"
    precious.write_text("precious\n")
    ran = fssbench(*command, results, "-o", precious)
    assert (ran.code, ran.out) == (2, "")
    assert f"{precious} is there already, and this command did not write it; choose another --output" in ran.error
    assert precious.read_text() == "precious\n"
    own = tmp_path / "own"
    assert [fssbench(*command, results, "-o", own).code for _ in range(2)] == [0, 0]


def test_an_export_replaces_a_file_only_when_told(fssbench: Command, results: Path, tmp_path: Path) -> None:
    """Tables have no mark by which a command knows its own."""
    board, table = tmp_path / "board.json", tmp_path / "table.md"
    fssbench("leaderboard", "build", results, "-o", board)
    assert fssbench("leaderboard", "export", board, "-o", table).code == 0
    written = table.read_bytes()
    ran = fssbench("leaderboard", "export", board, "-o", table, "--format", "csv")
    assert ran.code == 2
    assert f"{table} is there already; pass --overwrite, or choose another --output" in ran.error
    assert table.read_bytes() == written
    assert fssbench("leaderboard", "export", board, "-o", table, "--format", "csv", "--overwrite").code == 0
    assert table.read_bytes() != written

"""A file that a command writes may be its own of before; whatever else lies there stays as it is."""

from __future__ import annotations

import json
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


def test_the_demo_does_not_mix_into_a_folder_of_something_else(fssbench: Command, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious\n")
    (tmp_path / "raw").mkdir()
    ran = fssbench("demo", "-o", tmp_path)
    assert ran.code == 2
    assert f"{tmp_path} holds thesis.tex, which this command did not write; choose another --output" in ran.error
    assert {path.name for path in tmp_path.iterdir()} == {"raw", "thesis.tex"}


def test_a_lock_that_says_something_else_is_replaced_only_when_told(
    fssbench: Command, toy_raw: Path, tmp_path: Path
) -> None:
    asked = ("episodes", "toy", "-s", toy_raw, "-o", tmp_path / "lock.tsv")
    assert [fssbench(*asked, "-n", 20).code for _ in range(2)] == [0, 0]
    ran = fssbench(*asked, "-n", 40)
    assert ran.code == 2
    assert f"{tmp_path / 'lock.tsv'} is there already, and says something else; pass --overwrite" in ran.error
    assert fssbench(*asked, "-n", 40, "--overwrite").code == 0
    assert len((tmp_path / "lock.tsv").read_text().splitlines()) == 40


def test_pages_of_curves_replace_pages_alone(fssbench: Command, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    lines = [{"step": 1, "epoch": 1.0, "loss": 1.0, "parts": {}, "miou": 0.5, "fb_iou": None, "rate": 0.1}]
    lines.append({"step": 1, "validated": 0.5, "validated_fb_iou": None, "validated_loss": None, "best": True})
    (tmp_path / "run" / "log.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    (tmp_path / "run.sh").write_text("precious\n")
    ran = fssbench("curves", tmp_path / "run", "-o", tmp_path / "run.sh")
    assert ran.code == 2
    assert "run.sh is there already, and this command did not write it" in ran.error
    assert [fssbench("curves", tmp_path / "run", "-o", tmp_path / "c.html").code for _ in range(2)] == [0, 0]

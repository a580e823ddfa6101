"""A model that saw the benchmark's images or masks is marked wherever the leaderboard is read."""

from __future__ import annotations

from pathlib import Path

import pytest
from boards import write_model
from command import Command

from fssbench.leaderboard.build import build_leaderboard
from fssbench.leaderboard.export import export
from fssbench.schemas.result import PretrainingRecord

TOLD = "COCO, ADE20K: saw images, masks"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    saw = PretrainingRecord(data=("COCO", "ADE20K"), saw=("images", "masks"))
    write_model(folder, "generalist", better=0.5, regime="generalist", pretrained=saw)
    write_model(folder, "modest", chance=3, regime="generalist")
    return folder


def test_exports_have_a_column_or_a_note(folder: Path) -> None:
    board = build_leaderboard(folder, reported=())
    head, first, second, *_ = export(board, "csv").decode().splitlines()
    assert "regime,pretrained_on,saw,rank" in head
    assert 'generalist,"COCO, ADE20K","images, masks",1' in first
    assert "COCO" not in second
    assert f"generalist: pre-trained on {TOLD}." in export(board, "markdown").decode()


def test_the_terminal_and_the_page_have_a_column(folder: Path, fssbench: Command, tmp_path: Path) -> None:
    shown = fssbench("leaderboard", "build", folder, "--output", tmp_path / "board")
    assert shown.code == 0, shown.err
    assert "pre-trained on" in shown.out
    assert "saw images" in " ".join(shown.out.split())
    drawn = fssbench("leaderboard", "page", folder, "--output", tmp_path / "site")
    assert drawn.code == 0, drawn.err
    page = (tmp_path / "site" / "index.html").read_text()
    assert TOLD in page
    assert page.count("saw the test's classes") == 1

"""Leaderboards in other formats: nothing lost, nothing that a name could break."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from boards import answers, model, write_model, write_result
from command import Command

from fssbench.base import parquet
from fssbench.base.errors import UsageError
from fssbench.base.files import write_atomic
from fssbench.leaderboard.board import Leaderboard
from fssbench.leaderboard.build import build_leaderboard
from fssbench.leaderboard.export import FORMATS, export, selected
from fssbench.leaderboard.published import published_entries

HOSTILE = "a|b*c_d<script>&50%$#{x}~^\\"


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Leaderboard:
    """Two models, one of them without a mean and with a name that means something to every format."""
    folder = tmp_path_factory.mktemp("results")
    write_model(folder, "good", better=0.5, chance=1)
    write_result(folder, answers(fold=0), model(HOSTILE))
    return build_leaderboard(folder, reported=published_entries())


def table(board: Leaderboard) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(export(board, "csv").decode())))


def test_csv_has_a_row_an_entry_with_every_figure(board: Leaderboard) -> None:
    rows = table(board)
    assert [row["id"] for row in rows] == [e.id for e in board.entries] + [e.id for e in board.reported]
    for row, entry in zip(rows, board.entries, strict=False):
        sure = entry.miou.other_images
        assert row["miou"] == ("" if entry.miou.value is None else str(entry.miou.value))
        assert row["miou_low"] == ("" if sure is None else str(sure.low))
        assert row["folds"].split() == [str(fold.miou.value) for fold in entry.folds]
        assert row["rank"] == str(entry.rank or "")
        assert row["unofficial"] == "; ".join(entry.unofficial)
    assert rows[1]["model"] == HOSTILE
    assert all(row["rank"] == "" and row["source"] == "reported" for row in rows[2:])


def test_parquet_says_the_same_with_types(board: Leaderboard) -> None:
    found = parquet.read(export(board, "parquet")).to_pylist()
    for typed, text in zip(found, table(board), strict=True):
        assert {name: "" if value is None else str(value) for name, value in typed.items() if name != "folds"} == {
            name: value for name, value in text.items() if name != "folds"
        }
    assert found[0]["folds"] == [fold.miou.value for fold in board.entries[0].folds]


def test_the_same_leaderboard_gives_the_same_bytes(board: Leaderboard) -> None:
    again = Leaderboard.model_validate_json(board.to_json())
    for form in FORMATS:
        assert export(board, form) == export(again, form)


def test_markdown_tables_have_as_many_cells_as_their_heads_whatever_a_model_is_called(board: Leaderboard) -> None:
    text = export(board, "markdown").decode()
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == len(list(board.groups()))
    for lines in tables:
        cells = {len(line.replace("\\|", "").split("|")) for line in lines}
        assert len(cells) == 1
    assert r"a\|b\*c\_d\<script\>" in text
    assert "<script" not in text.replace(r"\<", "")
    good = board.entries[0]
    assert good.miou.value is not None
    assert f"| **{100 * good.miou.value:.2f}** ± " in text


def test_latex_escapes_what_it_would_read(board: Leaderboard) -> None:
    text = export(board, "latex").decode()
    escaped = (
        r"a\textbar{}b*c\_d\textless{}script\textgreater{}\&50\%\$\#\{x\}"
        r"\textasciitilde{}\textasciicircum{}\textbackslash{}"
    )
    assert escaped in text
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == len(list(board.groups()))


def test_a_part_can_be_selected(board: Leaderboard) -> None:
    coco = selected(board, benchmark="coco", shot=5)
    assert coco.entries == ()
    assert {(row.benchmark, row.shot) for row in coco.reported} == {("coco-20i", 5)}
    assert selected(board, benchmark="drawn").entries == board.entries
    with pytest.raises(UsageError, match="there is no benchmark 'coca'"):
        selected(board, benchmark="coca")


def test_the_command_prints_or_writes(fssbench: Command, board: Leaderboard, tmp_path: Path) -> None:
    file = tmp_path / "board.json"
    write_atomic(file, board.to_json())
    ran = fssbench("leaderboard", "export", file, "-b", "drawn")
    assert ran.code == 0
    head, _, columns = ran.out.partition("\n\n")
    assert re.fullmatch(
        r"### drawn, strict/1, 1-shot, original/ignore, training-free, episodes \w{8}, truth \w{8}", head
    )
    assert columns.startswith("| rank | model | fold 0 | fold 1 | mIoU | FB-IoU | behind | source |")
    assert fssbench("leaderboard", "export", file, "--format", "csv", "-o", tmp_path / "b.csv").out == ""
    assert (tmp_path / "b.csv").read_bytes() == export(selected(board), "csv")
    assert "pass --output" in fssbench("leaderboard", "export", file, "--format", "parquet").error
    ran = fssbench("leaderboard", "export", file, "--format", "word")
    assert (ran.code, "formats are markdown, latex, csv, parquet, bibtex" in ran.error) == (2, True)

"""Tables of a paper: what is bold, what is cited, and that LaTeX takes them whatever stands in them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from boards import write_model
from command import Command

from fssbench.leaderboard import cited
from fssbench.leaderboard.board import Leaderboard
from fssbench.leaderboard.build import build_leaderboard
from fssbench.leaderboard.export import export
from fssbench.leaderboard.published import published_entries
from fssbench.leaderboard.reported import papers
from fssbench.leaderboard.typeset import Cell, Part, Typeset, latex, markdown

ROOT = Path(__file__).parents[2]
HOSTILE = "[a] \\ | * _ <b> & % $ # {x} ~ ^ \" ' — † −1 ×"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of three models: two that no chance sets apart, and one that is worse."""
    folder = tmp_path_factory.mktemp("results")
    for name, better in (("hsnet", 0.5), (HOSTILE.replace("/", ""), 0.49), ("worse", 0.0)):
        write_model(folder, name, better=better, chance=len(name))
    return folder


@pytest.fixture(scope="module")
def board(folder: Path) -> Leaderboard:
    """These, as if on COCO-20i, beside what papers report of it."""
    found = build_leaderboard(folder, reported=published_entries())
    return found.model_copy(
        update={"entries": tuple(e.model_copy(update={"benchmark": "coco-20i"}) for e in found.entries)}
    )


def compiled(tables: bytes, bibtex: bytes, folder: Path) -> str:
    """The text of the PDF that LaTeX and BibTeX make of tables and what they cite."""
    (folder / "cited.bib").write_bytes(bibtex)
    (folder / "paper.tex").write_text(
        "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n"
        + tables.decode()
        + "\\nocite{*}\\bibliographystyle{plain}\\bibliography{cited}\\end{document}\n"
    )
    latex = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper"]
    for command in (latex, ["bibtex", "paper"], latex, latex):
        ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
        assert ran.returncode == 0, ran.stdout[-2000:]
    assert "undefined" not in ran.stdout
    return subprocess.run(["pdftotext", "paper.pdf", "-"], cwd=folder, capture_output=True, text=True).stdout


def test_the_best_and_what_no_chance_sets_apart_from_it_are_bold(board: Leaderboard) -> None:
    lines = export(board, "markdown").decode().splitlines()
    measured = [line for line in lines if line.endswith("| measured |")]
    assert len(measured) == len(board.entries) == 3
    for line, entry in zip(measured, board.entries, strict=True):
        sure = entry.difference.other_images
        bold = entry.rank == 1 or (sure is not None and sure.low <= 0 <= sure.high)
        assert (f"| **{100 * (entry.miou.value or 0):.2f}** ±" in line) == bold
    assert [line.count("**") for line in measured] == [2, 2, 0]


def test_reported_rows_stand_below_with_paper_and_year(board: Leaderboard) -> None:
    text = export(board, "markdown").decode()
    (row,) = re.findall(r"\|  \| HDMNet vgg16† \|.*", text)
    assert row == "|  | HDMNet vgg16† | 40.7 | 50.6 | 48.2 | 44.0 | 45.9 |  |  | hdmnet 2023 |"
    assert "*as reported, protocol hsnet*" in text
    assert r"hdmnet 2023~\cite{peng2023hierarchical}" in export(board, "latex").decode()
    alone = Leaderboard.of((), board.reported)
    assert export(alone, "markdown").count(b"### ") == len(list(alone.reported_groups()))


def test_bibtex_has_fssbench_as_the_citation_file_says_and_all_that_is_cited(board: Leaderboard) -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["title"] == cited.TITLE
    assert tuple(author["name"] for author in citation["authors"]) == cited.AUTHORS
    text = export(board, "bibtex").decode()
    assert f"Version {citation['version']}" in text
    there = re.findall(r"^@\w+\{(\w+),$", text, re.MULTILINE)
    used = {
        key for keys in re.findall(r"\\cite\{([^}]*)\}", export(board, "latex").decode()) for key in keys.split(",")
    }
    assert used <= set(there)
    assert len(there) == len(set(there))
    alone = export(board.model_copy(update={"reported": ()}), "bibtex").decode()
    assert re.findall(r"^@\w+\{(\w+),$", alone, re.MULTILINE) == ["fssbench", papers()[0].key]


def test_a_row_that_begins_with_a_bracket_is_none_of_the_line_break() -> None:
    rows = [[Cell(text="[1] b")], [Cell(text="* c")]]
    text = latex([Typeset(title="t", head=("a",), words=("a",), parts=[Part(rows=rows)])]).decode()
    assert "{}[1] b \\\\\n{}* c \\\\" in text


def test_a_heading_stands_in_the_column_of_words() -> None:
    table = Typeset(title="t", head=("n", "a"), words=("a",), parts=[Part(heading="x", rows=[])], notes=("y",))
    assert markdown([table]).decode() == "### t\n\n| n | a |\n|--:|---|\n|  | *x* |\n\ny\n"


@pytest.mark.skipif(not shutil.which("pdflatex") or not shutil.which("pdftotext"), reason="needs pdflatex, pdftotext")
def test_latex_and_bibtex_take_what_is_exported(
    board: Leaderboard, folder: Path, fssbench: Command, tmp_path: Path
) -> None:
    few = board.model_copy(update={"reported": board.reported[:3] + board.reported[-3:]})
    printed = compiled(export(few, "latex"), export(few, "bibtex"), tmp_path)
    assert "the fssbench developers" in printed
    results = [str(path) for path in sorted(folder.rglob("fold0*.json"))]
    ran = {form: fssbench("compare", *results, "--format", form) for form in ("latex", "bibtex")}
    printed = compiled(ran["latex"].out.encode(), ran["bibtex"].out.encode(), tmp_path)
    assert "worse" in printed

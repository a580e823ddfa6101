"""Figures for a paper: to scale, a column wide, in fonts that conferences take, and the same bytes every time."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from boards import answers, model, write_model, write_result
from command import Command

from fssbench.base.errors import UsageError
from fssbench.leaderboard.board import Leaderboard
from fssbench.leaderboard.build import build_leaderboard
from fssbench.leaderboard.published import published_entries
from fssbench.pages.figure import COLUMN, FIGURES, classes_figure, means_figure, speed_figure
from fssbench.schemas.leaderboard import Entry

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#767676"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of three models with a mean, and of one without. Not to be changed."""
    folder = tmp_path_factory.mktemp("results")
    for name, better in (("good", 0.8), ("fair $x$", 0.1), ("poor", -0.8)):
        write_model(folder, name, better=better, chance=1)
    write_result(folder, answers(fold=0), model("half"))
    return folder


@pytest.fixture(scope="module")
def board(folder: Path) -> Leaderboard:
    return build_leaderboard(folder)


def marks(svg: bytes, colour: str) -> list[tuple[float, float]]:
    """Where the marks of a colour are in the plot, not in the legend, which stands at the bottom."""
    found = [
        (float(one.get("x", "nan")), float(one.get("y", "nan")))
        for one in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}use")
        if f"fill: {colour}" in one.get("style", "") or f"stroke: {colour}" in one.get("style", "")
    ]
    lowest = max(y for _, y in found)
    return [(x, y) for x, y in found if y < lowest] if len(found) > 1 else found


def words(svg: bytes) -> list[str]:
    """Texts that are drawn, which matplotlib notes beside their outlines."""
    return re.findall(r"<!-- (.*?) -->", svg.decode())


@pytest.mark.parametrize("name", ["means", "speed"])
def test_a_pdf_has_a_columns_width_and_no_type_3_fonts(board: Leaderboard, name: str) -> None:
    data = FIGURES[name](list(board.groups()), "pdf")
    assert data.startswith(b"%PDF-")
    (box,) = re.findall(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", data)
    assert float(box[0]) == pytest.approx(72 * COLUMN)
    assert b"/Type0" in data
    assert b"/Type3" not in data
    assert FIGURES[name](list(board.groups()), "pdf") == data


def test_means_are_to_scale_and_name_every_ranked_model(board: Leaderboard) -> None:
    """Distances between the dots are in the ratio of those between the means."""
    groups = [next(board.groups())]
    svg = means_figure(groups, "svg")
    assert svg == means_figure(groups, "svg")
    assert [one for one in words(svg) if one in ("good", "fair $x$", "poor")] == ["good", "fair $x$", "poor"]
    assert b"Italic" not in svg  # a formula would be
    means = [entry.miou.value for entry in board.entries if entry.miou.value is not None]
    (a, *_), (b, *_), (c, *_) = sorted(marks(svg, BLUE), key=lambda mark: mark[1])[-3:]
    assert (a - b) / (b - c) == pytest.approx((means[0] - means[1]) / (means[1] - means[2]), rel=1e-3)
    assert b"<text" not in svg


def test_what_a_paper_reports_of_a_model_stands_beside_it(board: Leaderboard) -> None:
    reported = published_entries()
    row = next(one for one in reported if one.model == "hsnet" and one.protocol == "hsnet" and one.shot == 1)
    entry = board.entries[0]
    named = entry.model.model_copy(update={"name": row.model, "backbone": row.backbone, "options": row.options})
    asked = {"benchmark": row.benchmark, "shot": row.shot, "policy": "original/ignore"}
    shown = entry.model_copy(update={"model": named, **asked})
    assert marks(means_figure([[shown]], "svg", reported=reported), ORANGE)
    for beside in ((), tuple(one for one in reported if one.model != "hsnet")):
        svg = means_figure([[shown]], "svg", reported=beside)
        assert ORANGE.encode() not in svg
        assert "as reported" not in words(svg)


def test_what_was_evaluated_on_one_fold_says_so(board: Leaderboard) -> None:
    (half,) = [entry for entry in board.entries if entry.rank is None]
    told = words(means_figure([[half]], "svg"))
    assert {"half", "mIoU of fold 0 (%)"} <= {*told}
    assert "fold" not in told
    assert {"mIoU (%)", "mIoU of fold 0 (%)"} <= {*words(means_figure(list(board.groups()), "svg"))}


def test_every_ranking_is_a_panel_with_a_title_of_its_own(board: Leaderboard) -> None:
    group = next(board.groups())
    other = [entry.model_copy(update={"shot": 5}) for entry in group]
    titles = [one for one in words(means_figure([group, other], "svg")) if "-shot" in one]
    assert titles == ["drawn, 1-shot, strict, training-free", "drawn, 5-shot, strict, training-free"]
    assert not [one for one in words(means_figure([group], "svg")) if "-shot" in one]


def test_faster_is_further_right(board: Leaderboard) -> None:
    group = next(board.groups())
    ranked = [entry for entry in group if entry.rank]
    timed = [one.model_copy(update={"episodes_per_second": s}) for one, s in zip(ranked, (1, 10, 100), strict=True)]
    svg = speed_figure([timed], "svg")
    found = sorted(
        re.findall(rf'<use [^>]*x="([\d.]+)" y="([\d.]+)" style="fill: {BLUE}', svg.decode()), key=lambda m: float(m[1])
    )
    across = [float(x) for x, _ in found]
    assert len(across) == 3
    assert across[1] - across[0] == pytest.approx(across[2] - across[1], rel=1e-3)
    assert across == sorted(across)


def test_classes_are_of_one_entry(board: Leaderboard) -> None:
    svg = classes_figure([[board.entries[0]]], "svg")
    assert {one for one in words(svg) if "class" in one} == {f"class {n}" for n in range(6)}
    assert [one for one in words(svg) if "fold" in one] == ["fold 0", "fold 1"]
    with pytest.raises(UsageError, match="there are 4 such entries; pass the folder of one model's results"):
        classes_figure(list(board.groups()), "svg")


def test_without_anything_to_draw(board: Leaderboard) -> None:
    control = board.entries[0].model.model_copy(update={"control": "no-support"})
    entries: list[Entry] = [board.entries[0].model_copy(update={"model": control})]
    for draw in (means_figure, speed_figure):
        with pytest.raises(UsageError, match="there is nothing to draw"):
            draw([entries], "svg")


def test_without_matplotlib(board: Leaderboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"pip install 'fssbench\[paper\]'"):
        means_figure(list(board.groups()), "pdf")


def test_the_command_takes_a_leaderboard_or_results(
    fssbench: Command, folder: Path, board: Leaderboard, tmp_path: Path
) -> None:
    (tmp_path / "board.json").write_text(board.to_json())
    of_file, of_folder = tmp_path / "a.svg", tmp_path / "b.svg"
    assert fssbench("leaderboard", "figure", tmp_path / "board.json", "-o", of_file).code == 0
    ran = fssbench("leaderboard", "figure", folder, "-o", of_folder)
    assert "means, 95 % intervals over other " in ran.out
    assert of_file.read_bytes() == of_folder.read_bytes() == means_figure(list(board.groups()), "svg")
    one = next(path.parent for path in folder.rglob("fold1*.json") if "good" in str(path))
    assert fssbench("leaderboard", "figure", one, "--plot", "classes", "-o", tmp_path / "c.pdf").code == 0


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("-o", "figure.png"), "a figure is a PDF or an SVG, and figure.png ends in neither"),
        (("--plot", "mean"), "there is no plot 'mean'; did you mean 'means'?"),
        (("-o", "there.pdf"), "there.pdf is there already; pass --overwrite"),
        (("-b", "pascal"), "there is nothing to draw"),
    ],
)
def test_what_cannot_be_drawn_leaves_nothing_behind(
    fssbench: Command,
    board: Leaderboard,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("board.json").write_text(board.to_json())
    Path("there.pdf").write_text("precious")
    ran = fssbench("leaderboard", "figure", "board.json", *asked)
    assert (ran.code, message in ran.error) == (2, True), ran.error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["board.json", "there.pdf"]
    assert Path("there.pdf").read_text() == "precious"

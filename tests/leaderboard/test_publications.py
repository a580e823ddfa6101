"""What papers report, beside what was measured: complete, apart, never ranked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from boards import write_model
from command import Command

from fssbench.leaderboard.board import Leaderboard
from fssbench.leaderboard.cited import printed_by
from fssbench.leaderboard.published import published_entries
from fssbench.leaderboard.reported import ReportedRow, reported_rows
from fssbench.schemas.leaderboard import ReportedEntry


@pytest.fixture(scope="module")
def entries() -> tuple[ReportedEntry, ...]:
    return published_entries()


def entry_of(row: ReportedRow, entries: tuple[ReportedEntry, ...]) -> ReportedEntry:
    """The one entry that a printed row went into."""
    (found,) = (
        e
        for e in entries
        if (e.method, e.backbone, e.benchmark, e.protocol, e.ignore_label, e.shot)
        == (row.method, row.backbone, row.benchmark, row.protocol, row.ignore_label, row.shot)
        and row.table in {one.table for one in e.printed}
        and says(row.mean, e.miou)
        and says(row.fb_iou, e.fb_iou)
        and all(says(a, b) for a, b in zip(row.folds, e.folds, strict=False))
    )
    return found


def says(percent: float | None, share: float | None) -> bool:
    return percent is None or share == pytest.approx(percent / 100, abs=1e-9)


def test_every_printed_figure_is_there_once(entries: tuple[ReportedEntry, ...]) -> None:
    """No row is lost, none changed, and none stands in two entries."""
    rows = reported_rows()
    assert {entry_of(row, entries).id for row in rows} == {e.id for e in entries}
    figures = sum(f is not None for e in entries for f in (*e.folds, e.miou, e.fb_iou))
    assert figures <= sum(f is not None for row in rows for f in (*row.folds, row.mean, row.fb_iou))


def test_what_papers_repeat_stands_once_and_names_them_all(entries: tuple[ReportedEntry, ...]) -> None:
    (found,) = (
        e
        for e in entries
        if (e.label, e.benchmark, e.shot, e.ignore_label) == ("HSNet resnet50", "coco-20i", 1, True)
        and e.protocol == "hsnet"
    )
    assert {one.paper for one in found.printed} == {"hsnet", "hmfs", "hdmnet"}
    assert (found.miou, found.fb_iou) == (0.392, 0.682)
    assert found.printed_in.startswith("hsnet Table 2")


def test_ids_are_distinct_and_groups_hold_one_question(entries: tuple[ReportedEntry, ...]) -> None:
    assert len({e.id for e in entries}) == len(entries)
    asked: dict[str, set[object]] = {}
    for e in entries:
        asked.setdefault(e.group, set()).add((e.benchmark, e.shot, e.protocol, e.ignore_label, e.regime))
    assert all(len(questions) == 1 for questions in asked.values())
    assert len(asked) == len({question for questions in asked.values() for question in questions})


def test_a_fresh_installation_shows_the_field(fssbench: Command, tmp_path: Path) -> None:
    ran = fssbench("leaderboard", "show", "-b", "coco", "-k", 1)
    assert ran.code == 0
    assert "coco-20i · 1-shot · as reported, protocol hdmnet" in ran.out
    assert "HDMNet resnet50" in ran.out
    assert "pascal" not in ran.out
    (tmp_path / "results").mkdir()
    ran = fssbench("leaderboard", "build", tmp_path / "results", "-o", tmp_path / "board.json")
    assert ran.code == 0
    assert "holds no results yet" in ran.err
    assert "HSNet resnet50" in ran.out
    board = json.loads((tmp_path / "board.json").read_text())
    assert board["entries"] == []
    assert len(board["reported"]) == len(published_entries())


def test_several_folders_make_one_leaderboard(fssbench: Command, tmp_path: Path) -> None:
    write_model(tmp_path / "both", "good", better=0.8, chance=1)
    write_model(tmp_path / "both", "fair", better=0.3, chance=2)
    write_model(tmp_path / "mine", "good", better=0.8, chance=1)
    write_model(tmp_path / "theirs", "fair", better=0.3, chance=2)

    def built(*folders: str) -> object:
        given = [tmp_path / folder for folder in folders]
        assert fssbench("leaderboard", "build", *given, "-o", tmp_path / "board.json", "--no-reported").code == 0
        return json.loads((tmp_path / "board.json").read_text())["entries"]

    assert built("theirs", "mine") == built("both")
    ran = fssbench("leaderboard", "build", tmp_path / "mine", tmp_path / "both", "-o", tmp_path / "board.json")
    assert ran.code == 2
    assert "are both good on fold 0, seed 0" in ran.error


def test_ablations_are_told_from_what_a_method_is(entries: tuple[ReportedEntry, ...]) -> None:
    """A model that is changed in a part is an ablation; one as its paper has it is not, if a main table prints it."""
    ours = [one for one in entries if one.model]
    asked = ("benchmark", "shot")
    changed = [one for one in ours if {k for k in one.options if k not in ("backbone", *asked)}]
    assert changed
    assert all(one.ablation for one in changed)
    assert {one.method for one in entries if not one.ablation} >= {"HSNet", "HMFS", "HDMNet", "BAM", "PFENet", "CyCTR"}
    tables = {printed.number for one in entries if one.ablation for printed in one.printed if printed.paper == "hdmnet"}
    assert tables == {f"Table {n}" for n in range(4, 10)}


def test_ablations_are_left_out_of_what_is_read_unless_they_are_asked_for(
    fssbench: Command, entries: tuple[ReportedEntry, ...], tmp_path: Path
) -> None:
    """The file has them all; tables to read, to print and to compute with have them apart, and only when asked."""
    few = [one for one in entries if one.benchmark == "coco-20i" and one.shot == 1]
    ablations = [one for one in few if one.ablation]
    ran = fssbench("leaderboard", "show", "-b", "coco", "-k", 1)
    assert "HDMNet, cosine" not in ran.out
    assert f"{len(ablations)} reported ablations are left out; pass --ablations to see them" in ran.out
    ran = fssbench("leaderboard", "show", "-b", "coco", "-k", 1, "--ablations")
    assert "HDMNet, cosine" in ran.out
    assert "ablations as reported, protocol hdmnet" in ran.out
    assert "left out" not in ran.out
    board = tmp_path / "board.json"
    board.write_text(Leaderboard.of((), entries).to_json())
    for form in ("markdown", "latex", "csv"):
        asked = ("leaderboard", "export", board, "--format", form, "-b", "coco", "-k", 1)
        without, whole = fssbench(*asked).out, fssbench(*asked, "--ablations").out
        assert "HDMNet, cosine" not in without
        assert "HDMNet, cosine" in whole
        assert whole.count("\n") - without.count("\n") >= len(ablations)


def test_reported_numbers_can_be_left_out(fssbench: Command, tmp_path: Path) -> None:
    write_model(tmp_path / "results", "good")
    out = tmp_path / "board.json"
    ran = fssbench("leaderboard", "build", tmp_path / "results", "-o", out, "--no-reported")
    assert ran.code == 0
    assert json.loads(out.read_text())["reported"] == []
    (tmp_path / "empty").mkdir()
    ran = fssbench("leaderboard", "build", tmp_path / "empty", "-o", out, "--no-reported")
    assert ran.code == 2
    assert "holds no results; make some with fssbench eval --output" in ran.error


def test_only_the_field_of_what_was_measured_is_printed_beside_it(fssbench: Command, tmp_path: Path) -> None:
    """Nobody reports on the benchmark ``drawn``; the file has all rows even so."""
    write_model(tmp_path / "results", "good")
    ran = fssbench("leaderboard", "build", tmp_path / "results", "-o", tmp_path / "board.json")
    assert "as reported" not in ran.out
    assert f"1 entries, {len(published_entries())} reported" in ran.out
    assert "as reported" not in fssbench("leaderboard", "show", tmp_path / "board.json").out
    asked = fssbench("leaderboard", "show", tmp_path / "board.json", "--benchmark", "coco-20i")
    assert "coco-20i · 1-shot · as reported" in asked.out


def test_the_table_shows_intervals_and_how_far_behind(fssbench: Command, tmp_path: Path) -> None:
    write_model(tmp_path / "results", "good", better=0.5, chance=1)
    write_model(tmp_path / "results", "poor", better=-0.5, chance=2)
    out = tmp_path / "board.json"
    printed = fssbench("leaderboard", "build", tmp_path / "results", "-o", out, "--no-reported").out
    good, poor = json.loads(out.read_text())["entries"]
    for score, sign in ((good["miou"], ""), (poor["fb_iou"], ""), (poor["difference"], "+")):
        low, high = score["other_images"]["low"], score["other_images"]["high"]
        assert f"{100 * score['value']:{sign}.2f}" in printed
        assert f"[{100 * low:{sign}.1f}, {100 * high:{sign}.1f}]" in printed
    assert "95 % interval over other images" in printed
    assert "†" not in printed


def test_a_file_that_is_no_leaderboard_is_refused(fssbench: Command, tmp_path: Path) -> None:
    file = tmp_path / "board.json"
    assert "cannot be read: No such file" in fssbench("leaderboard", "show", file).error
    write_model(tmp_path / "results", "good")
    fssbench("leaderboard", "build", tmp_path / "results", "-o", file)
    content = json.loads(file.read_text())
    content["reported"][1]["id"] = content["reported"][0]["id"]
    file.write_text(json.dumps(content))
    ran = fssbench("leaderboard", "show", file)
    assert ran.code == 2
    assert "is not a leaderboard of this version" in ran.error
    assert "is the id of 2 entries" in ran.error


def test_a_row_names_the_papers_that_print_it_and_links_the_code_of_its_own(entries: tuple[ReportedEntry, ...]) -> None:
    (row,) = (e for e in entries if (e.label, e.benchmark, e.shot) == ("HSNet resnet50", "coco-20i", 1))
    found = printed_by(row)
    assert [(one.name, one.year, one.numbers) for one in found] == [
        *(("hsnet", "2021", "Table 2, A2, Poster"), ("hmfs", "2022", "Table 2"), ("hdmnet", "2023", "Table 1, 3, 7"))
    ]
    assert [one.code for one in found] == ["https://github.com/juhongm999/hsnet", None, None]
    assert all(one.link and one.link.startswith("https://arxiv.org/abs/") for one in found)
    stranger = row.model_copy(update={"printed": (row.printed[0].model_copy(update={"paper": "unknown"}),)})
    assert [(one.name, one.link, one.code) for one in printed_by(stranger)] == [("unknown", None, None)]

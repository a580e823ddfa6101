"""A leaderboard verified: what was changed in it, or in what it rests on, is found and named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from boards import write_model
from command import Command

from fssbench.base.files import write_atomic
from fssbench.leaderboard.board import Leaderboard, read_leaderboard
from fssbench.leaderboard.build import build_leaderboard
from fssbench.leaderboard.published import published_entries
from fssbench.leaderboard.verify import Verdict, unlisted, verify_board


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with results of two models and their leaderboard. Not to be changed."""
    folder = tmp_path_factory.mktemp("made")
    write_model(folder / "results", "good", better=0.5, chance=1)
    write_model(folder / "results", "poor", better=-0.5, chance=2)
    board = build_leaderboard(folder / "results", reported=published_entries()[:3])
    write_atomic(folder / "leaderboard.json", board.to_json())
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(made, tmp_path / "copy"))


def verdicts(folder: Path) -> dict[str, Verdict]:
    board = read_leaderboard(folder / "leaderboard.json")
    return {one.label: one for one in verify_board(board, folder / "results")}


def edit(folder: Path, change: Callable[[Any], object]) -> None:
    """Change the leaderboard by hand."""
    path = folder / "leaderboard.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_leaderboard_as_built_is_recomputed(made: Path) -> None:
    found = verdicts(made)
    assert [one.outcome for one in found.values()] == ["recomputed"] * 2 + ["as transcribed"] * 3
    assert not any(one.reasons for one in found.values())


def put(value: object, *path: str | int) -> Callable[[Any], object]:
    """A change of one field of the second entry, ``poor``."""

    def change(content: Any) -> None:
        place = content["entries"][1]
        *way, last = path
        for step in way:
            place = place[step]
        assert place[last] != value
        place[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put(0.9, "miou", "value"), "miou.value: it says 0.9, its counts give 0."),
        (put(0.9, "miou", "other_images", "high"), "miou.other_images.high: it says 0.9"),
        (put(0.9, "fb_iou", "value"), "fb_iou.value: it says 0.9"),
        (put(1, "rank"), "rank: it says 1, its counts give 2"),
        (put(-0.001, "difference", "value"), "difference.value: it says -0.001"),
        (put(0.5, "difference", "p_images"), "difference.p_images: it says 0.5"),
        (put(0.9, "folds", 1, "miou", "value"), "folds.1.miou.value: it says 0.9"),
        (put(0.9, "per_class", 2, "iou", "value"), "per_class.class 2.iou.value: it says 0.9"),
        (put("best", "label"), 'label: it says "best", its counts give "poor"'),
        (put("strict-x", "group"), 'group: it says "strict-x"'),
        (put([], "unofficial"), 'unofficial.0: it says null, its counts give "it is drawn"'),
        (put("hsnet", "protocol"), 'protocol: it says "hsnet"'),
        (put("f" * 64, "runs", 0, "counts_sha256"), "runs.0.counts_sha256: it says"),
        (put("f" * 64, "runs", 0, "result_sha256"), f"the leaderboard says {'f' * 64}"),
        (put("../results/x.json", "runs", 0, "result"), "../results/x.json leads out of the folder of results"),
        (put("/etc/passwd", "runs", 0, "result"), "/etc/passwd leads out of the folder of results"),
    ],
)
def test_whatever_is_changed_by_hand_is_named(folder: Path, change: Callable[[Any], object], said: str) -> None:
    edit(folder, change)
    board = read_leaderboard(folder / "leaderboard.json")
    good, poor, *_ = verify_board(board, folder / "results")
    assert poor.outcome == "differs"
    assert any(said in reason for reason in poor.reasons), poor.reasons
    assert good.outcome == "recomputed"


def test_counts_that_were_changed_are_named_with_every_figure(folder: Path) -> None:
    """A result swapped for another model's, figures and all, is not the one the leaderboard names."""
    good, poor = (sorted((folder / "results").rglob(f"*/{name}-*/fold0*.json"))[0] for name in ("good", "poor"))
    shutil.copy(good.with_suffix(".counts.parquet"), poor.with_suffix(".counts.parquet"))
    found = verdicts(folder)["poor"]
    assert found.outcome == "differs"
    assert len(found.reasons) > 20
    assert any("counts.sha256: the result says" in reason for reason in found.reasons)


def test_results_that_are_gone_are_said_to_be_and_ranks_are_left_open(folder: Path) -> None:
    (gone,) = (folder / "results").rglob("good-*/fold1*.json")
    gone.unlink()
    found = verdicts(folder)
    assert found["good"].outcome == "could not"
    assert found["good"].reasons == (f"{gone} is not there",)
    assert found["poor"].outcome == "recomputed"
    assert found["poor"].reasons == (
        "its rank and its difference from the leader were not compared: others are missing",
    )


def test_an_entry_that_leaves_out_a_fold_is_found(folder: Path) -> None:
    edit(folder, lambda board: board["entries"][1]["runs"].pop())
    found = verdicts(folder)["poor"]
    assert found.outcome == "differs"
    assert any('miou.reason: it says null, its counts give "no result on fold 1"' in r for r in found.reasons)


def test_an_entry_given_twice_is_found(folder: Path) -> None:
    """With half its runs each, one model would stand on two places."""

    def split(board: Any) -> None:
        board["entries"].append(json.loads(json.dumps(board["entries"][1])) | {"id": "another"})

    edit(folder, split)
    board = read_leaderboard(folder / "leaderboard.json")
    found = {one.id: one for one in verify_board(board, folder / "results")}["another"]
    assert found.outcome == "differs"
    assert found.reasons[0].startswith('id: it says "another"')


def test_a_reported_row_is_held_against_the_table(folder: Path) -> None:
    edit(folder, lambda board: board["reported"][1].update(miou=0.99))
    edit(folder, lambda board: board["reported"][2].update(id="reported-new"))
    _, _, same, changed, unknown = verdicts(folder).values()
    assert (same.outcome, changed.outcome, unknown.outcome) == ("as transcribed", "differs", "could not")
    assert changed.reasons[0].startswith("miou: it says 0.99, hdmnet Table")


def test_a_result_that_the_leaderboard_passes_over_is_named(folder: Path) -> None:
    (best,) = {path.parent.name for path in (folder / "results").rglob("good-*/*.json")}
    edit(folder, lambda board: board["entries"].pop(0))
    board = read_leaderboard(folder / "leaderboard.json")
    names = [f"drawn/strict/{best}/fold{fold}-1shot-seed0.json" for fold in (0, 1)]
    assert unlisted(board, folder / "results") == names


def test_the_command_finds_the_results_and_says_it_entry_by_entry(fssbench: Command, folder: Path) -> None:
    file = folder / "leaderboard.json"
    ran = fssbench("leaderboard", "verify", file)
    assert ran.code == 0
    assert "recomputed good (drawn-strict-1shot-good-" in ran.out
    assert "2 recomputed, 3 as transcribed" in ran.out
    edit(folder, put(1, "rank"))
    ran = fssbench("leaderboard", "verify", file)
    assert ran.code == 2
    assert "differs    poor" in ran.out
    assert "rank: it says 1, its counts give 2" in ran.out
    assert "1 of 5 entries" in ran.error
    ran = fssbench("leaderboard", "verify", file, "--json")
    assert [one["outcome"] for one in json.loads(ran.out)["entries"]][:2] == ["recomputed", "differs"]
    shutil.move(folder / "results", folder / "elsewhere")
    assert "none of its results is in" in fssbench("leaderboard", "verify", file).error
    assert "2 recomputed" not in fssbench("leaderboard", "verify", file, "-r", folder / "elsewhere").out


def test_bounds_may_differ_by_what_processors_do(folder: Path) -> None:
    board = read_leaderboard(folder / "leaderboard.json")
    bound = board.entries[0].miou.other_images
    assert bound is not None
    for shift, outcome in ((1e-12, "recomputed"), (1e-6, "differs")):
        content = json.loads(board.to_json())
        content["entries"][0]["miou"]["other_images"]["high"] = bound.high + shift
        good, *_ = verify_board(Leaderboard.model_validate(content), folder / "results")
        assert good.outcome == outcome

"""Comparing models and building a leaderboard from Python: what the commands say, as objects and tables."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from boards import FOLDS, answers, model, write_model, write_result
from command import Command

import fssbench as fb
from fssbench.api.compare import ModelComparison
from fssbench.base.errors import ResultError
from fssbench.results.evaluation import Evaluation
from fssbench.scoring.counts import CountsTable
from fssbench.scoring.uncertainty import holm


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Results of a good and a poor model on all folds, with a seed each."""
    for name, better in (("good", 0.5), ("poor", 0.0)):
        write_model(tmp_path / name, name, better=better, chance=1)
    return tmp_path / "good", tmp_path / "poor"


def opened(folder: Path) -> list[Evaluation]:
    return [Evaluation.open(path) for path in sorted(folder.rglob("*.json"))]


def test_results_and_their_paths_compare_alike(folders: tuple[Path, Path]) -> None:
    """Two folders, two lists of results and a mixture give one comparison."""
    good, poor = folders
    found = [fb.compare(good, poor), fb.compare(opened(good), opened(poor)), fb.compare(opened(good), str(poor))]
    assert found[0] == found[1] == found[2]
    assert isinstance(found[0], ModelComparison)
    assert found[0].names == ("good", "poor")
    assert [tuple(run) for run in found[0].runs] == [(0, 1, 0), (1, 1, 0)]
    single = fb.compare(opened(good)[0], opened(poor)[0])
    assert single.miou == found[0].tracks[0]


def test_a_comparison_is_a_sentence_a_table_and_what_the_command_prints(
    folders: tuple[Path, Path], fssbench: Command
) -> None:
    found = fb.compare(*folders)
    assert str(found).startswith("good is ")
    said = json.loads(fssbench("compare", *folders, "--json").out)
    assert fssbench("compare", *folders).out.splitlines()[-1] == said["sentence"] == str(found)
    assert said["runs"] == [{"fold": 0, "shot": 1, "seed": 0}, {"fold": 1, "shot": 1, "seed": 0}]
    table = found.to_pandas()
    assert table.figure.tolist() == ["mIoU", "FB-IoU", "mean IoU of episodes", "mIoU", "mIoU"] + ["IoU"] * 6
    assert table.fold.iloc[3:].tolist() == [0, 1, 0, 0, 0, 1, 1, 1]
    assert found.miou is not None
    row = table.iloc[0]
    sure = found.miou.between.images
    assert sure is not None
    assert (row.difference, row.low, row.high, row.p) == (found.miou.value, sure.low, sure.high, found.miou.p_images)
    assert table.p.iloc[5:].tolist() == [one.p_corrected for one in found.per_class]
    assert found._repr_html_().startswith("<p>good is ")


def test_what_does_not_belong_together_is_refused(folders: tuple[Path, Path]) -> None:
    good, poor = folders
    with pytest.raises(ResultError, match=r"^the first has fold 1, 1-shot, seed 0, and .*poor.* does not"):
        fb.compare(opened(good), next(iter(poor.rglob("fold0*.json"))))
    with pytest.raises(ResultError, match="are both fold 0, 1-shot, seed 0"):
        fb.compare([opened(good)[0]] * 2, poor)
    with pytest.raises(ResultError, match="there are no results"):
        fb.compare([], poor)
    with pytest.raises(ResultError, match="was not scored under model/nothing"):
        fb.compare(good, poor, policy="model/nothing")


def test_models_of_one_name_are_numbered(folders: tuple[Path, Path]) -> None:
    good, _ = folders
    found = fb.compare(good, good)
    assert found.names == ("good (1)", "good (2)")
    assert str(found) == "good (1) and good (2) have the same mIoU."


def test_a_leaderboard_is_a_table_and_what_the_command_prints(
    tmp_path: Path, fssbench: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "results", "good", better=0.5, chance=1)
    write_model(tmp_path / "results", "poor", chance=2)
    write_result(tmp_path / "results", answers(fold=0), model("half"))
    board = fb.leaderboard(tmp_path / "results")
    table = board.to_pandas()
    assert table.model.tolist() == [entry.label for entry in board.entries] == ["good", "poor", "half"]
    assert table.miou.tolist()[:2] == [entry.miou.value for entry in board.entries[:2]]
    assert table.miou.dtype == float
    assert table["rank"].tolist()[:2] == [1, 2]
    assert table[["rank", "miou"]].isna().iloc[2].all()
    assert [len(folds) for folds in table.folds] == [len(FOLDS), len(FOLDS), 1]
    ran = fssbench("leaderboard", "build", "results", "--no-reported")
    assert ran.out.startswith(str(board))
    assert "poor" in board._repr_html_()
    assert {row.source for row in fb.leaderboard(tmp_path / "results", reported=True).reported} == {"reported"}


def test_results_of_several_shots_are_not_averaged(tmp_path: Path, fssbench: Command) -> None:
    """A mean over 1 and 5 supports says nothing: one is chosen, or each makes a table of its own."""
    for name, better in (("good", 0.5), ("poor", 0.0)):
        write_model(tmp_path / name, name, better=better, chance=1)
        for fold in range(len(FOLDS)):
            table = answers(fold=fold, better=better, chance=3)
            episodes = tuple(replace(one, supports=one.supports * 5) for one in table.track.episodes)
            track = replace(table.track, shot=5, episodes=episodes)
            five = CountsTable(track, table.policies, table.counts, table.queries)
            write_result(tmp_path / name, five, model(name))
    good, poor = tmp_path / "good", tmp_path / "poor"
    with pytest.raises(
        ResultError, match=r"have 1 and 5 supports an episode, and are not averaged; choose one with --shot"
    ):
        fb.compare(good, poor)
    with pytest.raises(ResultError, match="there are no 2-shot results; there are 1, 5 shots"):
        fb.compare(good, poor, shot=2)
    each = [fb.compare(good, poor, shot=k) for k in (1, 5)]
    assert [{run.shot for run in found.runs} for found in each] == [{1}, {5}]
    assert each[0].miou != each[1].miou
    said = json.loads(fssbench("compare", good, poor, "--json").out)
    assert [one["sentence"] for one in said] == [str(found) for found in each]
    assert json.loads(fssbench("compare", good, poor, "--shot", 5, "--json").out)["sentence"] == str(each[1])
    shown = fssbench("compare", good, poor).out
    assert all(str(found) in shown and f"{run.shot}-shot" in shown for found in each for run in found.runs)


def test_both_models_own_scores_are_there(folders: tuple[Path, Path], fssbench: Command) -> None:
    """Their difference is the difference."""
    found = fb.compare(*folders)
    good, poor = (own["mIoU"] for own in found.scores)
    assert good is not None
    assert poor is not None
    assert found.miou is not None
    assert good - poor == pytest.approx(found.miou.value, abs=1e-12)
    shown = fssbench("compare", *folders).out
    assert f"{100 * good:.2f}" in shown
    assert f"{100 * poor:.2f}" in shown


def test_of_three_models_every_two_are_compared_and_p_is_corrected(tmp_path: Path, fssbench: Command) -> None:
    for n, better in enumerate((0.5, 0.1, 0.0)):
        write_model(tmp_path / str(n), f"model{n}", better=better, chance=n)
    found = fb.compare(*(tmp_path / str(n) for n in range(3)))
    assert [pair.names for pair in found.pairs] == [("model0", "model1"), ("model0", "model2"), ("model1", "model2")]
    alone = [fb.compare(tmp_path / a, tmp_path / b) for a, b in ("01", "02", "12")]
    assert [pair.miou for pair in found.pairs] == [pair.miou for pair in alone]
    p = [pair.miou.p_images if pair.miou else None for pair in alone]
    assert list(found.p_corrected) == holm(p)
    assert found.to_pandas().p.tolist() == list(found.p_corrected)
    assert len(str(found).splitlines()) == 3
    said = json.loads(fssbench("compare", *(tmp_path / str(n) for n in range(3)), "--json").out)
    assert [pair["p_corrected"] for pair in said["pairs"]] == list(found.p_corrected)
    assert set(said["scores"]) == {"model0", "model1", "model2"}
    shown = fssbench("compare", *(tmp_path / str(n) for n in range(3))).out
    assert "p is corrected for the 3 pairs compared (Holm)" in shown
    assert shown.endswith(f"{found}\n")

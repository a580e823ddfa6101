"""Results on the same episodes over other masks: no command puts them side by side, and each says why."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from boards import answers, model, write_model, write_result
from command import Command

import fssbench as fb
from fssbench.base.errors import ResultError
from fssbench.episodes.benchmarks import TOY_20I
from fssbench.leaderboard.build import UNTOLD, build_leaderboard
from fssbench.leaderboard.gathered import candidates, gather
from fssbench.leaderboard.reproduction.places import Places, Results
from fssbench.leaderboard.reproduction.runs import Evaluation as Asked
from fssbench.leaderboard.reproduction.runs import Variant
from fssbench.pages.pairs import comparisons
from fssbench.pages.view import View
from fssbench.pipelines.training_sets.training_set import TrainingSet
from fssbench.results.meter import Meter
from fssbench.training.folder import RunFolder
from fssbench.training.recipe import find_recipe
from fssbench.training.settings import TrainingJob

OTHER = r"the same episodes on other masks or images \(truth digests \w{12}… and \w{12}…\)"
RESULTS = "toy-20i/strict"


@pytest.fixture(scope="module")
def attack(toy_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One source prepared in two ways, and two models evaluated on each."""
    root = tmp_path_factory.mktemp("attack")
    for crowds in ("exclude", "ignore"):
        fb.prepare("toy", source=toy_raw, folds=[0], episodes=20, crowds=crowds, output=root / "sets" / crowds)
        for name in ("copy-support", "all-foreground"):
            fb.evaluate(name, "toy", fold=0, data=root / "sets" / crowds, output=root / crowds, save_predictions=True)
    return root


def folder(attack: Path, crowds: str, name: str) -> Path:
    (found,) = (attack / crowds / RESULTS).glob(f"{name}-*")
    return found


def refused(fssbench: Command, *asked: object) -> None:
    ran = fssbench(*asked)
    assert ran.code == 2
    assert re.search(OTHER, ran.error), ran.err


def test_the_episodes_are_the_same_and_the_truths_are_not(attack: Path) -> None:
    one, other = (fb.load("toy", fold=0, data=attack / "sets" / crowds).identity for crowds in ("exclude", "ignore"))
    assert one.episodes == other.episodes
    assert one.truth != other.truth


def test_compare_refuses(attack: Path, fssbench: Command) -> None:
    first, second = folder(attack, "exclude", "copy-support"), folder(attack, "ignore", "all-foreground")
    refused(fssbench, "compare", first, second)
    with pytest.raises(ResultError, match=OTHER):
        fb.compare(first, second)


def test_score_refuses_masks_of_the_other(attack: Path, fssbench: Command) -> None:
    masks = folder(attack, "exclude", "copy-support") / "fold0-1shot-seed0.predictions"
    refused(fssbench, "score", masks, "--data", attack / "sets/ignore")


def test_checking_against_the_other_set_names_the_digest_that_differs(attack: Path, fssbench: Command) -> None:
    result = folder(attack, "exclude", "copy-support") / "fold0-1shot-seed0.json"
    ran = fssbench("score", "--check", result, "--data", attack / "sets/ignore")
    assert ran.code == 2
    assert "episodes.truth_digest: the result says" in ran.out


def test_stability_refuses(attack: Path, fssbench: Command) -> None:
    refused(fssbench, "stability", *(folder(attack, crowds, "copy-support") for crowds in ("exclude", "ignore")))


def test_eval_does_not_take_a_result_on_the_other_for_its_own(attack: Path, fssbench: Command) -> None:
    asked = ("eval", "-m", "copy-support", "-b", "toy", "-f", 0, "--data", attack / "sets/ignore")
    refused(fssbench, *asked, "--output", attack / "exclude")


def test_build_refuses_one_model_twice_and_keeps_two_apart(attack: Path, fssbench: Command, tmp_path: Path) -> None:
    for crowds in ("exclude", "ignore"):
        shutil.copytree(folder(attack, crowds, "copy-support"), tmp_path / "one" / crowds)
    refused(fssbench, "leaderboard", "build", tmp_path / "one", "--output", tmp_path / "one.json")
    both = tmp_path / "both"
    shutil.copytree(folder(attack, "exclude", "copy-support"), both / "a")
    shutil.copytree(folder(attack, "ignore", "all-foreground"), both / "b")
    ran = fssbench("leaderboard", "build", both, "--no-reported", "--output", tmp_path / "board.json")
    assert ran.code == 0
    first, second = build_leaderboard(both).entries
    assert first.group != second.group
    assert first.episodes_digest == second.episodes_digest
    assert first.difference.reason == second.difference.reason
    for entry in (first, second):
        assert entry.truth_digest
        assert f"truth {entry.truth_digest[:8]}" in ran.out


def test_verify_finds_a_leaderboard_that_ranks_the_two_together(
    attack: Path, fssbench: Command, tmp_path: Path
) -> None:
    both = tmp_path / "results"
    shutil.copytree(folder(attack, "exclude", "copy-support"), both / "a")
    shutil.copytree(folder(attack, "ignore", "all-foreground"), both / "b")
    file = tmp_path / "leaderboard.json"
    assert fssbench("leaderboard", "build", both, "--no-reported", "--output", file).code == 0
    forged = json.loads(file.read_text())
    first, second = forged["entries"]
    second |= {"group": first["group"], "truth_digest": first["truth_digest"]}
    file.write_text(json.dumps(forged))
    ran = fssbench("leaderboard", "verify", file)
    assert ran.code == 2
    assert "truth_digest: it says" in ran.out
    assert "group: it says" in ran.out


def test_add_refuses_what_differs_from_a_result_that_is_there(attack: Path, fssbench: Command, tmp_path: Path) -> None:
    archive, results = tmp_path / "new.tar", tmp_path / "results"
    assert fssbench("submit", folder(attack, "ignore", "copy-support"), "--output", archive).code == 0
    shutil.copytree(attack / "exclude", results)
    ran = fssbench("leaderboard", "add", archive, "--to", results, "--output", tmp_path / "board.json")
    assert ran.code == 2
    (line,) = [line for line in ran.out.splitlines() + ran.err.splitlines() if line.startswith("refused:")]
    assert re.search(f"is there already, and differs: it is of {OTHER}", line)
    against = ("--data", attack / "sets/exclude", "--output", tmp_path / "board.json")
    ran = fssbench("leaderboard", "add", archive, "--to", tmp_path / "empty", *against)
    assert ran.code == 2
    assert "episodes.truth_digest: the result says" in ran.out + ran.err


def test_meters_of_the_two_do_not_merge(attack: Path) -> None:
    one, other = (Meter(fb.load("toy", fold=0, data=attack / "sets" / crowds)) for crowds in ("exclude", "ignore"))
    with pytest.raises(ResultError, match=OTHER):
        one.merge(other)


def test_a_saved_evaluation_is_not_replaced_by_one_on_the_other(attack: Path, tmp_path: Path) -> None:
    one, other = (
        fb.evaluate("all-foreground", "toy", fold=0, data=attack / "sets" / crowds) for crowds in ("exclude", "ignore")
    )
    assert isinstance(one, fb.Evaluation)
    assert isinstance(other, fb.Evaluation)
    one.save(tmp_path)
    with pytest.raises(ResultError, match=OTHER):
        other.save(tmp_path)


def test_a_page_does_not_pair_what_a_forged_group_holds(tmp_path: Path) -> None:
    write_model(tmp_path, "one")
    write_model(tmp_path, "other", truth="other masks")
    board = build_leaderboard(tmp_path)
    first, second = board.entries
    forged = board.model_copy(update={"entries": (first, second.model_copy(update={"group": first.group}))})
    views = {one.id: View(one.items) for one in candidates(gather(tmp_path))}
    with pytest.raises(ResultError, match=OTHER):
        comparisons(forged, views)


# --- results of old, which do not say ---------------------------------------------------------------------


def test_results_of_old_are_ranked_among_themselves_with_a_reason(tmp_path: Path) -> None:
    write_model(tmp_path, "told")
    write_model(tmp_path, "old", truth=None, better=0.3)
    write_model(tmp_path, "older", truth=None)
    board = build_leaderboard(tmp_path)
    groups = [[entry.label for entry in group] for group in board.groups()]
    assert sorted(groups) == [["old", "older"], ["told"]]
    for entry in board.entries:
        assert (UNTOLD in entry.unofficial) == (entry.label != "told") == (entry.truth_digest is None)


def test_an_entry_of_which_one_fold_does_not_say_stands_alone(tmp_path: Path) -> None:
    write_model(tmp_path, "told")
    write_model(tmp_path, "old", truth=None)
    write_result(tmp_path, answers(fold=0), model("mixed"))
    write_result(tmp_path, answers(fold=1, truth=None), model("mixed"))
    assert sorted(len(group) for group in build_leaderboard(tmp_path).groups()) == [1, 1, 1]


def test_results_of_old_are_compared_with_a_doubt_and_never_with_others(tmp_path: Path) -> None:
    write_model(tmp_path / "old", "old", truth=None)
    write_model(tmp_path / "older", "older", truth=None)
    write_model(tmp_path / "told", "told")
    assert "do not say whether both were on the same masks" in str(fb.compare(tmp_path / "old", tmp_path / "older"))
    assert "do not say" not in str(fb.compare(tmp_path / "told", tmp_path / "told"))
    with pytest.raises(ResultError, match=r"one does not say on which masks and images \(truth digests none and"):
        fb.compare(tmp_path / "old", tmp_path / "told")


# --- reproductions ------------------------------------------------------------------------------------------


def test_a_reproduction_counts_a_result_only_on_the_truth_of_the_set_at_hand(attack: Path) -> None:
    """With another set in its place the result is as good as not there."""
    wanted = Asked(
        variant=Variant(model="copy-support", pairs=(), benchmark=TOY_20I),
        benchmark=TOY_20I,
        protocol="strict",
        shot=1,
    )
    there = Results(attack / "exclude")
    found = {}
    for crowds in ("exclude", "ignore"):
        places = Places(sets=attack / "sets" / crowds, checkpoints=attack / "none", results=attack / "exclude")
        identity = places.identity(wanted, 0, 0, episodes=20)
        assert identity is not None
        found[crowds] = there.of(wanted, 0, 0, episodes=20, identity=identity)
    assert found["exclude"] == folder(attack, "exclude", "copy-support") / "fold0-1shot-seed0.json"
    assert found["ignore"] is None


# --- trainings ----------------------------------------------------------------------------------------------


def test_a_training_that_chooses_by_other_masks_is_another_run(attack: Path, toy_training: TrainingSet) -> None:
    identities = {}
    for select_on in ("test-fold", "last"):
        recipe = find_recipe("hsnet", TOY_20I)
        run = recipe.run.model_copy(update={"select_on": select_on})
        for crowds in ("exclude", "ignore"):
            job = TrainingJob(
                recipe=recipe.model_copy(update={"run": run}),
                model="hsnet",
                options={},
                benchmark=TOY_20I,
                fold=0,
                training_set=toy_training,
                test_set=fb.load("toy", fold=0, data=attack / "sets" / crowds).episode_set,
                folder=RunFolder(attack / "run"),
            )
            identities[select_on, crowds] = job.identity(job.lists())
    assert identities["last", "exclude"] == identities["last", "ignore"]
    assert identities["test-fold", "exclude"] != identities["test-fold", "ignore"]

"""How sure an entry is, where it stands, and how far from the leader."""

from __future__ import annotations

from io import StringIO
from math import fsum
from pathlib import Path
from typing import Literal

import pytest
from boards import EPISODES, FOLDS, NAMES, answers, model, write_model, write_result
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from fssbench.leaderboard.board import Leaderboard
from fssbench.leaderboard.build import build_leaderboard
from fssbench.leaderboard.gathered import Gathered, candidates
from fssbench.leaderboard.ranking import ranked
from fssbench.leaderboard.scores import Figures
from fssbench.leaderboard.standings import print_rankings
from fssbench.results.check import Checked, check_result
from fssbench.schemas.leaderboard import Entry, Score
from fssbench.schemas.result import TrainingRecord, read_result
from fssbench.scoring.comparison import Pair, compare
from fssbench.scoring.uncertainty import METHODS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three models on both folds; ``good`` leads. Not to be changed."""
    folder = tmp_path_factory.mktemp("results")
    write_model(folder, "good", better=0.8, chance=1)
    write_model(folder, "fair", better=0.3, chance=2)
    write_model(folder, "poor", better=-0.5, chance=3)
    return folder


@pytest.fixture(scope="module")
def board(folder: Path) -> Leaderboard:
    return build_leaderboard(folder)


def entry(board: Leaderboard, name: str) -> Entry:
    (found,) = [one for one in board.entries if one.model.name == name]
    return found


def test_the_difference_from_the_leader_is_what_compare_says(board: Leaderboard) -> None:
    pairs = [
        Pair(
            first=answers(fold=fold, better=0.3, chance=2),
            second=answers(fold=fold, better=0.8, chance=1),
            classes={c: NAMES[c] for c in FOLDS[fold]},
        )
        for fold in range(len(FOLDS))
    ]
    said = compare(pairs, policy="original/ignore").miou
    found = entry(board, "fair").difference
    assert said is not None
    assert said.between.episodes is not None
    assert said.between.images is not None
    assert found.other_episodes is not None
    assert found.other_images is not None
    assert found.value == pytest.approx(said.value, abs=1e-12)
    assert (found.other_episodes.low, found.other_episodes.high) == pytest.approx(
        (said.between.episodes.low, said.between.episodes.high), abs=1e-12
    )
    assert (found.other_images.low, found.other_images.high) == pytest.approx(
        (said.between.images.low, said.between.images.high), abs=1e-12
    )
    assert (found.p_episodes, found.p_images) == pytest.approx((said.p_episodes, said.p_images))
    assert found.leader == entry(board, "good").id
    assert found.other_images.high < 0  # so much better that it is sure


def test_a_difference_is_surer_than_the_two_scores_side_by_side(board: Leaderboard) -> None:
    """The leader answered the same episodes: what is hard for both cancels out."""
    fair, good = entry(board, "fair"), entry(board, "good")
    apart = []
    for one in (fair.miou.other_images, good.miou.other_images, fair.difference.other_images):
        assert one is not None
        apart.append(one.high - one.low)
    assert apart[2] < (apart[0] ** 2 + apart[1] ** 2) ** 0.5


def test_the_difference_is_that_of_the_two_means_to_the_last_bit(board: Leaderboard) -> None:
    best = board.entries[0].miou.value
    assert best is not None
    for one in board.entries[1:]:
        assert one.miou.value is not None
        assert one.difference.value == one.miou.value - best


def test_the_leader_has_no_difference_but_a_reason(board: Leaderboard) -> None:
    leader = entry(board, "good")
    assert (leader.rank, leader.difference.value, leader.difference.reason) == (1, None, "it leads")


def test_folds_and_classes_have_the_figures_of_their_results(board: Leaderboard, folder: Path) -> None:
    """With one seed nothing is averaged: value, reason and both intervals are the result's."""
    found = entry(board, "poor")
    assert [fold.fold for fold in found.folds] == [0, 1]
    assert [(c.fold, c.id) for c in found.per_class] == [(fold, c) for fold, own in enumerate(FOLDS) for c in own]
    for run, fold in zip(found.runs, found.folds, strict=True):
        stated = read_result(folder / run.result).score
        assert fold.n_episodes == EPISODES
        own = [c.iou for c in found.per_class if c.fold == fold.fold]
        for ours, theirs in zip(
            (fold.miou, fold.fb_iou, *own),
            (stated.miou, stated.fb_iou, *(c.iou for c in stated.per_class)),
            strict=True,
        ):
            assert (ours.value, ours.reason) == (theirs.value, theirs.reason)
            assert theirs.other_images is not None
            assert ours.other_episodes == theirs.other_episodes
            assert ours.other_images == theirs.other_images


def test_the_mean_over_folds_is_surer_than_a_fold(board: Leaderboard) -> None:
    for one in board.entries:
        assert one.miou.other_images is not None
        assert one.miou.value is not None
        assert one.miou.other_images.method == METHODS["images"]
        assert one.miou.other_images.low < one.miou.value < one.miou.other_images.high
        wide = [
            fold.miou.other_images.high - fold.miou.other_images.low for fold in one.folds if fold.miou.other_images
        ]
        assert len(wide) == 2
        assert one.miou.other_images.high - one.miou.other_images.low < max(wide)


def test_several_seeds_are_averaged_in_every_figure(tmp_path: Path) -> None:
    paths = write_model(tmp_path, "good", seeds=(0, 1, 2))
    (found,) = build_leaderboard(tmp_path).entries
    results = [read_result(path) for path in paths]
    for fold in found.folds:
        own = [r.score.miou.value for r in results if r.episodes.fold == fold.fold]
        assert fold.n_episodes == 3 * EPISODES
        assert fold.miou.value == fsum(value for value in own if value is not None) / 3
        for c in (c for c in found.per_class if c.fold == fold.fold):
            values = [k.iou.value for r in results for k in r.score.per_class if k.id == c.id]
            assert c.iou.value == fsum(value for value in values if value is not None) / 3
            singles = [k.iou.other_episodes for r in results for k in r.score.per_class if k.id == c.id]
            assert c.iou.other_episodes is not None
            for single in singles:
                assert single is not None
                assert c.iou.other_episodes.high - c.iou.other_episodes.low < single.high - single.low


def test_an_entry_says_how_and_with_what_it_ran(tmp_path: Path) -> None:
    for fold, device in enumerate(("one card", "another card")):
        record = model("good", training="trained", checkpoint_sha256=f"{fold}" * 64, backbone_sha256="b" * 64)
        path = write_result(tmp_path, answers(fold=fold), record)
        path.write_text(path.read_text().replace("a drawn processor", device))
    (found,) = build_leaderboard(tmp_path).entries
    assert found.checkpoints == {0: "0" * 64, 1: "1" * 64}
    assert found.backbones == {0: "b" * 64, 1: "b" * 64}
    assert (found.device_name, found.precision) == ("one card, another card", "float32")
    assert found.commands == ("fssbench eval -m good",)
    assert [run.checkpoint_sha256 for run in found.runs] == ["0" * 64, "1" * 64]
    assert found.episodes_per_second == 30


def trained(fold: int, *, select_on: Literal["last", "test-fold"], seed: int = 0) -> TrainingRecord:
    """As a run on a fold says it: half of it is another on another fold."""
    return TrainingRecord(
        benchmark="drawn",
        fold=fold,
        shot=1,
        seed=seed,
        training_set=f"{fold}" * 64,
        classes=FOLDS[1 - fold],
        held_out=(),
        select_on=select_on,
        steps=100 + fold,
        planned_steps=100 + fold,
        recipe_sha256="e" * 64,
    )


def test_folds_trained_in_one_way_are_one_entry_and_in_two_ways_two(tmp_path: Path) -> None:
    """What differs by fold does not part them; a rule that looked at the test fold is another model."""
    for fold in (0, 1):
        rules: dict[Literal["last", "test-fold"], str] = {"last": "the last", "test-fold": "the best on the test fold"}
        for rule, chosen in rules.items():
            how = trained(fold, select_on=rule)
            changes = {"training": "trained", "checkpoint_sha256": f"{fold}" * 64, "selection": chosen, "trained": how}
            write_result(tmp_path / rule, answers(fold=fold), model("good", **changes))
    found = build_leaderboard(tmp_path).entries
    assert {entry.selection for entry in found} == {"the last", "the best on the test fold"}
    assert {entry.label for entry in found} == {"good", "good (chosen on the test fold)"}
    assert len({entry.id for entry in found}) == 2
    assert all(len(entry.runs) == 2 and entry.miou.value is not None for entry in found)


def test_ids_do_not_depend_on_what_else_there_is(board: Leaderboard, tmp_path: Path) -> None:
    write_model(tmp_path, "fair", better=0.3, chance=2)
    (alone,) = build_leaderboard(tmp_path).entries
    assert alone.id == entry(board, "fair").id
    assert alone.group == entry(board, "fair").group
    assert len({one.id for one in board.entries}) == 3


def test_a_name_that_is_no_anchor_becomes_one(tmp_path: Path) -> None:
    write_model(tmp_path, 'mine/<script>alert("x")</script>.py:Net Ä|')
    (found,) = build_leaderboard(tmp_path).entries
    assert found.id.startswith("drawn-strict-1shot-script-")


def test_without_a_ranked_entry_nobody_leads(tmp_path: Path) -> None:
    write_result(tmp_path, answers(fold=0), model("half"))
    (found,) = build_leaderboard(tmp_path).entries
    assert (found.rank, found.difference.leader, found.difference.reason) == (None, None, "no entry is ranked")
    assert found.miou.reason == "no result on fold 1"


@pytest.fixture(scope="module")
def one(board: Leaderboard) -> Entry:
    return board.entries[0]


@settings(max_examples=60)
@given(st.lists(st.tuples(st.none() | st.sampled_from([0.1, 0.2, 0.3, 0.4]), st.booleans()), max_size=6))
def test_law_of_ranks(one: Entry, drawn: list[tuple[float | None, bool]]) -> None:
    """A rank is one more than the number of ranked entries with a higher mean; controls have none and count none."""
    group = []
    for n, (value, control) in enumerate(drawn):
        score = Score(value=value, reason=None if value else "none", other_episodes=None, other_images=None)
        record = one.model.model_copy(update={"control": "no-support" if control else None})
        made = one.model_copy(update={"id": f"e{n}", "label": f"{n}", "miou": score, "model": record})
        group.append((made, Figures(miou=score, fb_iou=score, folds=(), per_class=(), evidence=None)))
    found = ranked(group)
    counted = [e.miou.value for e in found if e.miou.value is not None and e.model.control is None]
    for e in found:
        if e.miou.value is None or e.model.control is not None:
            assert e.rank is None
        else:
            assert e.rank == 1 + sum(value > e.miou.value for value in counted)
    values = [e.miou.value or 0 for e in found]
    assert values == sorted(values, reverse=True)


def test_a_generalist_does_not_outrank_a_model_that_saw_none_of_the_classes(tmp_path: Path) -> None:
    """Ranks, leaders and groups are of one regime; results without the field are placed by what they imply."""
    write_model(tmp_path, "seggpt.py:Net", better=0.9, chance=1, regime="generalist", training="declared")
    write_model(tmp_path, "sam.py:Net", better=0.2, chance=2, regime="generalist", training="declared")
    write_model(tmp_path, "strict", chance=3, training="trained", checkpoint_sha256="1" * 64)
    write_model(tmp_path, "old.py:Net", better=0.5, chance=4, code_sha256="2" * 64, parameters=10)
    found = build_leaderboard(tmp_path).entries
    assert [(e.regime, e.model.name, e.rank) for e in found] == [
        ("base classes", "strict", 1),
        ("generalist", "seggpt.py:Net", 1),
        ("generalist", "sam.py:Net", 2),
        ("unknown", "old.py:Net", 1),
    ]
    assert len({e.group for e in found}) == 3
    assert len({e.episodes_digest for e in found}) == 1
    assert [e.difference.leader for e in found] == [found[0].id, found[1].id, found[1].id, found[3].id]


def test_a_label_says_what_speaks_against_the_training(tmp_path: Path) -> None:
    how = trained(0, select_on="last").model_copy(update={"steps": 2, "benchmark": "toy-20i"})
    record = model("hsnet", training="trained", checkpoint_sha256="1" * 64, trained=how)
    path = write_result(tmp_path, answers(fold=0), record)
    (checked,) = candidates([Gathered.of(sound(path), tmp_path)])
    assert checked.label == "hsnet (2 of 100 steps, trained on toy-20i)"


def sound(path: Path) -> Checked:
    """The result as if it stated its reasons, which the drawn ones do not."""
    checked = check_result(path)
    assert len(checked.problems) == 2
    checked.problems.clear()
    return checked


@pytest.mark.parametrize("width", [200, 80, 44, 30])
def test_no_rank_name_or_mean_is_ever_cut(board: Leaderboard, width: int) -> None:
    """However narrow the terminal: other columns go, and a note names them."""
    text = printed(board, width)
    means = [f"{100 * one.miou.value:.2f}" for one in board.entries if one.miou.value is not None]
    assert all(one.model.name in text for one in board.entries)
    assert all(mean in text for mean in means)
    assert "…" not in text
    assert ("a wider terminal shows" in text) == (width < 80)


def test_the_speed_goes_first_and_the_distance_from_the_leader_last(board: Leaderboard) -> None:
    """What is left of the columns as room shrinks."""
    heads = [
        next(line for line in printed(board, width).splitlines() if "model" in line) for width in range(200, 30, -1)
    ]
    kept = list(dict.fromkeys(tuple(head.replace("fold ", "fold").split()) for head in heads))
    every = ("#", "model", "fold0", "fold1", "mean", "FB-IoU", "behind", "ep/s")
    gone = [set(), {"ep/s"}, {"ep/s", "FB-IoU"}, {"ep/s", "FB-IoU", "fold0", "fold1"}]
    assert kept[:4] == [tuple(name for name in every if name not in without) for without in gone]
    assert kept[4:] == [("#", "model", "mean")]


def printed(board: Leaderboard, width: int) -> str:
    """What a terminal of this width shows."""
    text = StringIO()
    print_rankings(board.groups(), console=Console(file=text, force_terminal=True, width=width, color_system=None))
    return text.getvalue()

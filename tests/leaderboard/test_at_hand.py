"""What is said of a model that was not asked a whole benchmark."""

from __future__ import annotations

from pathlib import Path

import pytest
from boards import FOLDS, answers, model, write_model, write_result
from hypothesis import given
from hypothesis import strategies as st

from fssbench.leaderboard.at_hand import at_hand
from fssbench.leaderboard.build import build_leaderboard
from fssbench.pages.speeds import by_speed
from fssbench.schemas.leaderboard import Entry


@pytest.fixture(scope="module")
def asked_in_part(tmp_path_factory: pytest.TempPathFactory) -> Entry:
    """A model with a result on the first of two folds."""
    folder = tmp_path_factory.mktemp("part")
    write_result(folder, answers(fold=0), model("half"))
    (entry,) = build_leaderboard(folder).entries
    return entry


def test_a_fold_alone_has_its_own_figure_and_no_mean(asked_in_part: Entry) -> None:
    assert asked_in_part.miou.value is None
    found = at_hand(asked_in_part)
    assert found is not None
    assert found.of == "fold 0"
    assert found.value == pytest.approx(asked_in_part.folds[0].miou.value)


@given(missing=st.sets(st.sampled_from(FOLDS[0])))
def test_classes_without_an_iou_are_left_out_and_told(asked_in_part: Entry, missing: set[int]) -> None:
    """The value is the mean over the classes that have one; with none there is nothing to say."""
    nothing = asked_in_part.fb_iou
    assert nothing.value is None
    classes = [one.model_copy(update={"iou": nothing}) if one.id in missing else one for one in asked_in_part.per_class]
    found = at_hand(asked_in_part.model_copy(update={"per_class": tuple(classes)}))
    there = [one.iou.value for one in classes if one.iou.value is not None]
    if not there:
        assert found is None
        return
    assert found is not None
    assert found.value == pytest.approx(sum(there) / len(there))
    assert found.of == (f"{len(there)} of 3 classes of fold 0" if missing else "fold 0")


def test_a_model_with_a_mean_is_not_told_in_part(tmp_path: Path) -> None:
    write_model(tmp_path, "whole")
    (entry,) = build_leaderboard(tmp_path).entries
    assert entry.miou.value is not None
    assert at_hand(entry) is None


def test_faster_models_stand_further_right_and_better_ones_higher(tmp_path: Path) -> None:
    for name, better in (("good", 0.2), ("plain", 0.0)):
        write_model(tmp_path, name, better=better)
    good, plain = build_leaderboard(tmp_path).entries
    chart = by_speed([good.model_copy(update={"episodes_per_second": 2.0}), plain])
    assert chart is not None
    slow, fast = chart.dots
    assert slow.x < fast.x
    assert slow.y < fast.y, "pixels count from the top"
    assert all(chart.left <= dot.x <= chart.right and chart.top <= dot.y <= chart.bottom for dot in chart.dots)
    assert by_speed([good]) is None
    assert by_speed([good.model_copy(update={"episodes_per_second": None}), plain]) is None

"""Controls: what the model is shown instead of its supports, and what becomes of its results."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command import Command
from torch import Tensor

from fssbench.base.errors import UsageError
from fssbench.engine.controls import lenders
from fssbench.engine.evaluate import answers
from fssbench.episodes.episodes import Episode, Track
from fssbench.models.baselines import CopySupport
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet


class Witness(CopySupport):
    """Remembers what it was shown, in the order of asking."""

    reads_pixels = True

    def __init__(self) -> None:
        super().__init__(size=32)
        self.shown: list[tuple[Tensor, Tensor]] = []

    def predict(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        self.shown.append((supports, masks))
        return super().predict(query, supports, masks)


def witnessed(
    episode_set: EpisodeSet, *, control: str | None, episodes: int | None = None
) -> dict[int, tuple[Tensor, Tensor]]:
    model = Witness()
    asked = answers(model, episode_set, shot=2, seed=0, episodes=episodes, control=control, workers=2)
    indices = [answer.index for answer in asked]
    return dict(zip(indices, model.shown, strict=True))


def test_without_support_the_images_stay_and_the_masks_are_zero(toy_set: EpisodeSet) -> None:
    own, shown = witnessed(toy_set, control=None), witnessed(toy_set, control="no-support")
    assert own.keys() == shown.keys() == set(range(40))
    for index, (images, masks) in shown.items():
        assert images.equal(own[index][0])
        assert own[index][1].any()
        assert not masks.any()


def test_a_wrong_class_is_another_episodes_supports(toy_set: EpisodeSet) -> None:
    own, shown = witnessed(toy_set, control=None), witnessed(toy_set, control="wrong-class")
    chosen = lenders(toy_set.tracks["2shot-seed0"])
    for index, (images, masks) in shown.items():
        assert images.equal(own[chosen[index]][0])
        assert masks.equal(own[chosen[index]][1])
    assert sum(images.equal(own[index][0]) for index, (images, _) in shown.items()) == 0


def test_the_frames_of_an_answer_are_those_that_were_shown(toy_set: EpisodeSet) -> None:
    for answer in answers(CopySupport(size=32), toy_set, shot=1, seed=0, episodes=5, control="wrong-class", workers=2):
        assert answer.query.class_id == answer.episode.class_id
        assert all(frame.class_id != answer.episode.class_id for frame in answer.supports)
    for answer in answers(CopySupport(size=32), toy_set, shot=1, seed=0, episodes=5, control="no-support", workers=2):
        assert not any(np.any(frame.mask) for frame in answer.supports)
        assert answer.query.mask.any()


def test_who_lends_does_not_depend_on_how_many_are_asked(toy_set: EpisodeSet) -> None:
    few, all_of_them = (witnessed(toy_set, control="wrong-class", episodes=n) for n in (7, None))
    assert all(few[index][0].equal(all_of_them[index][0]) for index in range(7))


def track(episodes: list[Episode]) -> Track:
    return Track(benchmark="toy-20i", protocol="strict/1", fold=0, shot=1, seed=0, episodes=tuple(episodes))


def test_lenders_are_of_another_class_and_do_not_show_the_query() -> None:
    """The lists below leave each episode of class 1 but one lender, and follow from the digest alone."""
    episodes = [Episode(1, "a", ("b",)), Episode(1, "c", ("d",)), Episode(2, "e", ("a",)), Episode(2, "f", ("c",))]
    found = lenders(track(episodes))
    assert found[:2] == [3, 2]
    assert set(found[2:]) <= {0, 1}
    assert found == lenders(track(episodes))


def test_every_other_class_lends() -> None:
    episodes = [Episode(c, f"q{c}.{n}", (f"s{c}.{n}",)) for n in range(60) for c in range(4)]
    found = lenders(track(episodes))
    for c in range(4):
        classes = {episodes[found[i]].class_id for i, episode in enumerate(episodes) if episode.class_id == c}
        assert classes == set(range(4)) - {c}
    assert max(found) < 25 * 4  # the first 25 of each class
    other = replace(track(episodes), episodes=tuple(episodes[::-1]))
    assert lenders(other) != found


def test_one_class_alone_has_nobody_to_lend() -> None:
    with pytest.raises(UsageError, match=r"no other class of toy-20i fold 0 can lend episode 0 its supports; the cont"):
        lenders(track([Episode(1, "a", ("b",))]))


# --- results --------------------------------------------------------------------------------------------


def test_a_control_is_recorded_and_neither_official_nor_ranked(
    fssbench: Command, toy_set: EpisodeSet, tmp_path: Path
) -> None:
    arguments = ("eval", "-m", "copy-support", "-b", "toy", "-d", toy_set.path, "-f", 0, "-o", tmp_path / "r")
    assert fssbench(*arguments, "--json").code == 0
    for control, miou in (("no-support", 0.0), ("wrong-class", None)):
        ran = fssbench(*arguments, "--control", control, "--json")
        assert ran.code == 0, ran.err
        result = json.loads(ran.out)[0]["result"]
        assert result["model"]["control"] == control
        assert any(reason.startswith(f"it is the control {control}: ") for reason in result["unofficial"])
        assert not result["official"]
        assert miou is None or result["policies"][0]["miou"]["value"] == miou
    paths = sorted((tmp_path / "r").rglob("fold0-1shot-seed0.json"))
    assert len(paths) == 3  # the real result is left alone
    assert all(fssbench("score", "--check", path).code == 0 for path in paths)
    assert fssbench("leaderboard", "build", tmp_path / "r", "-o", tmp_path / "board.json").code == 0
    entries = {e["label"]: e for e in json.loads((tmp_path / "board.json").read_text())["entries"]}
    assert set(entries) == {
        "copy-support",
        "copy-support (control no-support)",
        "copy-support (control wrong-class)",
    }


def test_a_control_that_hides_itself_is_found_out(fssbench: Command, toy_set: EpisodeSet, tmp_path: Path) -> None:
    fssbench(
        "eval",
        "-m",
        "copy-support",
        "-b",
        "toy",
        "-d",
        toy_set.path,
        "-f",
        0,
        "-o",
        tmp_path,
        "--control",
        "no-support",
    )
    (path,) = tmp_path.rglob("fold0-1shot-seed0.json")
    result = json.loads(path.read_text())
    result["unofficial"] = [reason for reason in result["unofficial"] if "control" not in reason]
    path.write_text(json.dumps(result))
    ran = fssbench("score", "--check", path)
    assert ran.code == 2
    assert "the result does not say that it is the control no-support" in ran.out


def test_an_unknown_control_is_refused(fssbench: Command) -> None:
    ran = fssbench("eval", "-m", "copy-support", "--control", "no-suport")
    assert ran.code == 2
    assert "there is no control 'no-suport'; did you mean 'no-support'? known are no-support, wrong-class" in ran.error

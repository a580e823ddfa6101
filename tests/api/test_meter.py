"""`fssbench.Meter`: masks from anywhere, counted as strictly as the engine counts its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fssbench
from fssbench import Evaluation, LoadedEpisode, LoadedTrack, Meter
from fssbench.base.errors import (
    EpisodeIndexError,
    MaskShapeError,
    MaskTypeError,
    MaskValueError,
    ResultError,
)
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.results.check import check_result


@pytest.fixture(scope="module")
def track(toy_set: EpisodeSet) -> LoadedTrack:
    return fssbench.load("toy", data=toy_set.path).first(20)


def darker(episode: LoadedEpisode) -> npt.NDArray[np.bool_]:
    """Something to score: the darker half of the image."""
    grey = episode.query.image.mean(axis=2)
    found: npt.NDArray[np.bool_] = grey < np.median(grey)
    return found


@pytest.fixture(scope="module")
def masks(track: LoadedTrack) -> dict[int, npt.NDArray[np.bool_]]:
    return {episode.index: darker(episode) for episode in track}


def metered(track: LoadedTrack, masks: dict[int, npt.NDArray[np.bool_]], *, keep_masks: bool = False) -> Meter:
    meter = Meter(track, keep_masks=keep_masks)
    for index, mask in masks.items():
        meter.update(index, mask)
    return meter


@pytest.fixture(scope="module")
def evaluated(track: LoadedTrack) -> Evaluation:
    found = fssbench.evaluate(darker, track)
    assert isinstance(found, Evaluation)
    return found


def test_it_counts_as_the_engine_does(
    track: LoadedTrack, masks: dict[int, npt.NDArray[np.bool_]], evaluated: Evaluation
) -> None:
    score = metered(track, masks).compute()
    assert score.miou == evaluated.miou is not None
    assert score.per_class == evaluated.per_class
    assert score.policy == evaluated.policy == "original/ignore"
    assert score.fb_iou == evaluated.fb_iou


@given(order=st.permutations(range(20)), cut=st.integers(0, 20), kind=st.sampled_from(["bool", "uint8", "tensor"]))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_neither_order_nor_parts_nor_types_matter(
    track: LoadedTrack,
    masks: dict[int, npt.NDArray[np.bool_]],
    evaluated: Evaluation,
    order: list[int],
    cut: int,
    kind: str,
) -> None:
    """Any order, any two meters, any of the types a mask may have: the same figures."""

    def typed(mask: npt.NDArray[np.bool_]) -> object:
        return torch.from_numpy(mask).long() if kind == "tensor" else mask.astype(kind)

    parts = [Meter(track), Meter(track)]
    for place, index in enumerate(order):
        parts[place >= cut].update(torch.tensor(index), typed(masks[index]))
    merged = parts[0].merge(parts[1])
    assert len(merged) == 20
    assert merged.compute().per_class == evaluated.per_class


def test_a_saved_result_is_sound_and_ranks(
    track: LoadedTrack, toy_set: EpisodeSet, masks: dict[int, npt.NDArray[np.bool_]], tmp_path: Path
) -> None:
    result = metered(track, masks, keep_masks=True).result(model="darker", options={"threshold": 0.5})
    path = result.save(tmp_path)
    assert path == result.path
    checked = check_result(path, find_set=lambda *_: toy_set)
    assert checked.problems == []
    assert "the masks were handed in, and which model made them is not known" in result.unofficial
    assert result.save(tmp_path) == path  # the same again is no other result
    other = metered(track, {i: ~mask for i, mask in masks.items()}, keep_masks=True)
    with pytest.raises(ResultError, match="was computed from other counts"):
        other.result(model="darker", options={"threshold": 0.5}).save(tmp_path)
    (entry,) = fssbench.leaderboard(tmp_path).entries
    assert entry.model.name == "darker"


def test_masks_of_one_square_size_are_scored_at_it(track: LoadedTrack) -> None:
    """As a model is at its own size."""
    meter = Meter(track, size=64)
    for episode in track:
        resized = torch.nn.functional.interpolate(torch.from_numpy(episode.query.mask)[None, None].byte(), (64, 64))
        meter.update(episode.index, resized[0, 0])
    score = meter.compute()
    assert score.policy == "model/ignore"
    assert score.miou == 1.0


def test_every_episode_is_answered_exactly_once(track: LoadedTrack, masks: dict[int, npt.NDArray[np.bool_]]) -> None:
    meter = metered(track, {index: mask for index, mask in masks.items() if index != 7})
    with pytest.raises(EpisodeIndexError, match="1 of 20 episodes are missing, the first is 7"):
        meter.compute()
    with pytest.raises(EpisodeIndexError, match="episode 3 was answered before"):
        meter.update(3, masks[3])
    with pytest.raises(EpisodeIndexError, match="and episode 20 was asked for"):
        meter.update(20, masks[3])
    with pytest.raises(EpisodeIndexError, match="19 episodes were answered in both meters, the first is 0"):
        meter.merge(metered(track, masks))


def test_a_mask_must_be_one(track: LoadedTrack, masks: dict[int, npt.NDArray[np.bool_]]) -> None:
    meter = Meter(track)
    with pytest.raises(MaskShapeError, match=r"the mask of episode 0 .* has shape \(3, 4\), expected \(\d+, \d+\)"):
        meter.update(0, np.zeros((3, 4), dtype=bool))
    with pytest.raises(MaskTypeError, match="must be bool or integer, got float64"):
        meter.update(0, masks[0].astype(float))
    with pytest.raises(MaskValueError, match=r"must hold only 0 and 1, found \[255\]"):
        meter.update(0, masks[0].astype(np.uint8) * 255)
    assert len(meter) == 0


def test_meters_of_other_tracks_do_not_merge(track: LoadedTrack, toy_set: EpisodeSet) -> None:
    other = Meter(fssbench.load("toy", data=toy_set.path, shot=2))
    with pytest.raises(ResultError, match="cannot be merged into one of"):
        Meter(track).merge(other)

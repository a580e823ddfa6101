"""Answers drawn beside the truth: every mask in its own column."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from fssbench.base.errors import UsageError
from fssbench.engine.evaluate import answers
from fssbench.models.baselines import CopySupport
from fssbench.models.hdmnet import HDMNet
from fssbench.models.hmfs import HMFS
from fssbench.models.hsnet import HSNet
from fssbench.models.interface import FewShotSegmenter
from fssbench.pages.answers import correlation_maps, draw_answers, picture, support_maps
from fssbench.pages.overlays import FALSE, HIT, MISSED, error_tile, heat_tile
from fssbench.pages.pictures import BLUE, CELL, GAP, GREEN, LINE, RED
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet


def test_answers_are_drawn_a_row_an_episode(toy_set: EpisodeSet, tmp_path: Path) -> None:
    """All supports, the query's truth, and a cell for each model: of 2 shots and 2 models, five cells."""
    given = list(answers(CopySupport(size=32), toy_set, shot=2, seed=0, episodes=3, workers=1))
    names = {pool.id: pool.name for pool in toy_set.manifest.classes}
    path = tmp_path / "answers.png"
    draw_answers(path, {"one": given, "other": given}, class_names=names)
    with Image.open(path) as image:
        pixels = np.asarray(image)
    assert pixels.shape == (LINE + 2 * GAP + 3 * (CELL + LINE + GAP), GAP + 5 * (CELL + GAP), 3)
    for c, colour in enumerate((BLUE, BLUE, GREEN, RED, RED)):
        column = pixels[:, GAP + c * (CELL + GAP) :][:, :CELL].reshape(-1, 3)
        found = {other for other in (RED, GREEN, BLUE) if (column == other).all(axis=1).any()}
        assert found == {colour}


def test_an_error_tile_tells_hits_false_alarms_and_misses_apart() -> None:
    """On a black image of four quarters: found, missed, wrongly found, and nothing; below it what is not scored."""
    truth, prediction, ignore = np.zeros((3, 40, 60), bool)
    truth[:, :30] = prediction[:20] = True
    truth[30:] = False
    ignore[30:] = True
    tile = error_tile(np.zeros((40, 60, 3), np.uint8), truth=truth, prediction=prediction, ignore=ignore, side=60)
    pixels = np.asarray(tile).astype(int)

    def nearest(y: int, x: int) -> object:
        return min((HIT, FALSE, MISSED), key=lambda colour: abs(pixels[y, x] - colour).sum())

    assert [nearest(5, 5), nearest(5, 55), nearest(25, 5)] == [HIT, FALSE, MISSED]
    assert np.ptp(pixels[25, 55]) == 0
    assert (pixels[30:] == 255).all(axis=2).mean() == 0.5
    assert not (pixels[:30] == 255).any()


@given(heat=arrays(np.float32, (3, 4), elements=st.floats(-1e3, 1e3, width=32)))
def test_heat_is_lightest_where_the_map_is_highest(heat: npt.NDArray[np.float32]) -> None:
    """Whatever its range; a flat map is all of one colour."""
    light = np.asarray(heat_tile(np.zeros((3, 4, 3), np.uint8), heat, side=4)).astype(int).sum(axis=2)
    assert light.shape == heat.shape
    assert light[np.unravel_index(heat.argmax(), heat.shape)] == light.max()
    assert (np.ptp(heat) > 1) <= (light.max() > light.min())


def test_a_model_without_correlation_maps_has_no_heat(toy_set: EpisodeSet) -> None:
    (answer,) = answers(CopySupport(size=32), toy_set, shot=2, seed=0, episodes=1, workers=1)
    assert correlation_maps(CopySupport(size=32), answer, device="cpu") == {}


@pytest.mark.parametrize(
    ("model", "maps"),
    [
        (HSNet(size=64), {"level 3": (2, 2), "level 2": (4, 4), "level 1": (8, 8)}),
        (HMFS(size=64), {"level 3": (2, 2), "level 2": (4, 4), "level 1": (8, 8)}),
        (HDMNet(size=65, shot=2), {"stage 3": (3, 3), "stage 2": (5, 5), "stage 1": (9, 9)}),
    ],
    ids=["hsnet", "hmfs", "hdmnet"],
)
def test_models_that_correlate_show_their_maps(
    toy_set: EpisodeSet, model: FewShotSegmenter, maps: dict[str, tuple[int, int]]
) -> None:
    """Coarse to fine, and as pictures of the query's shape."""
    (answer,) = answers(model, toy_set, shot=2, seed=0, episodes=1, workers=1)
    found = correlation_maps(model.eval(), answer, device="cpu")
    assert {name: one.shape for name, one in found.items()} == maps
    shown = picture(answer, maps=found, side=96)
    assert list(shown) == ["support 1", "support 2", "truth", "prediction", "errors", *maps]
    assert all(shown[name].size == shown["truth"].size for name in maps)


@pytest.mark.parametrize(
    ("model", "names"),
    [(HSNet(size=64), ["FM"]), (HSNet(size=64, masking="none"), ["whole"]), (HMFS(size=64), ["IM", "FM", "HM"])],
    ids=["hsnet", "hsnet whole", "hmfs"],
)
def test_models_show_their_supports_features(toy_set: EpisodeSet, model: FewShotSegmenter, names: list[str]) -> None:
    """Of the first support, fine to coarse, without negative values; or of one channel, as it is."""
    (answer,) = answers(model, toy_set, shot=2, seed=0, episodes=1, workers=1)
    found = support_maps(model.eval(), answer, device="cpu")
    assert list(found) == names
    assert all([one.shape for one in maps] == [(8, 8), (4, 4), (2, 2)] for maps in found.values())
    assert min(one.min() for maps in found.values() for one in maps) >= 0
    one = support_maps(model, answer, device="cpu", channel=3)
    assert min(shown.min() for maps in one.values() for shown in maps) < 0
    with pytest.raises(UsageError, match="a map has 512 channels, so there is no channel 512"):
        support_maps(model, answer, device="cpu", channel=512)


def test_hybrid_features_are_masked_ones_where_these_are_positive() -> None:
    support = torch.rand(1, 1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    masks = torch.zeros(1, 1, 64, 64)
    masks[..., 16:48, 16:48] = 1
    with torch.no_grad():
        maps = HMFS(size=64).eval().support_maps(support, masks)
    for inner, masked, both in zip(*maps.values(), strict=True):
        assert torch.equal(both, torch.where(masked > 0, masked, inner))


def test_hsnets_map_is_the_mean_cosine_over_the_support() -> None:
    """Of one layer, computed with numpy from the features alone."""
    model = HSNet(size=64, hypercorrelation="deep", finest_level=3).eval()
    query, support = torch.rand(2, 1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    masks = torch.ones(1, 1, 64, 64)
    with torch.no_grad():
        (q,), (s,) = model.encode(query), model.encode(support)
        (found,) = model.correlation_maps(query, support[None], masks).values()
    q, s = (f[0].flatten(1).double() / f[0].flatten(1).double().norm(dim=0) for f in (q, s))
    expected = (q.T @ s).clamp(min=0).mean(dim=1).view(2, 2)
    assert torch.allclose(found[0].double(), expected, atol=1e-5)

"""Intervals over episodes."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt
import pytest

from fssbench.metrics import score
from fssbench.statistics import Intervals, episode_intervals

DIGEST = "0123456789abcdef" * 4


def counts(n: int, *, seed: int = 0, classes: int = 4) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Episodes of images of 100 by 100 pixels, the classes in turn."""
    random = np.random.RandomState(seed)
    union = random.randint(100, 5_000, n)
    inter = (union * random.beta(4, 3, n)).astype(np.int64)
    table = np.stack([inter, union, 10_000 - union, 10_000 - inter, np.full(n, 10_000)], axis=1).astype(np.int64)
    return np.arange(n, dtype=np.int64) % classes, table


def intervals(n: int = 400, *, seed: int = 0, digest: str = DIGEST) -> Intervals:
    class_ids, table = counts(n, seed=seed)
    return episode_intervals(class_ids, table, classes=range(4), digest=digest)


def test_the_same_episodes_and_counts_give_the_same_interval() -> None:
    assert intervals() == intervals()


def test_the_digest_seeds_the_resampling() -> None:
    assert intervals() != intervals(digest="f" * 64)


def test_the_interval_never_changes_between_versions() -> None:
    """The generator's stream is frozen, so this is the interval for ever."""
    found = intervals().miou
    assert found is not None
    assert (round(found.low, 6), round(found.high, 6)) == (0.560545, 0.59628)


def test_the_figure_lies_in_its_interval() -> None:
    class_ids, table = counts(400)
    figures = score(class_ids, table, classes={c: str(c) for c in range(4)})
    found = intervals()
    for value, interval in [(figures.miou.value, found.miou), (figures.fb_iou.value, found.fb_iou)]:
        assert value is not None
        assert interval is not None
        assert interval.low < value < interval.high


def test_four_times_the_episodes_halve_the_interval() -> None:
    few, many = intervals(400).miou, intervals(1600).miou
    assert few is not None
    assert many is not None
    assert (few.high - few.low) / (many.high - many.low) == pytest.approx(2, rel=0.25)


def test_a_fresh_sample_falls_into_the_interval_about_19_times_in_20() -> None:
    """Coverage, over 200 samples from one population: the truth lies inside 95 %, give or take 5."""
    truth = score(*counts(400_000, seed=99), classes={c: str(c) for c in range(4)}).miou.value
    assert truth is not None
    hits = 0
    for seed in range(200):
        found = intervals(200, seed=seed, digest=f"{seed:08x}" + "0" * 56).miou
        assert found is not None
        hits += found.low <= truth <= found.high
    assert 0.90 <= hits / 200 <= 0.99


def test_with_too_few_episodes_of_a_class_nothing_is_said() -> None:
    found = intervals(4 * 10 - 1)  # the last class has nine
    assert found.per_class[2] is not None
    assert found.per_class[3] is None
    assert found.miou is None
    assert found.fb_iou is None


def test_an_undefined_figure_has_no_interval() -> None:
    class_ids, table = counts(400)
    table[class_ids == 1] = [0, 0, 10_000, 10_000, 10_000]
    found = episode_intervals(class_ids, table, classes=range(4), digest=DIGEST)
    assert found.per_class[1] is None
    assert found.per_class[0] is not None
    assert found.miou is None


def test_ten_thousand_episodes_take_seconds() -> None:
    class_ids, table = counts(10_000, classes=20)
    start = time.perf_counter()
    episode_intervals(class_ids, table, classes=range(20), digest=DIGEST)
    assert time.perf_counter() - start < 30

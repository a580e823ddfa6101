"""Intervals and differences: that they cover what they claim, and never claim more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from drawn import Population, names
from hypothesis import given
from hypothesis import strategies as st

from fssbench.scoring import estimates
from fssbench.scoring.counts import CountsTable
from fssbench.scoring.estimates import FIGURES, Sample
from fssbench.scoring.metrics import score
from fssbench.scoring.uncertainty import Evidence, Interval, Uncertainty, holm

MIOU, FB, EPISODE = -3, -2, -1


def evidence(table: CountsTable, classes: int) -> Evidence:
    return Evidence.of(Sample(table.track, classes=range(classes)), table.counts[:, :1])[0]


def sure(table: CountsTable, classes: int) -> list[Uncertainty]:
    return evidence(table, classes).uncertainties()


def image_evidence(table: CountsTable, classes: int) -> Evidence:
    """Without the slower resampling of episodes."""
    sample = Sample(table.track, classes=range(classes))
    counts = table.counts[:, :1]
    values = sample.figures(counts)[0]
    return Evidence(
        values=values,
        resampled=np.zeros((1, len(values))),
        moves=sample.influence(counts[:, 0]),
        images=sample.images,
        freedom=sample.freedom,
        of_episodes=[False] * len(values),
        of_images=sample.says_of_images,
    )


def over_images(table: CountsTable, classes: int) -> list[Interval | None]:
    """The overall figures' intervals over images."""
    return [between.images for between in image_evidence(table, classes).uncertainties()[-len(FIGURES) :]]


def with_counts(table: CountsTable, rows: npt.NDArray[np.int64]) -> CountsTable:
    return CountsTable(table.track, table.policies, np.stack([rows, rows], axis=1), table.queries)


@pytest.fixture(scope="module")
def table() -> CountsTable:
    return Population(classes=4, images=40).table(400)


def test_the_same_table_always_gives_the_same_intervals(table: CountsTable) -> None:
    assert sure(table, 4) == sure(table, 4)


def test_the_intervals_never_change_between_versions(table: CountsTable) -> None:
    """The generator's stream is frozen and the other interval needs none, so these are the intervals for ever."""
    found = sure(table, 4)[MIOU]
    assert found.episodes is not None
    assert found.images is not None
    assert (round(found.episodes.low, 6), round(found.episodes.high, 6)) == (EPISODES_LOW, EPISODES_HIGH)
    assert (round(found.images.low, 6), round(found.images.high, 6)) == (IMAGES_LOW, IMAGES_HIGH)


EPISODES_LOW, EPISODES_HIGH = 0.475843, 0.520579
IMAGES_LOW, IMAGES_HIGH = 0.464974, 0.533581


def test_the_digest_seeds_the_resampling_and_nothing_else(table: CountsTable) -> None:
    """Of the same counts of other episodes, the interval over episodes differs, that over images does not."""
    other = Population(classes=4, images=40).table(400, seed=1)
    one, two = sure(table, 4)[MIOU], sure(with_counts(other, table.counts[:, 0]), 4)[MIOU]
    assert one.episodes != two.episodes
    moved = CountsTable(replace(table.track, seed=5), table.policies, table.counts, table.queries)
    assert sure(moved, 4) == sure(table, 4)  # the seed is not part of the digest, the episodes are


def test_every_figure_lies_in_its_intervals_and_is_the_metrics_own(table: CountsTable) -> None:
    scores = score(table.class_ids, table.counts[:, 0], classes=names(4))
    figures = [*scores.per_class.values(), scores.miou, scores.fb_iou, scores.episode_iou]
    found = evidence(table, 4)
    assert found.values == pytest.approx([figure.value for figure in figures], abs=1e-12)
    for figure, between in zip(figures, found.uncertainties(), strict=True):
        for interval in (between.episodes, between.images):
            assert figure.value is not None
            assert interval is not None
            assert interval.low < figure.value < interval.high


def test_four_times_the_episodes_halve_the_interval_over_episodes() -> None:
    population = Population(classes=4, images=40)
    few, many = (sure(population.table(n), 4)[MIOU].episodes for n in (400, 1600))
    assert few is not None
    assert many is not None
    assert (few.high - few.low) / (many.high - many.low) == pytest.approx(2, rel=0.25)


def test_more_episodes_of_the_same_images_do_not_make_other_images_surer() -> None:
    """Sixteen times the episodes would quarter the interval if they were independent."""
    population = Population(classes=4, images=15)
    few, many = (sure(population.table(n), 4)[MIOU].images for n in (240, 3840))
    assert few is not None
    assert many is not None
    assert (few.high - few.low) / (many.high - many.low) < 1.5


# Coverage is counted over that many samples; 95 % of them are 142, and by chance fewer than 134 one time in a thousand.
SAMPLES, LEAST = 150, 132


def truth_of(classes: int) -> npt.NDArray[np.float64]:
    """The figures with very many images."""
    many = Population(classes=classes, images=2_000, seed=10**6).table(classes * 2_000)
    values: npt.NDArray[np.float64] = Sample(many.track, classes=range(classes)).figures(many.counts[:, :1])[0]
    return values


@pytest.mark.parametrize(
    ("classes", "images", "n", "shot"),
    [
        (5, 12, 100, 1),
        pytest.param(5, 40, 200, 1, marks=pytest.mark.slow),
        pytest.param(5, 40, 200, 5, marks=pytest.mark.slow),
        pytest.param(10, 14, 300, 5, marks=pytest.mark.slow),
    ],
)
def test_with_other_images_the_truth_lies_in_the_interval_19_times_in_20(
    classes: int, images: int, n: int, shot: int
) -> None:
    """Each sample has images of its own from one population of images; the truth is that of very many."""
    truth = truth_of(classes)
    hits = np.zeros(len(FIGURES), dtype=int)
    for seed in range(SAMPLES):
        drawn = Population(classes=classes, images=images, seed=seed).table(n, shot=shot, seed=seed)
        for f, interval in enumerate(over_images(drawn, classes)):
            assert interval is not None
            hits[f] += interval.low <= truth[f - len(FIGURES)] <= interval.high
    assert hits.min() >= LEAST - 6, hits  # few images a class make it a little too sure


@pytest.mark.parametrize(("samples", "least"), [(40, 33), pytest.param(SAMPLES, LEAST, marks=pytest.mark.slow)])
def test_with_other_episodes_of_the_same_images_the_truth_lies_in_the_other_interval_19_times_in_20(
    samples: int, least: int
) -> None:
    population = Population(classes=5, images=12)
    many = population.table(15_000, seed=99, chance=99)
    truth = Sample(many.track, classes=range(5)).figures(many.counts[:, :1])[0][MIOU]
    hits = 0
    for seed in range(samples):
        interval = sure(population.table(300, seed=seed, chance=seed), 5)[MIOU].episodes
        assert interval is not None
        hits += interval.low <= truth <= interval.high
    assert hits >= least


def test_the_interval_over_episodes_says_nothing_of_other_images() -> None:
    """It misses the truth of the population far more often than 1 time in 20: the questions differ."""
    truth = truth_of(5)[MIOU]
    hits = 0
    for seed in range(20):
        interval = sure(Population(classes=5, images=12, seed=seed).table(600, seed=seed), 5)[MIOU].episodes
        assert interval is not None
        hits += interval.low <= truth <= interval.high
    assert hits < 15


def test_a_class_with_fewer_than_ten_queries_has_no_intervals_of_its_own() -> None:
    nine, ten = (sure(Population(classes=3, images=images).table(120), 3) for images in (9, 10))
    assert nine[:3] == [Uncertainty(None, None)] * 3
    assert nine[MIOU].episodes is not None  # forty episodes of each class say something about the mean
    assert nine[MIOU].images is None
    assert all(between.episodes and between.images for between in ten)


def test_a_class_with_one_episode_leaves_nothing_to_say() -> None:
    population = Population(classes=4, images=12)
    assert sure(population.table(4), 4)[MIOU] == Uncertainty(None, None)
    assert sure(population.table(11), 4)[MIOU].episodes is None  # 3 + 3 + 3 + 2 episodes: seven degrees of freedom
    assert sure(population.table(13), 4)[MIOU].episodes is not None


def test_an_undefined_figure_has_no_interval(table: CountsTable) -> None:
    rows = table.counts[:, 0].copy()
    rows[table.class_ids == 1] = [0, 0, 10_000, 10_000, 10_000]
    found = sure(with_counts(table, rows), 4)
    assert found[1] == Uncertainty(None, None)
    assert found[MIOU] == Uncertainty(None, None)
    assert found[0].episodes is not None
    assert found[FB].images is not None


def test_a_figure_that_cannot_vary_has_an_interval_of_one_point(table: CountsTable) -> None:
    rows = np.tile(np.array([5, 10, 90, 95, 100], dtype=np.int64), (400, 1))
    found = sure(with_counts(table, rows), 4)
    assert found[MIOU].images == Interval(0.5, 0.5)
    assert found[MIOU].episodes == Interval(0.5, 0.5)


def test_an_image_that_supports_twice_counts_once() -> None:
    """Supports repeat in the hsnet protocol; the interval is that of the episode with the image once."""
    population = Population(classes=3, images=20)
    once = population.table(120)
    episodes = tuple(type(e)(e.class_id, e.query, e.supports * 3) for e in once.track.episodes)
    track = replace(once.track, shot=3, episodes=episodes)
    thrice = CountsTable(track, once.policies, once.counts, once.queries)
    assert evidence(thrice, 3).errors == pytest.approx(evidence(once, 3).errors * 18 / 16, rel=1e-9)


def test_resamples_are_drawn_once_for_all_models_on_the_same_episodes() -> None:
    """Drawing takes longer than all that is done with what is drawn."""
    population = Population(classes=3, images=30)
    before = estimates._remembered.cache_info()
    for model in range(4):
        sure(population.table(90, seed=77, chance=model), 3)
    after = estimates._remembered.cache_info()
    assert (after.misses - before.misses, after.hits - before.hits) == (1, 3)


@pytest.mark.parametrize("each", [2, 3, 4, 8])
def test_no_interval_leaves_out_its_own_figure(each: int) -> None:
    """However few episodes a class has, and however unlike they are: small objects found, large ones missed."""
    classes = 60
    table = Population(classes=classes, images=30).table(classes * each)
    rows = np.array([unlike(n // classes) for n in range(classes * each)])  # classes take turns
    found = evidence(with_counts(table, rows), classes)
    low, high = np.percentile(found.resampled[:, MIOU], [2.5, 97.5])
    if each in (3, 4):
        assert not low <= found.values[MIOU] <= high  # without a correction it would
    for value, between in zip(found.values, found.uncertainties(), strict=True):
        for interval in filter(None, (between.episodes, between.images)):
            assert interval.low <= value <= interval.high


def unlike(n: int) -> list[int]:
    """Counts of an episode: every other one has a large object and a poor mask."""
    inter, union = ((9, 10), (10, 5_000 + 7 * (n % 11)))[n % 2]
    return [inter, union, 10_000 - union, 10_000 - union + inter, 10_000]


def test_with_two_episodes_a_class_miou_has_not_the_interval_of_the_mean_of_episodes() -> None:
    """A resample of two episodes is one, and of one episode the class's IoU is the episode's."""
    found = sure(Population(classes=12, images=30).table(24), 12)
    assert found[MIOU].episodes is not None
    assert found[MIOU].episodes != found[EPISODE].episodes


def test_with_two_episodes_a_class_the_truth_lies_in_the_interval_19_times_in_20() -> None:
    """Of many classes, as their resamples all lean to one side; it may be wider than it need be."""
    population = Population(classes=30, images=12)
    many = population.table(30_000, seed=99, chance=99)
    truth = Sample(many.track, classes=range(30)).figures(many.counts[:, :1])[0][MIOU]
    hits = 0
    for seed in range(60):
        interval = sure(population.table(60, seed=seed, chance=seed), 30)[MIOU].episodes
        assert interval is not None
        hits += interval.low <= truth <= interval.high
    assert hits >= 51


# --- differences ----------------------------------------------------------------------------------------


def test_a_model_does_not_differ_from_itself(table: CountsTable) -> None:
    found = evidence(table, 4).minus(evidence(table, 4)).differences()
    for difference in found:
        assert difference is not None
        assert (difference.value, difference.p_images, difference.p_episodes) == (0, 1, 1)
        assert difference.between == Uncertainty(Interval(0, 0), Interval(0, 0))


def test_a_paired_difference_is_surer_than_two_scores_side_by_side() -> None:
    """The same images are hard for both, which cancels out."""
    one = Population(classes=4, images=40).table(400, chance=1)
    two = Population(classes=4, images=40, better=0.3).table(400, chance=2)
    difference = evidence(two, 4).minus(evidence(one, 4)).differences()[MIOU]
    alone = sure(one, 4)[MIOU]
    assert difference is not None
    for paired, single in [
        (difference.between.images, alone.images),
        (difference.between.episodes, alone.episodes),
    ]:
        assert paired is not None
        assert single is not None
        assert paired.low > 0
        assert paired.high - paired.low < single.high - single.low
    assert difference.p_images is not None
    assert difference.p_images < 0.001


def test_models_that_do_not_differ_are_told_apart_one_time_in_twenty() -> None:
    wrong = 0
    for seed in range(SAMPLES):
        population = Population(classes=5, images=15, seed=seed)
        one, two = (population.table(150, seed=seed, chance=2 * seed + i) for i in (0, 1))
        difference = image_evidence(one, 5).minus(image_evidence(two, 5)).differences()[MIOU]
        assert difference is not None
        assert difference.p_images is not None
        wrong += difference.p_images < 0.05
    assert wrong <= SAMPLES - LEAST


def test_exchanging_the_models_changes_the_sign(table: CountsTable) -> None:
    other = Population(classes=4, images=40, better=0.2).table(400, chance=3)
    a, b = evidence(table, 4), evidence(other, 4)
    forth, back = a.minus(b).differences()[MIOU], b.minus(a).differences()[MIOU]
    assert forth is not None
    assert back is not None
    assert forth.value == -back.value
    assert forth.p_images == back.p_images
    assert forth.between.images is not None
    assert back.between.images is not None
    assert forth.between.images.low == pytest.approx(-back.between.images.high)


def test_the_mean_over_folds_is_surer_than_a_fold_unless_they_share_their_images() -> None:
    """The same fold four times is no more than once."""
    one = evidence(Population(classes=4, images=20).table(400), 4)
    others = [evidence(renamed(Population(classes=4, images=20, seed=s).table(400), str(s)), 4) for s in range(4)]
    alone = one.errors[MIOU]
    assert alone < Evidence.mean([one] * 4).errors[0] < 1.25 * alone  # a pair that shares both images counts twice
    assert Evidence.mean(others).errors[0] == pytest.approx(alone / 2, rel=0.3)


def renamed(table: CountsTable, prefix: str) -> CountsTable:
    episodes = tuple(
        type(e)(e.class_id, f"{prefix}:{e.query}", tuple(f"{prefix}:{s}" for s in e.supports))
        for e in table.track.episodes
    )
    track = replace(table.track, episodes=episodes)
    return CountsTable(track, table.policies, table.counts, table.queries)


def test_the_p_value_and_the_interval_agree_on_what_is_certain() -> None:
    """p is below 0.05 exactly if the interval over images leaves out 0."""
    for seed in range(40):
        population = Population(classes=2, images=12, seed=seed)
        one, two = (population.table(40, seed=seed, chance=2 * seed + i) for i in (0, 1))
        for difference in image_evidence(one, 2).minus(image_evidence(two, 2)).differences():
            assert difference is not None
            assert difference.p_images is not None
            assert difference.between.images is not None
            assert (difference.p_images < 0.05) == (
                not difference.between.images.low <= 0 <= difference.between.images.high
            )


p_values = st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=8)


@given(p_values)
def test_holm_corrects_upwards_in_order_and_leaves_out_what_was_not_tested(drawn: list[float | None]) -> None:
    corrected = holm(drawn)
    known = [(p, c) for p, c in zip(drawn, corrected, strict=True) if p is not None and c is not None]
    assert [c is None for c in corrected] == [p is None for p in drawn]
    assert all(p <= c <= 1 for p, c in known)
    ordered = sorted(known)
    assert [c for _, c in ordered] == sorted(c for _, c in ordered)
    if ordered:
        assert ordered[0][1] == min(1.0, len(ordered) * ordered[0][0])


def test_holm_on_numbers_worked_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, None, 0.005]) == pytest.approx([0.03, 0.06, 0.06, None, 0.02])

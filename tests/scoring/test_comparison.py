"""Two models compared, and one model's stability."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from drawn import Population, names

from fssbench.base.errors import ResultError
from fssbench.scoring.comparison import Comparison, Pair, compare, say
from fssbench.scoring.counts import CountsTable
from fssbench.scoring.stability import stability

POLICY = "original/ignore"


def pair(*, better: float = 0.0, images: int = 40, n: int = 400, classes: int = 4, seed: int = 0) -> Pair:
    """The same episodes by two models, the second better."""
    tables = [
        Population(classes=classes, images=images, seed=seed, better=b).table(n, seed=seed, chance=chance)
        for chance, b in enumerate((0.0, better))
    ]
    return Pair(first=tables[0], second=tables[1], classes=names(classes))


def test_a_better_model_is_better_in_every_figure_and_the_sentence_says_so() -> None:
    found = compare([pair(better=0.4)], policy=POLICY)
    for difference in (found.miou, found.fb_iou, found.episode_iou):
        assert difference is not None
        assert difference.value < 0
    assert found.miou is not None
    assert say(found, "old", "new") == (
        f"new is {-100 * found.miou.value:.2f} points of mIoU better than old, and with other images it would very "
        "likely be too (p < 0.001 over other images)."
    )


def test_a_difference_that_may_be_luck_is_called_that() -> None:
    found = compare([pair(better=0.02, n=120)], policy=POLICY)
    assert "could well be the other way round (p = 0." in say(found, "old", "new")


def test_without_enough_images_the_sentence_speaks_of_episodes_only() -> None:
    sentence = say(compare([pair(better=0.4, images=8)], policy=POLICY), "old", "new")
    assert "with other episodes of these images it would be too (p < 0.001 over other episodes); other im" in sentence


def test_with_too_few_episodes_nothing_is_claimed() -> None:
    assert say(compare([pair(better=0.4, n=4)], policy=POLICY), "old", "new").endswith(
        "but there are too few episodes to say how sure that is."
    )


def test_the_same_counts_are_the_same() -> None:
    one = pair().first
    found = compare([Pair(first=one, second=one, classes=names(4))], policy=POLICY)
    assert say(found, "a", "b") == "a and b have the same mIoU."


def test_an_undefined_class_is_named() -> None:
    drawn = pair()
    counts = drawn.second.counts.copy()
    counts[drawn.second.class_ids == 2] = [0, 0, 9, 9, 9]
    second = CountsTable(drawn.second.track, drawn.second.policies, counts, drawn.second.queries)
    found = compare([Pair(first=drawn.first, second=second, classes=names(4))], policy=POLICY)
    assert say(found, "a", "b") == "a and b cannot be compared: mIoU is undefined for class 2."
    assert [one.name for one in found.per_class] == ["class 0", "class 1", "class 3"]


def test_p_values_of_classes_are_corrected_for_all_folds_together() -> None:
    folds = [pair(better=0.2, seed=seed) for seed in range(3)]
    found = compare(folds, policy=POLICY)
    assert len(found.per_class) == 12
    smallest = min(found.per_class, key=lambda one: one.difference.p_images or 0)
    assert smallest.difference.p_images is not None
    assert smallest.p_corrected == pytest.approx(min(1, 12 * smallest.difference.p_images))
    assert all((one.p_corrected or 0) >= (one.difference.p_images or 0) for one in found.per_class)


def test_the_overall_difference_is_the_mean_of_the_folds() -> None:
    found = compare([pair(better=0.2, seed=seed) for seed in range(3)], policy=POLICY)
    values = [track.value for track in found.tracks if track is not None]
    assert found.miou is not None
    assert found.miou.value == pytest.approx(np.mean(values), abs=1e-12)


def test_other_episodes_are_refused_with_both_digests() -> None:
    one, two = pair(), pair(seed=1)
    with pytest.raises(ResultError) as refused:
        compare([Pair(first=one.first, second=two.first, classes=names(4))], policy=POLICY)
    assert one.first.track.digest[:12] in str(refused.value)
    assert two.first.track.digest[:12] in str(refused.value)


def test_a_policy_that_one_lacks_is_refused() -> None:
    with pytest.raises(ResultError, match="not scored under model/no-ignore, it was under original/ignore"):
        compare([pair()], policy="model/no-ignore")


def test_a_comparison_is_plain_data() -> None:
    from dataclasses import asdict

    found = compare([pair()], policy=POLICY)
    assert isinstance(found, Comparison)
    assert "NaN" not in json.dumps(asdict(found))


# --- stability ------------------------------------------------------------------------------------------


def table(n: int, *, images: int = 200, classes: int = 5) -> CountsTable:
    return Population(classes=classes, images=images).table(n)


def test_what_is_predicted_for_samples_is_what_samples_do() -> None:
    """Samples of 200 episodes drawn anew move as much as one result of 2,000 predicts, or a little less."""
    population = Population(classes=5, images=200)
    found = stability([(population.table(2_000), names(5))], policy=POLICY, sizes=[200], sample=200)
    drawn = [
        stability([(population.table(200, seed=s, chance=s), names(5))], policy=POLICY, sizes=[200], sample=200).miou
        for s in range(1, 41)
    ]
    moved = np.std([value for value in drawn if value is not None], ddof=1)
    assert 0.6 < moved / found.predicted[0].deviation < 1.3


def test_ten_times_the_episodes_move_about_a_third_as_much() -> None:
    found = stability([(table(1_000), names(5))], policy=POLICY, sizes=[1_000, 10_000], sample=1_000)
    few, many = found.predicted
    assert few.deviation / many.deviation == pytest.approx(math.sqrt(10))
    assert few.range_of_ten / few.deviation == pytest.approx(3.078)
    assert found.needed(1.96 * few.deviation) == pytest.approx(1_000, abs=2)
    assert found.needed(0.98 * few.deviation) == pytest.approx(4_000, abs=4)


def test_samples_are_the_consecutive_parts_of_the_result() -> None:
    whole = table(1_000)
    (observed,) = stability([(whole, names(5))], policy=POLICY, sizes=[100], sample=300).observed
    assert observed is not None
    assert len(observed.values) == 3  # the last hundred are left over
    first = stability([(part_of(whole, 300), names(5))], policy=POLICY, sizes=[100], sample=300).miou
    assert observed.values[0] == pytest.approx(first, abs=1e-12)
    assert observed.range == max(observed.values) - min(observed.values)


def part_of(whole: CountsTable, n: int) -> CountsTable:
    return CountsTable(whole.track.first(n), whole.policies, whole.counts[:n], whole.queries[:n])


def test_samples_that_lack_a_class_are_not_looked_at() -> None:
    assert stability([(table(20), names(5))], policy=POLICY, sizes=[100], sample=4).observed == (None,)


def test_with_too_few_episodes_nothing_is_predicted() -> None:
    found = stability([(table(5), names(5))], policy=POLICY, sizes=[100], sample=4)
    assert found.predicted == ()
    assert found.needed(0.01) is None
    assert found.images is None


def test_the_mean_of_folds_is_stabler_than_a_fold() -> None:
    folds = [(Population(classes=5, images=50, seed=s).table(500, seed=s), names(5)) for s in range(4)]
    one = stability(folds[:1], policy=POLICY, sizes=[500], sample=100).predicted[0]
    four = stability(folds, policy=POLICY, sizes=[500], sample=100).predicted[0]
    assert one.deviation / four.deviation == pytest.approx(2, rel=0.3)

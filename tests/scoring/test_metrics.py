"""The laws of counting and scoring masks."""

from __future__ import annotations

import math
from dataclasses import astuple
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import jaccard_score
from strategies import Mask, labelled, mask_groups, masks

from fssbench.base.errors import (
    CountsError,
    MaskShapeError,
    MaskTypeError,
    MaskValueError,
    MetricError,
    OverlapError,
    UnknownClassError,
)
from fssbench.scoring.metrics import (
    Counts,
    Scores,
    check_counts,
    count,
    counts_of,
    impossible,
    score,
    split_ignore,
    tally,
)


def counts_of_pairs(pairs: list[tuple[Mask, Mask]]) -> npt.NDArray[np.int64]:
    return np.array([astuple(count(p, t)) for p, t in pairs], dtype=np.int64).reshape(-1, 5)


def score_of(class_ids: list[int], counts: npt.NDArray[np.int64], classes: list[int] | None = None) -> Scores:
    wanted = sorted(set(class_ids)) if classes is None else classes
    return score(np.array(class_ids, dtype=np.int64), counts, classes={c: f"class {c}" for c in wanted})


episodes = st.lists(st.tuples(st.integers(0, 3), mask_groups(2)), min_size=1, max_size=8)


# --- counting -------------------------------------------------------------------------------------------


@given(labelled())
def test_counts_are_what_counting_pixels_one_by_one_gives(group: tuple[Mask, ...]) -> None:
    prediction, truth, ignore = group
    inter_f = union_f = inter_b = union_b = valid = 0
    for p, t, i in zip(prediction.flat, truth.flat, ignore.flat, strict=True):
        if i:
            continue
        valid += 1
        inter_f += int(p and t)
        union_f += int(p or t)
        inter_b += int(not p and not t)
        union_b += int(not p or not t)
    assert count(prediction, truth, ignore=ignore) == Counts(inter_f, union_f, inter_b, union_b, valid)


@given(labelled())
def test_foreground_and_background_share_the_scored_pixels(group: tuple[Mask, ...]) -> None:
    """Union of one and intersection of the other are all scored pixels."""
    prediction, truth, ignore = group
    counts = count(prediction, truth, ignore=ignore)
    assert counts.union_f + counts.inter_b == counts.union_b + counts.inter_f == counts.valid == int((~ignore).sum())


@given(labelled())
def test_prediction_and_truth_may_change_places(group: tuple[Mask, ...]) -> None:
    """On the same scored pixels; as a truth, the prediction must not claim ignored ones."""
    prediction, truth, ignore = group
    assert count(prediction, truth, ignore=ignore) == count(truth, prediction & ~ignore, ignore=ignore)


@given(labelled())
def test_inverting_both_masks_swaps_foreground_and_background(group: tuple[Mask, ...]) -> None:
    prediction, truth, ignore = group
    counts = count(prediction, truth, ignore=ignore)
    inverted = count(~prediction, ~truth & ~ignore, ignore=ignore)
    assert (counts.inter_f, counts.union_f) == (inverted.inter_b, inverted.union_b)
    assert (counts.inter_b, counts.union_b) == (inverted.inter_f, inverted.union_f)


@given(labelled(), st.data())
def test_ignored_pixels_can_hold_any_prediction(group: tuple[Mask, ...], data: st.DataObject) -> None:
    prediction, truth, ignore = group
    other = data.draw(masks(prediction.shape))
    assert count(np.where(ignore, other, prediction), truth, ignore=ignore) == count(prediction, truth, ignore=ignore)


@given(labelled())
def test_ignoring_pixels_equals_cutting_them_out(group: tuple[Mask, ...]) -> None:
    """The scored pixels alone, in a row, have the same counts."""
    prediction, truth, ignore = group
    assume(not ignore.all())
    rest = [mask[~ignore][None] for mask in (prediction, truth)]
    assert count(rest[0], rest[1]) == count(prediction, truth, ignore=ignore)


@given(labelled())
def test_one_pass_gives_the_counts_of_both_treatments_of_ignored_pixels(group: tuple[Mask, ...]) -> None:
    """Excluded, they are left out; included, they are background of the truth."""
    prediction, truth, ignore = group
    tallied = tally(prediction, truth, ignore=ignore)
    assert Counts(*counts_of(tallied).tolist()) == count(prediction, truth, ignore=ignore)
    assert Counts(*counts_of(tallied, exclude_ignored=False).tolist()) == count(prediction, truth)
    assert tallied.sum() == truth.size


@given(mask_groups(2))
def test_ignoring_nothing_is_not_ignoring(pair: tuple[Mask, ...]) -> None:
    prediction, truth = pair
    assert count(prediction, truth, ignore=np.zeros_like(truth)) == count(prediction, truth)


@given(labelled(), st.data())
def test_counts_of_the_parts_of_an_image_add_up_to_those_of_the_whole(
    group: tuple[Mask, ...], data: st.DataObject
) -> None:
    height = group[0].shape[0]
    assume(height > 1)
    cut = data.draw(st.integers(1, height - 1))
    (p1, t1, i1), (p2, t2, i2) = ([m[:cut] for m in group], [m[cut:] for m in group])
    prediction, truth, ignore = group
    assert count(p1, t1, ignore=i1) + count(p2, t2, ignore=i2) == count(prediction, truth, ignore=ignore)


@given(labelled(), st.integers(0, 2**32 - 1))
def test_counts_do_not_depend_on_where_pixels_are(group: tuple[Mask, ...], seed: int) -> None:
    """Shuffling the pixels of all masks alike changes nothing."""
    prediction, truth, ignore = group
    order = np.random.default_rng(seed).permutation(truth.size)
    shuffled = [mask.reshape(-1)[order].reshape(mask.shape) for mask in group]
    assert count(shuffled[0], shuffled[1], ignore=shuffled[2]) == count(prediction, truth, ignore=ignore)


@given(mask_groups(2), st.data())
def test_mending_a_wrong_pixel_never_lowers_an_iou(pair: tuple[Mask, ...], data: st.DataObject) -> None:
    prediction, truth = pair
    wrong = np.flatnonzero(prediction != truth)
    assume(len(wrong))
    mended = prediction.copy()
    mended.flat[data.draw(st.sampled_from(wrong.tolist()))] ^= True
    before, after = count(prediction, truth), count(mended, truth)
    assert after.inter_f * before.union_f >= before.inter_f * after.union_f
    assert after.inter_b * before.union_b >= before.inter_b * after.union_b


@given(labelled(), st.data())
def test_mending_a_pixel_never_lowers_a_fold_s_figure(group: tuple[Mask, ...], data: st.DataObject) -> None:
    """Whatever the other episodes are, and on scored pixels: IoU, mIoU, FB-IoU and the mean over episodes."""
    prediction, truth, ignore = group
    wrong = np.flatnonzero((prediction != truth) & ~ignore)
    assume(len(wrong))
    mended = prediction.copy()
    mended.flat[data.draw(st.sampled_from(wrong.tolist()))] ^= True
    others = data.draw(st.lists(mask_groups(2), max_size=3))
    classes = [0, *data.draw(st.lists(st.integers(0, 1), min_size=len(others), max_size=len(others)))]
    rows = counts_of_pairs([(p, t) for p, t in others])

    def scores(predicted: Mask) -> Scores:
        first = np.array([astuple(count(predicted, truth, ignore=ignore))], dtype=np.int64)
        return score_of(classes, np.concatenate([first, rows]))

    before, after = scores(prediction), scores(mended)
    for a, b in [
        (before.miou, after.miou),
        (before.fb_iou, after.fb_iou),
        (before.episode_iou, after.episode_iou),
        (before.per_class[0], after.per_class[0]),
    ]:
        assert a.value is None or b.value is None or b.value >= a.value - 1e-15


@given(st.lists(mask_groups(2).map(lambda pair: count(*pair)), min_size=3, max_size=3))
def test_merging_counts_is_associative_and_commutative_with_an_identity(drawn: list[Counts]) -> None:
    a, b, c = drawn
    assert (a + b) + c == a + (b + c)
    assert a + b == b + a
    assert a + Counts() == Counts() + a == a


@given(labelled())
def test_foreground_iou_is_scikit_learn_s_jaccard_score(group: tuple[Mask, ...]) -> None:
    """On the scored pixels of one episode, wherever there is foreground, the definitions coincide."""
    prediction, truth, ignore = group
    counts = count(prediction, truth, ignore=ignore)
    assume(counts.union_f)
    theirs = jaccard_score(truth.ravel(), prediction.ravel(), sample_weight=(~ignore).ravel().astype(float))
    assert counts.inter_f / counts.union_f == pytest.approx(theirs, abs=1e-15)


@given(masks(), st.sampled_from([np.uint8, np.int64, np.int32]))
def test_integers_zero_and_one_are_as_good_as_bool(mask: Mask, dtype: type[np.generic]) -> None:
    assert count(mask.astype(dtype), mask) == count(mask, mask)


NONE, ALL = np.zeros((2, 2), bool), np.ones((2, 2), bool)


@pytest.mark.parametrize(
    ("prediction", "truth", "ignore", "error", "message"),
    [
        (np.zeros((2, 3), bool), np.zeros((3, 2), bool), None, MaskShapeError, r"one shape, got \(2, 3\), \(3, 2\)"),
        (NONE, NONE, np.zeros((1, 2), bool), MaskShapeError, r"one shape"),
        (np.zeros((2, 2, 1), bool), NONE, None, MaskShapeError, r"prediction must have shape \(H, W\)"),
        (np.zeros((0, 2), bool), np.zeros((0, 2), bool), None, MaskShapeError, r"have pixels, got shape \(0, 2\)"),
        (np.zeros((2, 2)), NONE, None, MaskTypeError, "prediction must be bool or integer, got float64"),
        (NONE, np.full((2, 2), 255, np.uint8), None, MaskValueError, r"truth must hold only 0 and 1, found \[255\]"),
        (np.full((2, 2), -1), NONE, None, MaskValueError, r"prediction must hold only 0 and 1, found \[-1\]"),
        (NONE, ALL, ALL, OverlapError, "4 pixels of the truth are both foreground and ignored"),
    ],
)
def test_what_is_no_mask_is_refused_by_an_error_of_its_own(
    prediction: npt.NDArray[np.generic],
    truth: npt.NDArray[np.generic],
    ignore: npt.NDArray[np.generic] | None,
    error: type[MetricError],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        count(prediction, truth, ignore=ignore)


def test_a_label_map_splits_into_foreground_and_ignored() -> None:
    label = np.array([[0, 1, 255], [255, 1, 0]], dtype=np.uint8)
    foreground, ignored = split_ignore(label, ignore_label=255)
    assert foreground.tolist() == [[False, True, False], [False, True, False]]
    assert ignored.tolist() == [[False, False, True], [True, False, False]]


def test_a_label_map_with_other_values_is_refused() -> None:
    with pytest.raises(MaskValueError, match=r"found \[7\]"):
        split_ignore(np.array([[0, 7, 255]], dtype=np.uint8), ignore_label=255)
    with pytest.raises(MaskTypeError, match="must hold integers"):
        split_ignore(np.zeros((1, 1)), ignore_label=255)
    with pytest.raises(MetricError, match="must differ from background 0 and foreground 1"):
        split_ignore(np.zeros((1, 1), np.uint8), ignore_label=1)


# --- scoring --------------------------------------------------------------------------------------------


def test_miou_is_the_ratio_of_sums_and_not_the_mean_of_ratios() -> None:
    """Two episodes of a class, one large and right, one small and wrong: 90/100 and 1/10 give 91/110."""
    counts = np.array([[90, 100, 0, 10, 100], [1, 10, 90, 99, 100]], dtype=np.int64)
    assert score_of([0, 0], counts).miou.value == 91 / 110


def test_the_mean_over_episodes_is_another_figure_and_has_its_own_name() -> None:
    """The same two episodes: (90/100 + 1/10) / 2."""
    counts = np.array([[90, 100, 0, 10, 100], [1, 10, 90, 99, 100]], dtype=np.int64)
    assert score_of([0, 0], counts).episode_iou.value == 0.5


def test_an_episode_with_nothing_to_find_leaves_the_mean_over_episodes_undefined() -> None:
    counts = np.array([[90, 100, 0, 10, 100], [0, 0, 100, 100, 100]], dtype=np.int64)
    result = score_of([0, 0], counts)
    assert result.miou.value == 0.9
    assert result.episode_iou.value is None
    assert result.episode_iou.reason == "1 episodes have no foreground in truth or prediction"


@given(episodes)
def test_fb_iou_is_the_same_for_both_masks_inverted(drawn: list[tuple[int, tuple[Mask, ...]]]) -> None:
    class_ids = [c for c, _ in drawn]
    result = score_of(class_ids, counts_of_pairs([(p, t) for _, (p, t) in drawn]))
    inverted = score_of(class_ids, counts_of_pairs([(~p, ~t) for _, (p, t) in drawn]))
    assert (result.fb_iou.value is None) == (inverted.fb_iou.value is None)
    assert result.fb_iou.value == inverted.fb_iou.value


@given(st.lists(st.tuples(st.integers(0, 2), labelled()), min_size=1, max_size=6))
def test_figures_agree_with_plain_python_that_counts_pixel_by_pixel(drawn: list[tuple[int, tuple[Mask, ...]]]) -> None:
    """Also with ignored pixels, and without numpy, sums of arrays or shared code."""
    rows = [astuple(count(p, t, ignore=i)) for _, (p, t, i) in drawn]
    result = score_of([c for c, _ in drawn], np.array(rows, dtype=np.int64))
    per_class: dict[int, Fraction | None] = {}
    for class_id in sorted({c for c, _ in drawn}):
        inter, union = 0, 0
        for c, (p, t, i) in drawn:
            for predicted, true, ignored in zip(p.flat, t.flat, i.flat, strict=True):
                if c == class_id and not ignored:
                    inter += bool(predicted and true)
                    union += bool(predicted or true)
        per_class[class_id] = Fraction(inter, union) if union else None
        found = result.per_class[class_id].value
        assert found == (None if per_class[class_id] is None else float(per_class[class_id] or 0))
    values = [iou for iou in per_class.values() if iou is not None]
    if len(values) < len(per_class):
        assert result.miou.value is None
    else:
        assert result.miou.value == pytest.approx(float(sum(values, Fraction(0)) / len(values)), abs=1e-15)


def test_a_million_episodes_of_16_million_pixels_do_not_overflow() -> None:
    pixels = 4096 * 4096
    half, third = pixels // 2, pixels // 3
    row = np.array([third, half, pixels - half, pixels - third, pixels], dtype=np.int64)
    counts = np.broadcast_to(row, (1_000_000, 5))
    result = score_of([0] * 1_000_000, np.ascontiguousarray(counts))
    assert result.miou.value == third / half
    assert result.fb_iou.value == (third / half + (pixels - half) / (pixels - third)) / 2


def test_fb_iou_sums_over_all_classes_before_it_divides() -> None:
    counts = np.array([[10, 20, 80, 90, 100], [30, 30, 70, 70, 100]], dtype=np.int64)
    assert score_of([0, 5], counts).fb_iou.value == (40 / 50 + 150 / 160) / 2


@given(episodes)
def test_figures_agree_with_a_computation_over_sets_of_pixels(drawn: list[tuple[int, tuple[Mask, ...]]]) -> None:
    class_ids = [c for c, _ in drawn]
    result = score_of(class_ids, counts_of_pairs([(p, t) for _, (p, t) in drawn]))
    pixels = [
        (c, n, {tuple(x) for x in np.argwhere(p)}, {tuple(x) for x in np.argwhere(t)}, p.size)
        for n, (c, (p, t)) in enumerate(drawn)
    ]
    ious = []
    for class_id in sorted(set(class_ids)):
        inter = sum(len(p & t) for c, _, p, t, _ in pixels if c == class_id)
        union = sum(len(p | t) for c, _, p, t, _ in pixels if c == class_id)
        ious.append(inter / union if union else None)
        assert result.per_class[class_id].value == ious[-1]
    defined = [iou for iou in ious if iou is not None]
    if len(defined) == len(ious):
        assert result.miou.value == pytest.approx(sum(defined) / len(defined), abs=1e-15)
    else:
        assert result.miou.value is None


@given(episodes, st.integers(0, 2**32 - 1))
def test_the_order_of_episodes_does_not_matter(drawn: list[tuple[int, tuple[Mask, ...]]], seed: int) -> None:
    """Every figure is a function of sums of integers, so it is the same to the last bit."""
    class_ids, counts = [c for c, _ in drawn], counts_of_pairs([(p, t) for _, (p, t) in drawn])
    order = np.random.default_rng(seed).permutation(len(drawn))
    assert score_of([class_ids[i] for i in order], counts[order]) == score_of(class_ids, counts)


@given(episodes)
def test_asking_every_episode_twice_changes_no_value(drawn: list[tuple[int, tuple[Mask, ...]]]) -> None:
    class_ids, counts = [c for c, _ in drawn], counts_of_pairs([(p, t) for _, (p, t) in drawn])
    once, twice = score_of(class_ids, counts), score_of(class_ids * 2, np.concatenate([counts, counts]))
    assert (once.miou.value, once.fb_iou.value) == (twice.miou.value, twice.fb_iou.value)
    assert twice.miou.n_episodes == 2 * once.miou.n_episodes


@given(episodes)
def test_every_figure_lies_between_0_and_1_or_says_why_it_is_none(drawn: list[tuple[int, tuple[Mask, ...]]]) -> None:
    result = score_of([c for c, _ in drawn], counts_of_pairs([(p, t) for _, (p, t) in drawn]))
    for figure in (result.miou, result.fb_iou, result.episode_iou, *result.per_class.values()):
        assert (figure.value is None) == (figure.reason is not None)
        assert figure.value is None or 0 <= figure.value <= 1


@given(episodes)
def test_miou_lies_between_the_worst_and_the_best_class(drawn: list[tuple[int, tuple[Mask, ...]]]) -> None:
    result = score_of([c for c, _ in drawn], counts_of_pairs([(p, t) for _, (p, t) in drawn]))
    values = [figure.value for figure in result.per_class.values() if figure.value is not None]
    assume(result.miou.value is not None)
    assert result.miou.value is not None
    assert min(values) - 1e-15 <= result.miou.value <= max(values) + 1e-15


@given(st.lists(st.tuples(st.integers(0, 3), masks()), min_size=1, max_size=6))
def test_a_perfect_prediction_scores_1_wherever_there_is_something_to_score(drawn: list[tuple[int, Mask]]) -> None:
    result = score_of([c for c, _ in drawn], counts_of_pairs([(t, t) for _, t in drawn]))
    for class_id, figure in result.per_class.items():
        shown = any(t.any() for c, t in drawn if c == class_id)
        assert figure.value == (1.0 if shown else None)


@given(st.lists(st.tuples(st.integers(0, 3), masks()), min_size=1, max_size=6))
def test_the_inverse_of_the_truth_scores_0(drawn: list[tuple[int, Mask]]) -> None:
    result = score_of([c for c, _ in drawn], counts_of_pairs([(~t, t) for _, t in drawn]))
    assert result.miou.value == result.fb_iou.value == 0


def test_a_class_without_episodes_leaves_miou_undefined_and_is_named() -> None:
    result = score_of([0], np.array([[1, 2, 3, 4, 5]], dtype=np.int64), classes=[0, 7])
    assert result.per_class[0].value == 0.5
    assert result.per_class[7].reason == "no episodes"
    assert result.miou.value is None
    assert result.miou.reason == "undefined for class 7 (no episodes)"
    assert result.fb_iou.value == pytest.approx((1 / 2 + 3 / 4) / 2)


def test_of_many_classes_without_episodes_some_are_named_and_the_rest_counted() -> None:
    result = score_of([0], np.array([[1, 2, 3, 4, 5]], dtype=np.int64), classes=list(range(240)))
    assert result.miou.reason is not None
    assert result.miou.reason.startswith("undefined for class 1 (no episodes), class 2 (no episodes)")
    assert result.miou.reason.endswith("class 20 (no episodes) and 219 more classes")


def test_without_any_background_fb_iou_is_undefined() -> None:
    full = np.ones((2, 2), bool)
    result = score_of([0], counts_of_pairs([(full, full)]))
    assert result.miou.value == 1
    assert result.fb_iou.value is None
    assert result.fb_iou.reason == "no background in truth or prediction"


def test_no_episode_at_all_leaves_everything_undefined() -> None:
    result = score_of([], np.zeros((0, 5), np.int64), classes=[3])
    assert result.miou.value is None
    assert result.fb_iou.value is None
    assert result.fb_iou.reason == "no episodes"


def test_sums_beyond_32_bits_are_exact() -> None:
    big = 3_000_000_000
    counts = np.array([[big, big, 0, 0, big], [1, big, 0, big - 1, big]], dtype=np.int64)
    assert score_of([0, 0], counts).miou.value == (big + 1) / (2 * big)
    assert math.isclose(score_of([0, 0], counts).miou.value or 0, 0.5, abs_tol=1e-9)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ([2, 1, 0, 1, 2], "inter_f=2, union_f=1"),
        ([-1, 1, 0, 2, 1], "inter_f=-1"),
        ([1, 2, 3, 4, 6], "valid=6"),
        ([1, 2, 3, 5, 5], "union_b=5"),
    ],
)
def test_counts_that_no_masks_can_have_are_refused(row: list[int], reason: str) -> None:
    good = [1, 2, 3, 4, 5]
    assert impossible(np.array([good, row], dtype=np.int64)).tolist() == [False, True]
    with pytest.raises(CountsError, match=f"1 of 2 rows .* row 1: .*{reason}"):
        check_counts(np.array([good, row], dtype=np.int64))


def test_counts_of_another_shape_or_type_are_refused() -> None:
    with pytest.raises(MetricError, match=r"int64 of shape \(N, 5\), got float64"):
        check_counts(np.zeros((1, 5)))  # type: ignore[arg-type]
    with pytest.raises(MetricError, match=r"got int64 of shape \(1, 4\)"):
        check_counts(np.zeros((1, 4), np.int64))


def test_episodes_of_a_class_that_is_not_scored_are_refused() -> None:
    with pytest.raises(UnknownClassError, match=r"classes \[9\], which are not among the 1"):
        score_of([9], np.array([[1, 2, 3, 4, 5]], dtype=np.int64), classes=[0])
    with pytest.raises(MetricError, match="a fold must have classes"):
        score_of([], np.zeros((0, 5), np.int64), classes=[])
    with pytest.raises(MetricError, match=r"class_ids must have shape \(1,\)"):
        score_of([1, 2], np.array([[1, 2, 3, 4, 5]], dtype=np.int64))

"""The laws of what is trained on: no novel class, no held-out class, balance, and the same draws everywhere."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fssbench.base.errors import PoolError, UsageError
from fssbench.episodes.benchmarks import BENCHMARKS, COCO_20I, FSS_1000, PASCAL_5I, Benchmark
from fssbench.episodes.epochs import epoch_episodes, epoch_images, validation_track
from fssbench.episodes.streamed import draw_episodes, shuffle
from fssbench.episodes.strict import HashStream
from fssbench.episodes.training import (
    Queries,
    TrainingLists,
    TrainingPolicy,
    base_classes,
    derive_training,
    held_out_classes,
)

Areas = dict[str, dict[int, int]]

SMALL = Benchmark(
    name="small",
    alias="folder",
    title="Small",
    n_classes=8,
    class_names=tuple("abcdefgh"),
    folds=((0, 4), (1, 5)),
    published=False,
)
"""Eight classes, of which fold 0 trains six."""

queries = st.sampled_from(["class-uniform", "image-uniform", "pair-uniform"])
policies = st.builds(
    TrainingPolicy,
    drop_novel=st.booleans(),
    min_pixels=st.sampled_from([1, 50]),
    queries=queries,
    held_out=st.sampled_from([0.0, 0.2, 0.5]),
    query_pixels=st.sampled_from([None, 1]),
    all_images=st.booleans(),
)


@st.composite
def areas(draw: st.DrawFn) -> Areas:
    """What some images show: enough of every base class, and anything beside it."""
    pixels = st.integers(1, 100)
    shown = st.dictionaries(st.integers(0, 7), pixels, max_size=3)
    images = {f"base/{c}/{n}": {c: 100} for c in (1, 2, 3, 5, 6, 7) for n in range(4)}
    others = draw(st.lists(shown.filter(bool), max_size=12))
    return images | {f"other/{n}": found for n, found in enumerate(others)}


def lists_of(shown: Areas, policy: TrainingPolicy, *, fold: int = 0) -> TrainingLists:
    return derive_training(shown, benchmark=SMALL, fold=fold, policy=policy)


def many(queries: Queries = "class-uniform", **policy: object) -> TrainingLists:
    """Ten images of every base class of the small benchmark's fold 0, and some of two classes."""
    shown: Areas = {f"{c}/{n}": {c: 10 * n + 1} for c in range(8) for n in range(10)}
    shown |= {f"both/{n}": {1: 80, 2: 80} for n in range(10)}
    return lists_of(shown, TrainingPolicy(queries=queries, **policy))  # type: ignore[arg-type]


# --- which classes, which images ------------------------------------------------------------------------


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda b: b.name)
def test_novel_base_and_validation_classes_are_all_classes_each_once(benchmark: Benchmark) -> None:
    for fold, novel in enumerate(benchmark.folds):
        base = base_classes(benchmark, fold)
        assert sorted((*novel, *base, *benchmark.validation_classes)) == list(range(benchmark.n_classes))


def test_about_a_fifth_of_the_base_classes_is_held_out_and_fss_has_its_own() -> None:
    assert len(held_out_classes(COCO_20I, 0, 0.2)) == 12
    assert len(held_out_classes(PASCAL_5I, 2, 0.2)) == 3
    assert set(held_out_classes(COCO_20I, 1, 0.2)) < set(base_classes(COCO_20I, 1))
    assert held_out_classes(COCO_20I, 0, 0.0) == held_out_classes(FSS_1000, 0, 0.0) == ()
    assert held_out_classes(FSS_1000, 0, 0.2) == tuple(range(520, 760))
    assert base_classes(FSS_1000, 0) == tuple(range(520))


def test_the_held_out_classes_are_the_same_on_every_machine() -> None:
    assert held_out_classes(PASCAL_5I, 0, 0.2) == (5, 6, 11)
    assert held_out_classes(PASCAL_5I, 0, 0.001) == (5,)
    assert held_out_classes(COCO_20I, 0, 0.2) == (2, 17, 23, 27, 30, 31, 41, 43, 46, 58, 62, 71)


@given(areas(), policies)
def test_no_image_serves_training_and_validation_and_every_one_shows_its_class(
    shown: Areas, policy: TrainingPolicy
) -> None:
    """Pools hold images with enough pixels of their class; those of held-out classes are no other's."""
    lists = lists_of(shown, policy)
    assert not set(lists.classes) & set(lists.held_out)
    assert set(lists.classes) | set(lists.held_out) == set(lists.base) == {1, 2, 3, 5, 6, 7}
    apart = {i for ids in lists.validation.values() for i in ids}
    assert not apart & set(lists.images)
    asked = policy.query_pixels or policy.min_pixels
    assert all(shown[i][c] >= asked for c, ids in lists.asked.items() for i in ids)
    assert {i for ids in lists.asked.values() for i in ids} == {i for ids in lists.pools.values() for i in ids}
    assert set(lists.images) == {*lists.shown, *lists.unclassed}
    assert not set(lists.unclassed) & (apart | lists.shown.keys())
    if policy.all_images and not policy.drop_novel:
        assert {*lists.images, *apart} == shown.keys()
    for class_id, ids in (*lists.pools.items(), *lists.validation.items()):
        assert all(shown[i][class_id] >= policy.min_pixels for i in ids)
    if policy.drop_novel:
        assert not any({0, 4} & shown[i].keys() for i in (*lists.images, *apart))
        assert lists.dropped == sum(bool({0, 4} & found.keys()) for found in shown.values())


def test_an_image_list_leaves_the_rest_out() -> None:
    shown: Areas = {f"{n}": {1: 10} for n in range(6)}
    lists = derive_training(shown, benchmark=SMALL, fold=0, policy=TrainingPolicy(), images={"2", "4"})
    assert lists.images == ("2", "4")


def test_of_a_common_class_that_is_held_out_most_images_stay() -> None:
    (held,) = held_out_classes(SMALL, 0, 0.1)
    other = next(c for c in base_classes(SMALL, 0) if c != held)
    shown: Areas = {f"{n:03d}": {held: 10, other: 10} for n in range(200)}
    lists = lists_of(shown, TrainingPolicy(held_out=0.1))
    assert len(lists.validation[held]) == 50
    assert len(lists.pools[other]) == 150


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"min_pixels": 0}, "min_pixels must be"),
        ({"query_pixels": 0}, "query_pixels must be"),
        ({"query_pixels": 2}, "query_pixels 2 is above min_pixels, 1; draw queries image-uniform or pair-uniform"),
        ({"held_out": 1.0}, "held_out must be"),
    ],
)
def test_a_policy_that_means_nothing_is_refused(changes: dict[str, float], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        TrainingPolicy(**changes)  # type: ignore[arg-type]


# --- episodes -------------------------------------------------------------------------------------------


@given(areas(), policies, st.integers(0, 3), st.integers(1, 2), st.integers(1, 40))
def test_episodes_are_of_trained_classes_and_never_show_an_image_twice(
    shown: Areas, policy: TrainingPolicy, epoch: int, shot: int, n: int
) -> None:
    """Novel and held-out classes never occur; query and supports are distinct images of the episode's class."""
    lists = lists_of(shown, policy)
    for episode in epoch_episodes(lists, seed=0, epoch=epoch, shot=shot, n=n):
        ids = {episode.query, *episode.supports}
        assert len(ids) == 1 + shot
        assert episode.class_id in lists.classes
        assert episode.query in lists.asked[episode.class_id]
        assert set(episode.supports) <= set(lists.pools[episode.class_id])


@given(queries, st.integers(1, 30), st.integers(1, 30))
def test_a_shorter_epoch_is_the_beginning_of_a_longer_one(queries: Queries, n: int, more: int) -> None:
    """The first n episodes do not depend on how many are drawn."""
    lists = many(queries)
    assert epoch_episodes(lists, seed=1, epoch=2, shot=1, n=n + more)[:n] == epoch_episodes(
        lists, seed=1, epoch=2, shot=1, n=n
    )


@pytest.mark.parametrize("queries", ["class-uniform", "image-uniform", "pair-uniform"])
def test_epochs_and_seeds_differ_and_nothing_else_decides(queries: Queries) -> None:
    drawn = {
        (seed, epoch): epoch_episodes(many(queries), seed=seed, epoch=epoch, shot=1, n=30)
        for seed in range(2)
        for epoch in range(3)
    }
    assert len(set(drawn.values())) == 6
    assert drawn[1, 2] == epoch_episodes(many(queries), seed=1, epoch=2, shot=1, n=30)


@given(st.integers(1, 100))
def test_class_uniform_queries_are_balanced(n: int) -> None:
    """Whenever an epoch stops, no class was asked about more than once more than another."""
    lists = many()
    counts = Counter(e.class_id for e in epoch_episodes(lists, seed=0, epoch=0, shot=1, n=n))
    assert max(counts.values()) - min(counts.get(c, 0) for c in lists.classes) <= 1


def test_each_policy_goes_through_all_it_counts_before_one_comes_again() -> None:
    by_class = epoch_episodes(many(), seed=0, epoch=0, shot=1, n=6 * 10)
    assert len({(e.class_id, e.query) for e in by_class}) == 60
    lists = many("image-uniform")
    assert {e.query for e in epoch_episodes(lists, seed=0, epoch=0, shot=1, n=70)} == set(lists.images)
    lists = many("pair-uniform")
    asked = epoch_episodes(lists, seed=0, epoch=0, shot=1, n=80)
    assert {(e.query, e.class_id) for e in asked} == set(lists.pairs)


@given(areas(), st.sampled_from(["image-uniform", "pair-uniform"]), st.integers(0, 9))
def test_an_epoch_asks_everything_once_before_anything_comes_again(shown: Areas, queries: Queries, epoch: int) -> None:
    """An epoch of its own length asks about every image, or every pair, exactly once; a longer one begins anew."""
    lists = lists_of(shown, TrainingPolicy(queries=queries, query_pixels=1))
    asked = epoch_episodes(lists, seed=0, epoch=epoch, shot=1, n=2 * lists.epoch)
    for part in (asked[: lists.epoch], asked[lists.epoch :]):
        if queries == "pair-uniform":
            assert sorted((e.query, e.class_id) for e in part) == list(lists.pairs)
        assert {e.query for e in part} == set(lists.images)
    assert lists.epoch == len(lists.pairs if queries == "pair-uniform" else lists.images)


def test_small_queries_are_asked_about_and_never_shown() -> None:
    """HDMNet's: an image that shows enough of one class may be asked about any other that it shows, however little."""
    shown: Areas = {f"{c}/{n}": {c: 100} for c in (1, 2, 3, 5, 6, 7) for n in range(3)}
    shown |= {"both": {1: 100, 2: 4}, "small": {2: 4}}
    lists = lists_of(shown, TrainingPolicy(min_pixels=50, query_pixels=1, queries="image-uniform"))
    assert lists.shown["both"] == (1, 2)
    assert lists.served["both"] == (1,)
    assert "small" not in lists.images
    episodes = [e for epoch in range(30) for e in epoch_episodes(lists, seed=0, epoch=epoch, shot=1, n=lists.epoch)]
    assert {e.class_id for e in episodes if e.query == "both"} == {1, 2}
    assert not any("both" in e.supports for e in episodes if e.class_id == 2)
    assert lists.digest == lists_of(shown, TrainingPolicy(min_pixels=50)).digest  # what is shown is the same


def test_large_queries_are_shown_any_support() -> None:
    """A class without an object large enough is never asked about; every image is counted as learned from."""
    shown: Areas = {f"{c}/{n}": {c: 100 if n else 4} for c in (1, 2, 3, 5, 6, 7) for n in range(3)}
    shown |= {f"7/{n}": {7: 4} for n in range(3)}
    lists = lists_of(shown, TrainingPolicy(query_pixels=50, queries="pair-uniform"))
    assert set(lists.images) == set(shown)
    episodes = epoch_episodes(lists, seed=0, epoch=0, shot=1, n=30 * lists.epoch)
    assert {e.query for e in episodes} == {image_id for image_id, areas in shown.items() if 100 in areas.values()}
    assert "1/0" in {support for e in episodes for support in e.supports}


def test_images_may_be_held_out_in_place_of_classes() -> None:
    lists = many(held_out_images=0.1, all_images=True)
    assert len(lists.validation_images) == 9  # of ninety
    assert not set(lists.validation_images) & set(lists.images)
    assert lists.unclassed
    assert lists.held_out == ()
    assert len(lists.images) == 81
    with pytest.raises(UsageError, match="classes and images cannot both be held out"):
        many(held_out=0.2, held_out_images=0.1)


def test_too_few_images_of_a_class_are_refused_before_anything_is_drawn() -> None:
    lists = lists_of({"a": {1: 5}, "b": {1: 5}, "c": {2: 5}}, TrainingPolicy())
    with pytest.raises(PoolError, match="1-shot episodes need 2 images of every class: class 2 has 1"):
        epoch_episodes(lists, seed=0, epoch=0, shot=1, n=1)
    with pytest.raises(UsageError, match="at least 1"):
        epoch_episodes(many(), seed=0, epoch=0, shot=0, n=1)


def test_the_images_of_an_epoch_are_all_images_in_an_order_of_its_own() -> None:
    lists = many()
    first, second = (epoch_images(lists, seed=0, epoch=epoch) for epoch in range(2))
    assert sorted(first) == sorted(second) == list(lists.images)
    assert first != second


def test_validation_is_of_held_out_classes_and_always_the_same() -> None:
    lists = many(held_out=0.4)
    track = validation_track(lists, seed=0, shot=1, n=20)
    assert {e.class_id for e in track.episodes} == set(lists.held_out)
    assert track == validation_track(lists, seed=0, shot=1, n=20)
    with pytest.raises(UsageError, match="no class is held out"):
        validation_track(many(), seed=0, shot=1, n=20)


def test_lists_are_told_apart_by_their_digest() -> None:
    assert many().digest == many("image-uniform").digest  # how queries are drawn is no matter of lists
    assert len({many().digest, many(min_pixels=50).digest, many(held_out=0.2).digest}) == 3


# --- from a stream --------------------------------------------------------------------------------------


@given(st.integers(0, 60), st.integers(1, 20), st.integers(0, 5))
def test_a_shuffle_gives_every_item_once_and_none_before_its_time(n: int, buffer: int, seed: int) -> None:
    """What comes out k-th had come in by place k + buffer; all that comes in comes out."""
    out = list(shuffle(range(n), buffer=buffer, stream=HashStream(seed)))
    assert sorted(out) == list(range(n))
    assert all(item <= place + buffer for place, item in enumerate(out))


@given(st.lists(st.sets(st.integers(0, 4), min_size=1), max_size=40), st.integers(1, 3), st.integers(1, 20))
def test_streamed_episodes_are_of_distinct_items_that_show_the_class(
    shown: list[set[int]], shot: int, buffer: int
) -> None:
    """Every item is a query at most once; query and supports are distinct and show the episode's class."""
    drawn = list(
        draw_episodes(
            range(len(shown)),
            asked=lambda item: tuple(sorted(shown[item])),
            served=lambda item: tuple(sorted(shown[item])),
            shot=shot,
            buffer=buffer,
            stream=HashStream("test"),
        )
    )
    assert len({one.query for one in drawn}) == len(drawn)
    for one in drawn:
        items = {one.query, *one.supports}
        assert len(items) == 1 + shot
        assert all(one.class_id in shown[item] for item in items)

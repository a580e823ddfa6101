"""The strict protocol's laws, and its digests, which no later version may change."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import pools

from fssbench.base.errors import PoolError, UsageError
from fssbench.episodes.benchmarks import COCO_20I, FSS_1000, PASCAL_5I
from fssbench.episodes.episodes import Track
from fssbench.episodes.lists import FoldLists
from fssbench.episodes.strict import HashStream, draw_distinct, sample_strict

Pools = dict[int, list[str]]


def draw(drawn: Pools, *, shot: int = 1, seed: int = 0, episodes: int = 40, fold: int = 0) -> Track:
    return sample_strict(
        FoldLists(pools=drawn), benchmark="coco-20i", fold=fold, shot=shot, seed=seed, episodes=episodes
    )


def made_pools(classes: tuple[int, ...]) -> Pools:
    """Pools of different sizes that anyone can write down again."""
    return {c: [f"{1000 * c + n:012d}" for n in range(12 + 7 * (c % 5))] for c in classes}


# --- random numbers -------------------------------------------------------------------------------------


def test_the_stream_is_sha256_in_counter_mode() -> None:
    """The first words, computed by hand from the definition."""
    import hashlib

    block = hashlib.sha256(b"a\n1\n" + (0).to_bytes(8, "big")).digest()
    second = hashlib.sha256(b"a\n1\n" + (1).to_bytes(8, "big")).digest()
    words = [int.from_bytes(block[i : i + 8], "big") for i in range(0, 32, 8)] + [int.from_bytes(second[:8], "big")]
    stream = HashStream("a", 1)
    assert [stream.below(1 << 64) for _ in range(5)] == words


def test_different_keys_give_different_streams() -> None:
    """Fields cannot run into each other."""
    keys = [("a", "b"), ("ab",), ("a", "b", ""), ("b", "a")]
    assert len({HashStream(*key).below(1 << 64) for key in keys}) == len(keys)
    with pytest.raises(UsageError, match="newline"):
        HashStream("a\nb")


def test_words_that_would_favour_small_values_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Below 3, the word 2^64 - 1 is not fair: it is the one left over."""
    stream = HashStream("x")
    monkeypatch.setattr(stream, "_words", iter([(1 << 64) - 1, 5]))
    assert stream.below(3) == 5 % 3


@given(st.integers(1, 50), st.text(alphabet="abc", max_size=5))
def test_drawing_without_replacement_is_a_permutation_and_nested(n: int, key: str) -> None:
    """All of 0 … n-1 come once, and a shorter draw is the start of a longer one."""
    everything = list(draw_distinct(HashStream(key), n))
    assert sorted(everything) == list(range(n))
    assert list(islice(draw_distinct(HashStream(key), n), n // 2)) == everything[: n // 2]


def test_permutations_are_uniform() -> None:
    """All 24 orders of four come about equally often: chi-squared with 23 degrees, beyond 5 sigma never."""
    orders = Counter(tuple(draw_distinct(HashStream("uniform", i), 4)) for i in range(4800))
    assert len(orders) == 24
    assert sum((n - 200) ** 2 / 200 for n in orders.values()) < 23 + 5 * (2 * 23) ** 0.5


# --- the protocol ---------------------------------------------------------------------------------------


@given(pools(), st.integers(0, 5))
def test_every_prefix_is_balanced_over_classes(drawn: Pools, seed: int) -> None:
    track = draw(drawn, seed=seed)
    for n in range(1, len(track.episodes) + 1):
        times = Counter(episode.class_id for episode in track.episodes[:n])
        assert max(times.values()) - min(times.get(c, 0) for c in drawn) <= 1


@given(pools())
def test_within_a_class_every_image_is_query_equally_often(drawn: Pools) -> None:
    track = draw(drawn, episodes=60)
    for class_id, ids in drawn.items():
        times = Counter(episode.query for episode in track.episodes if episode.class_id == class_id)
        assert max(times.values()) - min(times.get(i, 0) for i in ids) <= 1


@given(pools(min_images=4), st.integers(1, 3))
def test_supports_are_distinct_of_the_class_and_not_the_query(drawn: Pools, shot: int) -> None:
    for episode in draw(drawn, shot=shot).episodes:
        assert len({episode.query, *episode.supports}) == shot + 1
        assert {episode.query, *episode.supports} <= set(drawn[episode.class_id])


@given(pools(min_images=6))
def test_fewer_shots_are_the_first_of_more(drawn: Pools) -> None:
    """1-, 2- and 5-shot episodes differ by the shots alone."""
    five = draw(drawn, shot=5)
    for shot in (1, 2):
        for few, many in zip(draw(drawn, shot=shot).episodes, five.episodes, strict=True):
            assert (few.class_id, few.query, few.supports) == (many.class_id, many.query, many.supports[:shot])


@given(pools(), st.integers(1, 39))
def test_fewer_episodes_are_the_first_of_more(drawn: Pools, n: int) -> None:
    assert draw(drawn, episodes=n).episodes == draw(drawn).episodes[:n]


@given(pools(), st.data())
def test_the_order_in_which_files_were_listed_does_not_matter(drawn: Pools, data: st.DataObject) -> None:
    shuffled = {c: data.draw(st.permutations(ids)) for c, ids in reversed(drawn.items())}
    assert draw(shuffled).digest == draw(drawn).digest


@given(pools(n_classes=3), st.integers(0, 79))
def test_a_class_is_drawn_without_regard_to_the_others(drawn: Pools, other: int) -> None:
    """A class's p-th episode depends on that class's pool alone."""
    more = {**drawn, other: ["a", "b", "c"]}
    for class_id in drawn.keys() - {other}:
        few = [e for e in draw(drawn, episodes=10 * len(drawn)).episodes if e.class_id == class_id]
        many = [e for e in draw(more, episodes=10 * len(more)).episodes if e.class_id == class_id]
        assert few == many


def test_seed_fold_and_benchmark_each_give_another_sample() -> None:
    drawn = made_pools((0, 4, 8))
    digests = {
        draw(drawn).digest,
        draw(drawn, seed=1).digest,
        draw(drawn, fold=1).digest,
        sample_strict(FoldLists(pools=drawn), benchmark="pascal-5i", fold=0, shot=1, seed=0, episodes=40).digest,
    }
    assert len(digests) == 4


def test_pairs_of_query_and_support_are_uniform() -> None:
    """Over many positions every support is drawn about equally often for a query."""
    track = draw({0: ["a", "b", "c", "d"]}, episodes=6000)
    times = Counter((episode.query, episode.supports[0]) for episode in track.episodes)
    assert len(times) == 12
    assert sum((n - 500) ** 2 / 500 for n in times.values()) < 11 + 5 * (2 * 11) ** 0.5


def test_a_class_with_too_few_images_is_refused_by_name() -> None:
    with pytest.raises(PoolError, match="2-shot episodes need 3 images of every class: class 4 has 2"):
        draw({0: ["a", "b", "c"], 4: ["a", "b"]}, shot=2)
    with pytest.raises(PoolError, match="no class is left"):
        draw({})


@pytest.mark.parametrize(("shot", "episodes"), [(0, 1), (1, 0), (-1, 5)])
def test_what_cannot_be_drawn_is_refused(shot: int, episodes: int) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        draw({0: ["a", "b"]}, shot=shot, episodes=episodes)


def test_a_pool_that_names_an_image_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="pool of class 3 names an image twice"):
        draw({3: ["a", "b", "a"]})


# --- pinned: these digests are the protocol -------------------------------------------------------------

PINNED = {
    # (benchmark, fold, shot, seed, episodes): SHA-256 of the lines
    ("coco-20i", 0, 1, 0, 10_000): "a16e5890071d73f3082af49ff7e94625bed222411e381bdcd1fcd262fcd587e8",
    ("coco-20i", 0, 1, 0, 1_000): "3dc2f72cedcba9db6653f75ea32fcee95c3b325e625c4bb8af35aaf3770ad6b9",
    ("coco-20i", 3, 5, 0, 10_000): "f506009c025da8d77f364d13a890c6d434e58235b5dab1e0ecc467111bdb49e3",
    ("coco-20i", 1, 10, 7, 1_000): "23c644478b9ed414255b550a652ba7891bc9aba10fba403ec6ab129ef2cd56e3",
    ("pascal-5i", 2, 1, 0, 1_000): "e0b77d19df586afb21a2c2c41b82b2c9e29825288a7eefe03d4e91e72f31a95d",
    ("pascal-5i", 3, 5, 1, 1_000): "7724409ce65bcf79b2db1a29bebbd7fbf03a26b0eeb35ba3db6030108420f9f7",
    ("fss-1000", 0, 1, 0, 2_400): "d7535bbcab4b9cec47bdb39430886fa966fa0b63f134cc0287784e307f2acbd6",
}


@pytest.mark.parametrize("case", PINNED, ids=str)
def test_digests_of_the_strict_protocol_never_change(case: tuple[str, int, int, int, int]) -> None:
    name, fold, shot, seed, episodes = case
    benchmark = next(b for b in (COCO_20I, PASCAL_5I, FSS_1000) if b.name == name)
    drawn = made_pools(benchmark.novel_classes(fold))
    track = sample_strict(FoldLists(pools=drawn), benchmark=name, fold=fold, shot=shot, seed=seed, episodes=episodes)
    assert track.digest == PINNED[case]


def test_the_first_episodes_written_out() -> None:
    """Small enough to be worked out by hand from the definition."""
    track = draw({0: ["a", "b", "c"], 4: ["d", "e"]}, shot=1, episodes=5)
    assert track.text == "0\tb\ta\n4\td\te\n0\tc\ta\n4\te\td\n0\ta\tb\n"

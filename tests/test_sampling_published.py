"""The laws of the published protocols' samplers, against the generators that the published code asks."""

from __future__ import annotations

import random
from collections import Counter
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import pools
from torch.utils.data import DataLoader, Dataset

from fssbench.base.errors import PoolError, UsageError
from fssbench.episodes.episodes import Track
from fssbench.episodes.hdmnet import SEEDS, derive_hdmnet, sample_hdmnet, worker_seeds
from fssbench.episodes.hsnet import derive_hsnet, sample_hsnet
from fssbench.episodes.lists import FoldLists

Drawn = dict[int, list[str]]


def hsnet(drawn: Drawn, *, name: str = "coco-20i", shot: int = 1, seed: int = 0, episodes: int = 25) -> Track:
    lists = derive_hsnet(drawn, present=drawn, benchmark=name)
    return sample_hsnet(lists, benchmark=name, fold=0, shot=shot, seed=seed, episodes=episodes)


def hdmnet(drawn: Drawn, *, shot: int = 1, seed: int = 510, episodes: int = 25, workers: int = 8) -> Track:
    lists = derive_hdmnet(drawn, present=drawn, benchmark="coco-20i")
    return sample_hdmnet(
        lists, benchmark="coco-20i", fold=0, shot=shot, seed=seed, episodes=episodes, loader_workers=workers
    )


# --- hsnet ----------------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(pools(), st.integers(1, 5))
def test_hsnet_draws_what_numpys_global_generator_gives(drawn: Drawn, shot: int) -> None:
    """Classes, queries and supports are the choices that the published loop makes of the same lists."""
    before = np.random.get_state()
    np.random.seed(0)
    expected = []
    for _ in range(12):
        c = np.random.choice(sorted(drawn), 1, replace=False)[0]
        query = np.random.choice(sorted(drawn[c]), 1, replace=False)[0]
        supports: list[str] = []
        while len(supports) < shot:
            support = np.random.choice(sorted(drawn[c]), 1, replace=False)[0]
            supports += [] if support == query else [str(support)]
        expected.append((int(c), str(query), tuple(supports)))
    np.random.set_state(before)
    track = hsnet(drawn, shot=shot, episodes=12)
    assert [(e.class_id, e.query, e.supports) for e in track.episodes] == expected


@given(pools(), st.integers(0, 3))
def test_hsnet_leaves_numpys_global_generator_alone(drawn: Drawn, seed: int) -> None:
    before = repr(np.random.get_state())
    hsnet(drawn, seed=seed)
    assert repr(np.random.get_state()) == before


@given(pools(), st.integers(1, 5))
def test_hsnet_never_shows_the_query_but_may_repeat_a_support(drawn: Drawn, shot: int) -> None:
    for episode in hsnet(drawn, shot=shot).episodes:
        assert episode.query not in episode.supports
        assert {episode.query, *episode.supports} <= set(drawn[episode.class_id])
    two = hsnet({0: ["a", "b"]}, shot=3, episodes=2)
    assert {e.supports for e in two.episodes} <= {("a",) * 3, ("b",) * 3}


@pytest.mark.parametrize("name", ["pascal-5i", "coco-20i"])
@given(drawn=pools(), n=st.integers(1, 24))
def test_fewer_hsnet_episodes_are_the_first_of_more(name: str, drawn: Drawn, n: int) -> None:
    assert hsnet(drawn, name=name, episodes=n).episodes == hsnet(drawn, name=name).episodes[:n]


@given(pools())
def test_hsnet_walks_pascals_pairs_in_order_and_from_the_start_again(drawn: Drawn) -> None:
    pairs = sorted((image, c) for c, ids in drawn.items() for image in ids)
    asked = [(e.query, e.class_id) for e in hsnet(drawn, name="pascal-5i", episodes=2 * len(pairs)).episodes]
    assert asked == 2 * pairs


def test_hsnet_walks_fss_by_path_and_draws_supports_by_number() -> None:
    """``10`` stands before ``2`` among the queries, but last among the numbers that are drawn."""
    lists = derive_hsnet({760: [f"abacus/{n}" for n in range(1, 11)]}, present={}, benchmark="fss-1000")
    assert [image for image, _ in lists.queries][:3] == ["abacus/1", "abacus/10", "abacus/2"]
    assert lists.pools[760][-2:] == ("abacus/9", "abacus/10")


@given(pools(), st.data())
def test_the_order_of_derived_lists_is_that_of_ids_but_given_lists_keep_theirs(
    drawn: Drawn, data: st.DataObject
) -> None:
    """Sorted lists do not depend on how files were found; the order of a split file changes the episodes."""
    shuffled = {c: data.draw(st.permutations(ids)) for c, ids in reversed(drawn.items())}
    assert hsnet(shuffled).digest == hsnet(drawn).digest
    assert hdmnet(shuffled).digest == hdmnet(drawn).digest
    ids = [f"{n:012d}" for n in range(12)]
    there, back = (
        sample_hsnet(FoldLists(pools={0: order}), benchmark="coco-20i", fold=0, shot=1, seed=0, episodes=10)
        for order in (ids, ids[::-1])
    )
    assert there.digest != back.digest


@given(pools(), st.randoms())
def test_the_order_in_which_a_split_file_names_classes_does_not_matter(drawn: Drawn, shuffler: random.Random) -> None:
    classes = list(drawn)
    shuffler.shuffle(classes)
    lists = FoldLists(pools={c: sorted(drawn[c]) for c in classes})
    track = sample_hsnet(lists, benchmark="coco-20i", fold=0, shot=1, seed=0, episodes=25)
    assert track.digest == hsnet(drawn).digest


# --- hdmnet ---------------------------------------------------------------------------------------------


@given(pools(min_images=4), st.integers(1, 3), st.integers(1, 9))
def test_hdmnet_supports_are_distinct_of_the_class_and_never_the_query(drawn: Drawn, shot: int, workers: int) -> None:
    for episode in hdmnet(drawn, shot=shot, workers=workers).episodes:
        assert len({episode.query, *episode.supports}) == shot + 1
        assert set(episode.supports) <= set(drawn[episode.class_id])


@given(pools(), st.integers(1, 40))
def test_hdmnet_queries_walk_the_images_in_order(drawn: Drawn, episodes: int) -> None:
    images = sorted({image for ids in drawn.values() for image in ids})
    walked = [images[i % len(images)] for i in range(episodes)]
    assert [e.query for e in hdmnet(drawn, episodes=episodes).episodes] == walked


@given(pools(), st.integers(1, 24), st.sampled_from(SEEDS))
def test_fewer_hdmnet_episodes_are_the_first_of_more(drawn: Drawn, n: int, seed: int) -> None:
    assert hdmnet(drawn, episodes=n, seed=seed).episodes == hdmnet(drawn, seed=seed).episodes[:n]


def test_hdmnet_may_ask_about_a_class_the_query_shows_little_of() -> None:
    """Only large masks make an image a query or a support, but any class in the query may be asked about."""
    large = {0: ["a", "b", "c"], 1: ["d", "e", "f"]}
    present = {0: [*large[0], "d"], 1: [*large[1], "tiny"]}
    lists = derive_hdmnet(large, present=present, benchmark="coco-20i")
    assert [image for image, _ in lists.queries] == ["a", "b", "c", "d", "e", "f"]
    track = sample_hdmnet(lists, benchmark="coco-20i", fold=0, shot=2, seed=510, episodes=300)
    asked = Counter(e.class_id for e in track.episodes if e.query == "d")
    assert set(asked) == {0, 1}
    assert min(asked.values()) > 10
    assert all(set(e.supports) <= set(large[e.class_id]) for e in track.episodes)


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_worker_seeds_are_those_torch_draws(seed: int, starts: int) -> None:
    """The base seed of each start is the next 63-bit integer of torch's own generator."""
    generator = torch.Generator().manual_seed(seed)
    expected = [int(torch.empty((), dtype=torch.int64).random_(generator=generator)) for _ in range(starts)]
    assert [seeds[0] for seeds in islice(worker_seeds(seed, workers=1), starts)] == expected


class PublishedLoop(Dataset[tuple[int, str, list[str]]]):
    """Draws in ``__getitem__`` with Python's global ``random``, in the order the published code does."""

    def __init__(self, lists: FoldLists, shot: int) -> None:
        self.lists = lists
        self.shot = shot

    def __len__(self) -> int:
        return len(self.lists.queries)

    def __getitem__(self, index: int) -> tuple[int, str, list[str]]:
        query, classes = self.lists.queries[index]
        class_id = classes[random.randint(1, len(classes)) - 1]
        pool = self.lists.pools[class_id]
        supports: list[str] = []
        for _ in range(self.shot):
            place, support = random.randint(1, len(pool)) - 1, query
            while support == query or support in supports:
                place = random.randint(1, len(pool)) - 1
                support = pool[place]
            supports.append(support)
        return class_id, query, supports


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # more workers than cores
@pytest.mark.parametrize(("shot", "workers"), [(1, 2), (5, 3)])
def test_hdmnet_draws_what_torchs_loader_gives(shot: int, workers: int) -> None:
    """Two rounds of real worker processes over the same lists give the same episodes."""
    large = {c: [f"{100 * c + n:012d}" for n in range(7 + c)] for c in range(3)}
    present = {c: sorted({*ids, large[(c + 1) % 3][0], large[(c + 1) % 3][1]}) for c, ids in large.items()}
    lists = derive_hdmnet(large, present=present, benchmark="coco-20i")
    n = 2 * len(lists.queries)
    track = sample_hdmnet(lists, benchmark="coco-20i", fold=0, shot=shot, seed=365, episodes=n, loader_workers=workers)
    # The loader asks the generator it is given as it would ask the global one, which tests leave alone.
    loader = DataLoader(
        PublishedLoop(lists, shot),
        batch_size=1,
        num_workers=workers,
        collate_fn=lambda items: items[0],
        generator=torch.Generator().manual_seed(365),
    )
    loaded = [item for _ in range(2) for item in loader]
    assert loaded == [(e.class_id, e.query, list(e.supports)) for e in track.episodes]


def test_another_number_of_workers_gives_other_episodes() -> None:
    drawn = {0: [f"{n:012d}" for n in range(30)]}
    assert len({hdmnet(drawn, workers=w).digest for w in (1, 4, 8)}) == 3


# --- refusals -------------------------------------------------------------------------------------------


def test_too_few_images_and_contradictions_are_refused_by_name() -> None:
    with pytest.raises(PoolError, match="5-shot episodes need 2 images of every class: class 4 has 1"):
        hsnet({0: ["a", "b"], 4: ["a"]}, shot=5)
    with pytest.raises(PoolError, match="2-shot episodes need 3 images of every class: class 4 has 2"):
        hdmnet({0: ["a", "b", "c"], 4: ["a", "b"]}, shot=2)
    with pytest.raises(UsageError, match="the protocol hsnet takes seeds from 0 to 4294967295, got 4294967296"):
        hsnet({0: ["a", "b"]}, seed=1 << 32)
    with pytest.raises(UsageError, match="the protocol hdmnet takes seeds from 0 to 4294967295, got 4294967296"):
        hdmnet({0: ["a", "b"]}, seed=1 << 32)
    with pytest.raises(UsageError, match="must be at least 1, got 1, 1 and 0"):
        hdmnet({0: ["a", "b"]}, episodes=1, workers=0)
    with pytest.raises(UsageError, match="must be at least 1, got 0 and 1"):
        hsnet({0: ["a", "b"]}, shot=0, episodes=1)
    with pytest.raises(UsageError, match="walks a list of queries, and there is none"):
        sample_hdmnet(FoldLists(pools={0: ["a", "b"]}), benchmark="x", fold=0, shot=1, seed=0, episodes=1)
    with pytest.raises(UsageError, match="queries are of class 3, which has no pool"):
        FoldLists(pools={0: ["a", "b"]}, queries=[("a", (0, 3))]).require(2, shot=1)


def test_lists_without_a_class_ask_nothing_about_it() -> None:
    lists = FoldLists(pools={0: ["a", "b"], 1: ["c"]}, queries=[("a", (0, 1)), ("c", (1,)), ("b", (0,))])
    assert lists.without([1]) == FoldLists(pools={0: ["a", "b"]}, queries=(("a", (0,)), ("b", (0,))))


# --- pinned: these digests are version 1 of the protocol ------------------------------------------------


def made_lists() -> FoldLists:
    """Lists that anyone can write down again: 20 classes, some images of two, every fifth too small of one."""
    present = {c: [f"{(50 * c + 7 * n) % 999:012d}" for n in range(20 + c)] for c in range(20)}
    large = {c: [image for n, image in enumerate(ids) if n % 5] for c, ids in present.items()}
    return derive_hdmnet(large, present=present, benchmark="pascal-5i")


PINNED = {
    # (shot, seed, loader workers): SHA-256 of the lines
    (1, 510, 8): "65ef8b4da27727146a976e3037cc9a3a18e611b6f27b1b4432b4d4cc6a808256",
    (5, 510, 8): "764a556d7d6cf70127c0dce0d31feb64f04b049de2593c79fe07c4ff1d003ad2",
    (5, 106, 8): "fefc2034c8b57bced480f8ab86a4b76d5cf8f6d5b8b5bf3d0642310dcac7fad2",
    (5, 106, 4): "89b4580ee5f33a15248fb68aa32a560938b515d497430c14d68be6b968e7e16b",
}


@pytest.mark.parametrize("case", PINNED, ids=str)
def test_digests_of_the_hdmnet_protocol_never_change(case: tuple[int, int, int]) -> None:
    shot, seed, workers = case
    track = sample_hdmnet(
        made_lists(), benchmark="pascal-5i", fold=0, shot=shot, seed=seed, episodes=1_000, loader_workers=workers
    )
    assert track.digest == PINNED[case]

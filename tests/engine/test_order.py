"""What is kept and in which order: never more work than without, never more memory than allowed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fssbench.base.belady import BeladyCache
from fssbench.base.errors import UsageError
from fssbench.engine.inference import InferenceSettings, parse_bytes, parse_precision
from fssbench.engine.order import computations, order_for_reuse

Needs = Sequence[tuple[str, ...]]

steps = st.lists(st.sampled_from("abcdefghij"), min_size=1, max_size=3, unique=True).map(tuple)
all_needs = st.lists(steps, min_size=1, max_size=25)


def run(cache: BeladyCache[str, str], needs: Needs) -> int:
    """Ask for everything in turn; returns how much was not there."""
    for step, keys in enumerate(needs):
        cache.begin(keys, done=step)
        for key in keys:
            value = cache.get(key)
            if value is None:
                cache.put(key, key, 1)
            else:
                assert value == key
            assert cache.held == len(cache)
        assert all(key in cache for key in keys)
    return cache.misses


@given(needs=all_needs, capacity=st.integers(3, 8))
def test_who_knows_the_future_computes_no_more_than_who_remembers_the_past(needs: Needs, capacity: int) -> None:
    """Giving up what is needed last never costs more than giving up what was used longest ago."""
    knowing: BeladyCache[str, str] = BeladyCache(capacity)
    knowing.expect(needs)
    assert len(set().union(*needs)) <= run(knowing, needs) <= run(BeladyCache(capacity), needs)


@given(needs=all_needs, capacity=st.integers(0, 8), known=st.booleans())
def test_no_more_is_held_than_allowed_or_needed_at_once(needs: Needs, capacity: int, known: bool) -> None:
    """The budget is exceeded by what one step needs and by nothing else."""
    cache: BeladyCache[str, str] = BeladyCache(capacity)
    if known:
        cache.expect(needs)
    for step, keys in enumerate(needs):
        cache.begin(keys, done=step)
        for key in keys:
            if key not in cache:
                cache.put(key, key, 1)
            assert cache.held <= capacity or {held for held, _ in cache.sizes()} <= set(keys)


@given(needs=all_needs, capacity=st.integers(3, 8))
def test_an_order_is_a_permutation_in_which_no_more_is_computed(needs: Needs, capacity: int) -> None:
    """Every step once, at no more cost than in the order given."""
    order = order_for_reuse(needs, capacity)
    assert sorted(order) == list(range(len(needs)))
    assert computations([needs[i] for i in order], capacity) <= computations(needs, capacity)


def test_steps_that_share_come_together() -> None:
    needs = [("a", "b"), ("c", "d"), ("a", "b"), ("c", "d")]
    assert order_for_reuse(needs, 2) == [0, 2, 1, 3]
    assert (computations(needs, 2), computations([needs[i] for i in (0, 2, 1, 3)], 2)) == (8, 4)
    assert order_for_reuse(needs, 4) == [0, 1, 2, 3], "everything can be kept"


@pytest.mark.parametrize(("text", "expected"), [("8GiB", 8 << 30), ("500 MB", 500_000_000), ("0", 0), ("1.5KiB", 1536)])
def test_amounts_of_memory(text: str, expected: int) -> None:
    assert parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "GiB", "-1GiB", "8 gigs", "8Gi"])
def test_what_is_no_amount_of_memory_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not an amount of memory; write it as 8GiB"):
        parse_bytes(text)


def test_precisions_that_a_device_has_not_are_refused() -> None:
    assert parse_precision("bf16", "cpu") == "bf16"
    assert parse_precision("tf32", "cuda:0") == "tf32"
    with pytest.raises(UsageError, match="fp16 needs a GPU, the device is cpu; on a CPU there is bf16"):
        parse_precision("fp16", "cpu")
    with pytest.raises(UsageError, match="there is no precision 'float64'"):
        parse_precision("float64", "cpu")


def test_a_batch_is_one_episode_on_a_cpu_and_wherever_nothing_is_shared() -> None:
    assert (InferenceSettings().batch_on("cpu"), InferenceSettings().batch_on("cuda:0")) == (1, 8)
    assert (InferenceSettings(batch=3).batch_on("cpu"), InferenceSettings(fast=False, batch=3).batch_on("cuda:0")) == (
        3,
        1,
    )

"""Every figure of a result: from the counts alone, with its groups."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from drawn import Population, names
from hypothesis import given, settings
from hypothesis import strategies as st

from fssbench.base.errors import CountsError, EpisodeIndexError, UnknownClassError
from fssbench.results.figures import policy_results
from fssbench.scoring.counts import CountsTable, EpisodeCounts, QueryFacts
from fssbench.scoring.groups import splits
from fssbench.scoring.metrics import score


@pytest.fixture(scope="module")
def table() -> CountsTable:
    return Population(classes=4, images=30).table(240)


def rows_of(table: CountsTable) -> list[EpisodeCounts]:
    return [EpisodeCounts(i, table.counts[i], query) for i, query in enumerate(table.queries)]


def with_classes(table: CountsTable, n: int | None) -> CountsTable:
    queries = tuple(replace(query, n_classes=n) for query in table.queries)
    return CountsTable(table.track, table.policies, table.counts, queries)


def test_figures_are_the_metrics_own_with_the_number_of_episodes_and_classes(table: CountsTable) -> None:
    (first, _) = policy_results(table, classes=names(4))
    scores = score(table.class_ids, table.counts[:, 0], classes=names(4))
    for record, figure in [
        (first.miou, scores.miou),
        (first.fb_iou, scores.fb_iou),
        (first.episode_iou, scores.episode_iou),
        *((c.iou, scores.per_class[c.id]) for c in first.per_class),
    ]:
        assert record.value == figure.value
        assert (record.n_episodes, record.n_classes) == (figure.n_episodes, figure.n_classes)
        assert record.other_images is not None
        assert "images" in record.other_images.method or "image" in record.other_images.method
        assert record.other_episodes is not None
        assert "episodes" in record.other_episodes.method
    assert [c.iou.n_episodes for c in first.per_class] == [60] * 4
    assert first.miou.n_classes == 4


def test_queries_with_one_class_are_told_from_those_with_several(table: CountsTable) -> None:
    (first, _) = policy_results(table, classes=names(4))
    (by_classes,) = [split for split in first.splits if split.by == "classes"]
    one, several = by_classes.groups
    assert (one.name, several.name) == ("one", "several")
    chosen = np.array([query.n_classes == 1 for query in table.queries])
    for group, members in ((one, chosen), (several, ~chosen)):
        expected = score(table.class_ids[members], table.counts[members, 0], classes=names(4))
        assert group.miou.value == expected.miou.value
        assert group.episode_iou.n_episodes == members.sum()


def test_small_objects_are_told_from_large_ones(table: CountsTable) -> None:
    drawn = tuple(replace(query, object_pixels=9_999 if i % 3 else 10_000) for i, query in enumerate(table.queries))
    sized = CountsTable(table.track, table.policies, table.counts, drawn)
    (by_size,) = [split for split in splits(sized) if split.by == "size"]
    small, large = by_size.groups
    assert large.members.tolist() == [i % 3 == 0 for i in range(240)]
    assert (small.members ^ large.members).all()


def test_groups_are_compared_on_the_classes_that_occur_in_both(table: CountsTable) -> None:
    """Otherwise a difference between groups might be one between classes."""
    drawn = tuple(
        replace(query, n_classes=1 if episode.class_id == 0 or i % 8 < 4 else 2)
        for i, (episode, query) in enumerate(zip(table.track.episodes, table.queries, strict=True))
    )
    (by_classes, _) = splits(CountsTable(table.track, table.policies, table.counts, drawn))
    assert by_classes.classes == (1, 2, 3)
    assert not any(group.members[table.class_ids == 0].any() for group in by_classes.groups)


def test_without_common_classes_or_facts_a_split_says_why(table: CountsTable) -> None:
    unknown, alone = (with_classes(table, n) for n in (None, 1))
    (first, _) = policy_results(unknown, classes=names(4))
    assert first.splits[0].reason == "the data does not say which other classes an image shows"
    assert first.splits[0].groups == ()
    (first, _) = policy_results(alone, classes=names(4))
    assert first.splits[0].reason == "no class has episodes in every group"


def test_impossible_counts_are_refused_unless_all_that_is_wrong_is_wanted(table: CountsTable) -> None:
    counts = table.counts.copy()
    counts[3, 0, 0] = 10**9
    wrong = CountsTable(table.track, table.policies, counts, table.queries)
    with pytest.raises(CountsError, match="1 of 240 rows"):
        policy_results(wrong, classes=names(4))
    value = policy_results(wrong, classes=names(4), check=False)[0].miou.value
    assert value is not None
    assert value > 1


def test_a_class_that_is_not_the_fold_s_is_refused(table: CountsTable) -> None:
    with pytest.raises(UnknownClassError, match=r"classes \[3\]"):
        policy_results(table, classes=names(3))


def test_a_class_without_episodes_leaves_the_mean_undefined_and_is_named(table: CountsTable) -> None:
    (first, _) = policy_results(table, classes={**names(4), 9: "zebra"})
    assert first.miou.value is None
    assert first.miou.reason == "undefined for zebra (no episodes)"
    assert first.miou.other_images is None
    assert first.miou.other_episodes is None
    assert first.per_class[4].iou.n_episodes == 0


@settings(max_examples=20)
@given(order=st.permutations(range(24)), cuts=st.lists(st.integers(0, 24), max_size=4))
def test_parts_make_the_same_table_in_whatever_order_they_come(order: list[int], cuts: list[int]) -> None:
    """Rows by any process, in any batches and order, are put where they belong."""
    whole = Population(classes=4, images=10).table(24)
    rows = rows_of(whole)
    bounds = [0, *sorted(cuts), 24]
    parts = [[rows[i] for i in order[a:b]] for a, b in pairwise(bounds)]
    merged = CountsTable.of(whole.track, whole.policies, (row for part in reversed(parts) for row in part))
    assert (merged.counts == whole.counts).all()
    assert merged.queries == whole.queries


def test_an_episode_that_is_there_twice_missing_or_strange_is_named() -> None:
    whole = Population(classes=2, images=5).table(6)
    rows = rows_of(whole)
    with pytest.raises(EpisodeIndexError, match="episode 4 is there twice"):
        CountsTable.of(whole.track, whole.policies, [*rows, rows[4]])
    with pytest.raises(EpisodeIndexError, match="2 of 6 episodes are missing, the first is 1"):
        CountsTable.of(whole.track, whole.policies, [rows[0], *rows[2:5]])
    strange = EpisodeCounts(6, rows[0].counts, QueryFacts(object_pixels=1, image_pixels=2, n_classes=None))
    with pytest.raises(EpisodeIndexError, match="episode 6 is not among the 6"):
        CountsTable.of(whole.track, whole.policies, [*rows, strange])

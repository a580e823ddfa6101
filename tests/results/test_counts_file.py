"""The table of counts: written and read without loss, always with the same bytes, refused when it was changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import mask_groups

from fssbench.base import parquet
from fssbench.base.errors import CountsError, ResultError
from fssbench.episodes.episodes import Episode, Track
from fssbench.results.counts_file import from_bytes, to_arrow, to_bytes
from fssbench.scoring.counts import CountsTable, QueryFacts
from fssbench.scoring.metrics import COUNT_FIELDS, count

Columns = dict[str, list[Any]]

FACTS = ("object_pixels", "image_pixels", "query_classes")
IDENTITY = ("benchmark", "fold", "shot", "seed", "index", "class_id", "query", "supports", *FACTS, "policy")

counts = mask_groups(2).map(lambda pair: astuple(count(*pair)))
ids = st.text(alphabet="abc/_019", min_size=1, max_size=6)
facts = st.builds(
    QueryFacts,
    object_pixels=st.integers(0, 2**40),
    image_pixels=st.integers(1, 2**40),
    n_classes=st.none() | st.integers(1, 80),
)


@st.composite
def tables(draw: st.DrawFn) -> CountsTable:
    shot, n, p = (draw(st.integers(1, 3)) for _ in range(3))
    episode = st.builds(Episode, st.integers(0, 79), ids, st.lists(ids, min_size=shot, max_size=shot).map(tuple))
    track = Track(
        benchmark=draw(st.sampled_from(["coco-20i", "pascal-5i"])),
        protocol="strict/1",
        fold=draw(st.integers(0, 3)),
        shot=shot,
        seed=draw(st.integers(0, 2**40)),
        episodes=tuple(draw(st.lists(episode, min_size=n, max_size=n))),
    )
    drawn = draw(st.lists(counts, min_size=n * p, max_size=n * p))
    policies = ("original/ignore", "model/ignore", "original/no-ignore")[:p]
    queries = tuple(draw(st.lists(facts, min_size=n, max_size=n)))
    return CountsTable(track, policies, np.array(drawn, dtype=np.int64).reshape(n, p, 5), queries)


def plain_table() -> CountsTable:
    """Three 2-shot episodes under two policies."""
    track = Track(
        benchmark="coco-20i",
        protocol="strict/1",
        fold=2,
        shot=2,
        seed=7,
        episodes=(Episode(2, "a", ("b", "c")), Episode(6, "d", ("e", "f")), Episode(2, "b", ("a", "c"))),
    )
    rows = [[n, n + 1, 10, 11, n + 11] for n in range(6)]
    queries = (
        QueryFacts(object_pixels=5, image_pixels=16, n_classes=2),
        QueryFacts(object_pixels=6, image_pixels=14, n_classes=None),
        QueryFacts(object_pixels=7, image_pixels=17, n_classes=1),
    )
    counts = np.array(rows, dtype=np.int64).reshape(3, 2, 5)
    return CountsTable(track, ("original/ignore", "model/ignore"), counts, queries)


@given(tables())
def test_a_table_is_read_as_it_was_written(table: CountsTable) -> None:
    data = to_bytes(table)
    back = from_bytes(data, where="here")
    assert back.track.digest == table.track.digest
    assert back.track.episodes == table.track.episodes
    for name in ("benchmark", "fold", "shot", "seed"):
        assert getattr(back.track, name) == getattr(table.track, name)
    assert back.policies == table.policies
    assert back.queries == table.queries
    assert back.counts.dtype == np.int64
    assert (back.counts == table.counts).all()
    assert to_bytes(back) == data
    assert to_arrow(back).equals(to_arrow(table))


def test_the_same_table_always_has_the_same_bytes() -> None:
    assert to_bytes(plain_table()) == to_bytes(plain_table())


def test_a_row_is_an_episode_under_a_policy() -> None:
    rows = parquet.read(to_bytes(plain_table())).to_pylist()
    assert len(rows) == 6
    assert rows[3] == {
        "benchmark": "coco-20i",
        "fold": 2,
        "shot": 2,
        "seed": 7,
        "index": 1,
        "class_id": 6,
        "query": "d",
        "supports": ["e", "f"],
        "object_pixels": 6,
        "image_pixels": 14,
        "query_classes": None,
        "policy": "model/ignore",
        "inter_f": 3,
        "union_f": 4,
        "inter_b": 10,
        "union_b": 11,
        "valid": 14,
    }


def test_counts_and_classes_are_found_by_policy() -> None:
    table = plain_table()
    assert table.class_ids.tolist() == [2, 6, 2]
    assert table.under("model/ignore")[:, 0].tolist() == [1, 3, 5]
    assert table.under("original/ignore").shape == (3, 5)


# --- tampering ------------------------------------------------------------------------------------------


def changed(change: Callable[[Columns], object]) -> bytes:
    """The plain table with its columns changed by hand."""
    table = parquet.read(to_bytes(plain_table()))
    columns: Columns = table.to_pydict()
    change(columns)
    fields = [
        pa.field(name, pa.float64()) if isinstance(values[0], float) else table.schema.field(name)
        for name, values in columns.items()
        if values
    ]
    return parquet.encode(pa.table(columns, schema=pa.schema(fields) if fields else table.schema))


def test_tampering_itself_leaves_a_table_readable() -> None:
    """The tests below fail for their change, not for how it was made."""
    assert from_bytes(changed(lambda _: None), where="here").track.digest == plain_table().track.digest


@pytest.mark.parametrize("column", IDENTITY)
def test_a_cell_that_contradicts_the_others_is_refused(column: str) -> None:
    """Episodes stand once for each policy, all of one track: no single cell can be another."""
    for row in range(6):

        def change(columns: Columns, row: int = row) -> None:
            there = columns[column][row]
            columns[column][row] = (there or 0) + 1 if isinstance(there, int | None) else there + there[:1]

        with pytest.raises(ResultError, match=r"results/x\.parquet is not a table of counts: .*; evaluate again"):
            from_bytes(changed(change), where="results/x.parquet")


def test_counts_that_contradict_themselves_are_read_only_when_they_are_wanted_as_they_are() -> None:
    """Whoever lists everything that is wrong needs them; nobody else gets them."""

    def change(columns: Columns) -> None:
        columns["inter_f"][2] = -8

    data = changed(change)
    assert from_bytes(data, where="here", check=False).counts[1, 0].tolist() == [-8, 3, 10, 11, 13]
    with pytest.raises(CountsError, match="1 of 6 rows"):
        from_bytes(data, where="here")


@pytest.mark.parametrize("column", COUNT_FIELDS)
def test_a_count_that_contradicts_the_others_is_refused(column: str) -> None:
    for row in range(6):

        def change(columns: Columns, row: int = row) -> None:
            columns[column][row] += 1

        with pytest.raises(CountsError, match=f"1 of 6 rows of counts contradict themselves, the first is row {row}"):
            from_bytes(changed(change), where="here")


@pytest.mark.parametrize("column", [*IDENTITY, *COUNT_FIELDS])
def test_a_missing_column_is_refused(column: str) -> None:
    with pytest.raises(ResultError, match="here is not a table of counts"):
        from_bytes(changed(lambda columns: columns.pop(column)), where="here")


@pytest.mark.parametrize("column", [*IDENTITY, *COUNT_FIELDS])
def test_a_cell_without_a_value_is_refused(column: str) -> None:
    def change(columns: Columns) -> None:
        columns[column][5] = None

    with pytest.raises(ResultError, match="here is not a table of counts"):
        from_bytes(changed(change), where="here")


@pytest.mark.parametrize(
    "column",
    [
        *(pytest.param(c) for c in ("benchmark", "fold", "seed", "class_id", "query")),
        *(pytest.param(c) for c in ("object_pixels", "image_pixels")),
        *("shot", "index", "supports", "policy", *COUNT_FIELDS),
    ],
)
def test_a_column_without_any_value_is_refused(column: str) -> None:
    """No cell contradicts another, yet there is nothing to compute with. Only classes in an image may be unknown."""

    def change(columns: Columns) -> None:
        columns[column] = [None] * 6

    with pytest.raises(ResultError, match="here is not a table of counts"):
        from_bytes(changed(change), where="here")


@pytest.mark.parametrize("rows", [slice(0, 5), slice(1, 6), slice(2, 6), slice(0, 0), slice(None, None, -1)])
def test_rows_that_are_missing_or_out_of_order_are_refused(rows: slice) -> None:
    def change(columns: Columns) -> None:
        columns.update({name: values[rows] for name, values in columns.items()})

    with pytest.raises(ResultError, match="here is not a table of counts"):
        from_bytes(changed(change), where="here")


def test_counts_that_are_no_integers_are_refused() -> None:
    def change(columns: Columns) -> None:
        columns["inter_f"] = [value + 0.25 for value in columns["inter_f"]]

    with pytest.raises(ResultError, match="here is not a table of counts"):
        from_bytes(changed(change), where="here")


@pytest.mark.parametrize("data", [b"", b"PAR1", b"not a table at all"])
def test_what_is_no_parquet_is_refused(data: bytes) -> None:
    with pytest.raises(ResultError, match=r"here is not a table of counts: .*; evaluate again"):
        from_bytes(data, where="here")


def test_a_damaged_file_is_refused() -> None:
    data = to_bytes(plain_table())
    with pytest.raises(ResultError, match="here is not a table of counts"):
        from_bytes(data[: len(data) // 2], where="here")

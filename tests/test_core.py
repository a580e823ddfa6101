"""Benchmarks, tracks and errors: the plain data everything else rests on."""

from __future__ import annotations

import inspect
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fssbench.base.errors as errors
from fssbench.base.errors import FssbenchError, UsageError
from fssbench.episodes.benchmarks import (
    BENCHMARKS,
    COCO_20I,
    COCO_20I_CONTIGUOUS,
    FSS_1000,
    PASCAL_5I,
    Benchmark,
    find_benchmark,
)
from fssbench.episodes.episodes import Episode, Track, pool_digest
from fssbench.episodes.protocols import HDMNET, HSNET, PROTOCOLS, STRICT, find_protocol

ids = st.text(alphabet="0123456789_/abc", min_size=1, max_size=6)


def track(episodes: tuple[Episode, ...], shot: int = 1) -> Track:
    return Track(benchmark="coco-20i", protocol="strict/1", fold=0, shot=shot, seed=0, episodes=episodes)


# --- benchmarks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("benchmark", [b for b in BENCHMARKS if b is not FSS_1000], ids=lambda b: b.name)
def test_every_class_is_novel_in_exactly_one_fold(benchmark: Benchmark) -> None:
    dealt = sorted(c for fold in benchmark.folds for c in fold)
    assert dealt == list(range(benchmark.n_classes))
    if benchmark.name != "lvis-92i":  # whose annotations name its classes
        assert benchmark.class_names is not None
        assert len(set(benchmark.class_names)) == benchmark.n_classes


def test_folds_are_the_published_ones() -> None:
    assert PASCAL_5I.folds[1] == (5, 6, 7, 8, 9)
    assert COCO_20I.folds[1][:3] == (1, 5, 9)
    assert COCO_20I_CONTIGUOUS.folds[1] == tuple(range(20, 40))
    assert FSS_1000.folds == (tuple(range(760, 1000)),)
    names = [COCO_20I.class_names[c] for c in COCO_20I.folds[0][:3]] if COCO_20I.class_names else []
    assert names == ["person", "airplane", "boat"]


def test_a_benchmark_is_found_by_alias_and_by_name() -> None:
    assert find_benchmark("coco") is find_benchmark("coco-20i") is COCO_20I
    with pytest.raises(UsageError, match="FSS-1000 has no fold 1; its only fold is 0"):
        FSS_1000.novel_classes(1)
    with pytest.raises(UsageError, match="has no fold -1"):
        COCO_20I.novel_classes(-1)


def test_a_protocol_says_what_it_wants_of_its_benchmarks_and_refuses_the_others() -> None:
    for protocol in PROTOCOLS:
        assert find_protocol(protocol.name) is protocol
        assert set(protocol.episodes) == set(protocol.min_pixels) <= {b.name for b in BENCHMARKS}
        assert protocol.label == f"{protocol.name}/{protocol.version}"
        for benchmark in BENCHMARKS:
            if benchmark.name in protocol.episodes:
                protocol.require(benchmark)
            else:
                with pytest.raises(UsageError, match=f"{protocol.name} is not defined for {benchmark.title}; it is"):
                    protocol.require(benchmark)
    assert set(STRICT.episodes) == {b.name for b in BENCHMARKS}
    described = {b.name for b in BENCHMARKS if b.rules}
    assert set(STRICT.episodes) - set(HSNET.episodes) == {"coco-20i-contiguous", *described}
    assert set(STRICT.episodes) - set(HDMNET.episodes) == {"fss-1000", "coco-20i-to-pascal", *described}


def test_headline_scores_and_seeds_are_the_published_ones() -> None:
    assert {p.name: p.headline.name for p in PROTOCOLS} == {
        "strict": "original/ignore",
        "hsnet": "model/ignore",
        "hdmnet": "original/ignore",
    }
    assert HSNET.seeds == (0,)
    assert HDMNET.seeds == (510, 365, 382, 322, 988, 98, 742, 17, 595, 106)


# --- tracks ---------------------------------------------------------------------------------------------


def test_the_digest_is_that_of_the_lines() -> None:
    drawn = track((Episode(3, "2007_000033", ("2007_000063", "abacus/1")), Episode(4, "a", ("b", "c"))), shot=2)
    text = b"3\t2007_000033\t2007_000063\tabacus/1\n4\ta\tb\tc\n"
    assert drawn.text.encode() == text
    assert drawn.digest == sha256(text).hexdigest()


@given(st.lists(st.tuples(st.integers(0, 9), ids, ids), min_size=2, max_size=6, unique=True))
def test_other_episodes_or_another_order_have_another_digest(drawn: list[tuple[int, str, str]]) -> None:
    episodes = tuple(Episode(c, query, (support,)) for c, query, support in drawn)
    assert track(episodes).digest != track(episodes[::-1]).digest
    assert track(episodes).digest != track(episodes[:-1]).digest


def test_a_track_is_cut_to_its_first_episodes_and_no_further() -> None:
    drawn = track(tuple(Episode(0, str(n), ("x",)) for n in range(5)))
    assert drawn.first(2).episodes == drawn.episodes[:2]
    assert drawn.first(5) == drawn
    for n in (0, 6):
        with pytest.raises(UsageError, match=rf"{n} episodes were asked of a track of 5 \(coco-20i fold 0, 1-shot"):
            drawn.first(n)


def test_all_episodes_of_a_track_have_its_number_of_supports() -> None:
    with pytest.raises(UsageError, match="episode 1 of a 1-shot track has 2 supports"):
        track((Episode(0, "a", ("b",)), Episode(0, "a", ("b", "c"))))


@given(st.lists(ids, unique=True))
def test_the_digest_of_a_pool_does_not_depend_on_its_order(pool: list[str]) -> None:
    assert pool_digest(pool) == pool_digest(pool[::-1])
    assert pool_digest(["a", "b"]) == sha256(b"a\nb\n").hexdigest()


# --- errors ---------------------------------------------------------------------------------------------


def test_the_tree_of_errors_is_complete_and_drawn() -> None:
    found = {n for n, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, FssbenchError)}
    assert found == {name for name in errors.__all__ if inspect.isclass(getattr(errors, name))}
    assert all(name in (errors.__doc__ or "") for name in found)


def test_an_error_says_its_problem_and_its_remedy_in_one_line() -> None:
    error = UsageError("there is no x", remedy="take y")
    assert str(error) == "there is no x; take y"
    assert (error.problem, error.remedy) == ("there is no x", "take y")
    assert str(UsageError("there is no x")) == "there is no x"


# --- tables ---------------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="only Linux lists the threads of a process")
def test_a_table_comes_back_and_no_thread_of_arrow_is_left_to_abort_the_process() -> None:
    script = """if True:
        import os, pyarrow as pa
        from fssbench.base import parquet

        def threads():
            tasks = [f"/proc/self/task/{task}" for task in os.listdir("/proc/self/task")]
            return {task for task in tasks if "jemalloc" not in open(f"{task}/comm").read()}

        table = pa.table({"n": list(range(100_000)), "text": [str(n) for n in range(100_000)]})
        data = parquet.encode(table)
        before = threads()
        assert parquet.read(data).equals(table)
        assert parquet.read(data, columns=("n", "absent")).column_names == ["n"]
        assert threads() == before, (before, threads())
    """
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)

"""Split files: what is in them is read in order, checked line by line, and never run."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from published_lists import BENCHMARKS, encode, stored

from fssbench.base.errors import SourceError, UsageError
from fssbench.episodes.benchmarks import COCO_20I, FSS_1000, PASCAL_5I, TOY_20I
from fssbench.episodes.protocols import HDMNET, HSNET
from fssbench.pipelines.sources import hsnet_splits, published_files
from fssbench.pipelines.sources.hsnet_splits import HsnetSplits
from fssbench.pipelines.sources.pickles import load_plain
from fssbench.pipelines.sources.published_files import published_digests
from fssbench.pipelines.sources.splits import open_splits

PAIRS = "2007_000033__01\n2007_000061__04\n2007_000033__03\n2008_000001__01\n"
COCO: dict[int, list[str]] = {
    **{c: [] for c in range(80)},
    1: ["val2014/COCO_val2014_000000000042.jpg", "val2014/COCO_val2014_000000000007.jpg"],
    5: ["val2014/COCO_val2014_000000000007.jpg"],
}


def write(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def pascal(folder: Path, content: bytes | str = PAIRS) -> HsnetSplits:
    return HsnetSplits(write(folder, "pascal/val/fold0.txt", content), PASCAL_5I)


def coco(folder: Path, content: object = COCO, *, protocol: int = 2) -> HsnetSplits:
    data = content if isinstance(content, bytes) else pickle.dumps(content, protocol)
    return HsnetSplits(write(folder, "coco/val/fold1.pkl", data), COCO_20I)


# --- what is in them ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_pascals_pairs_keep_their_order(tmp_path: Path, ends: str) -> None:
    lists = pascal(tmp_path, PAIRS.replace("\n", ends)).lists(0)
    asked = [("2007_000033", (0,)), ("2007_000061", (3,)), ("2007_000033", (2,)), ("2008_000001", (0,))]
    assert list(lists.queries) == asked
    assert lists.pools == {
        0: ("2007_000033", "2008_000001"), 1: (), 2: ("2007_000033",), 3: ("2007_000061",), 4: ()
    }  # fmt: skip


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_cocos_pickle_is_read_in_any_protocol(tmp_path: Path, protocol: int) -> None:
    lists = coco(tmp_path, protocol=protocol).lists(1)
    assert tuple(lists.pools) == COCO_20I.novel_classes(1)
    assert lists.pools[1] == ("000000000042", "000000000007")
    assert lists.pools[5] == ("000000000007",)
    assert lists.pools[9] == ()
    assert not lists.queries


def test_fss_classes_are_sorted_and_stand_for_ten_images_each(tmp_path: Path) -> None:
    lists = HsnetSplits(write(tmp_path, "fss/test.txt", "zebra\r\nabacus\r\n"), FSS_1000).lists(0)
    assert lists.pools[760] == tuple(f"abacus/{n}" for n in range(1, 11))
    assert lists.pools[761][0] == "zebra/1"
    assert lists.pools[762] == ()
    assert [image for image, _ in lists.queries][:4] == ["abacus/1", "abacus/10", "abacus/2", "abacus/3"]
    assert HsnetSplits(tmp_path / "fss/test.txt", FSS_1000).lists(0) == lists


@pytest.mark.parametrize("place", [".", "pascal", ".."])
def test_the_folder_may_be_any_of_three(tmp_path: Path, place: str) -> None:
    """The one with all benchmarks, the benchmark's own, or one that has the first as ``hsnet``."""
    pascal(tmp_path / "hsnet")
    assert HsnetSplits(tmp_path / "hsnet" / place, PASCAL_5I).lists(0).queries


def test_a_file_is_recorded_by_its_published_name_and_known_or_not(tmp_path: Path) -> None:
    found = pascal(tmp_path)
    (record,) = found.records(0)
    assert (record.name, record.bytes) == ("pascal/val/fold0.txt", len(PAIRS))
    assert record.sha256 == hashlib.sha256(PAIRS.encode()).hexdigest()
    (reason,) = found.unofficial(0)
    assert reason == f"pascal/val/fold0.txt is not the published split file: its SHA-256 is {record.sha256[:12]}…"


def test_all_published_files_have_a_known_hash() -> None:
    names = {f"{b}/{part}/fold{i}.{end}" for b, end in (("pascal", "txt"), ("coco", "pkl"))
             for part in ("trn", "val") for i in range(4)}  # fmt: skip
    assert set(published_digests("hsnet")) == names | {"fss/trn.txt", "fss/val.txt", "fss/test.txt"}
    assert all(len(digest) == 64 for digest in published_digests("hsnet").values())


# --- what they must not be ------------------------------------------------------------------------------


def refused(made: Callable[[], HsnetSplits], fold: int) -> str:
    with pytest.raises(SourceError) as caught:
        made().lists(fold)
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("2007_000033__01\n2007_000033\n", "fold0.txt has the line '2007_000033', expected an image and a class of"),
        ("2007_000033__06\n", "has the line '2007_000033__06', expected an image and a class of fold 0 (01 to 05)"),
        ("2007_000033__00\n", "has the line '2007_000033__00'"),
        ("2007_000033__01\n2007_000033__01\n", "names '2007_000033__01' twice"),
        ("", "is empty"),
        (b"\xff\xfe\x00", "is not a text file"),
    ],
)
def test_malformed_pairs_are_refused_with_file_and_line(tmp_path: Path, content: bytes | str, message: str) -> None:
    assert message in refused(lambda: pascal(tmp_path, content), 0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "fold1.pkl is not a dict of class index → list of paths"),
        ({80: []}, "is not a dict of class index"),
        (pickle.dumps({True: []}, 0), "is not a dict of class index"),
        ({1: "abc"}, "is not a dict of class index"),
        ({1: [7]}, "lists '7' for class 1, expected a path such as val2014/COCO_val2014_000000000042.jpg"),
        ({1: ["../../etc/passwd"]}, "lists '../../etc/passwd' for class 1"),
        ({1: ["val2014/000000000042.jpg"] * 2}, "lists an image of class 1 twice"),
        ({2: ["val2014/000000000042.jpg"]}, "has images of class 2, none of fold 1's"),
        (b"", "is not a pickle of lists"),
        (b"hello", "is a pickle with the instruction OBJ, which plain lists do not need"),
        (b"2007_000033__01\n", "is not a pickle of lists"),
        (pickle.dumps(COCO)[:-20], "is not a pickle of lists"),
        (pickle.dumps({1: [0.5]}), "is a pickle with the instruction BINFLOAT"),
        (b"\x80\x02]r\xff\xff\xff\x7f.", "is a pickle that asks for 2,147,483,647 places in memory"),
    ],
)
def test_malformed_pickles_are_refused(tmp_path: Path, content: object, message: str) -> None:
    assert message in refused(lambda: coco(tmp_path, content), 1)


class Malicious:
    """Would write a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_would_run_something_is_refused_and_runs_nothing(tmp_path: Path, protocol: int) -> None:
    target = tmp_path / "owned"
    message = refused(lambda: coco(tmp_path, {**COCO, 1: Malicious(target)}, protocol=protocol), 1)
    assert "is a pickle with the instruction" in message
    assert "GLOBAL" in message
    assert not target.exists()


@pytest.mark.parametrize("code", [b"cos\nsystem\n.", b"\x80\x02cos\nmkdir\n(X\x01\x00\x00\x00xtR.", b"(ios\nsystem\n.",
                                  b"\x80\x02\x82\x01.", b"Pid\n."])  # fmt: skip
def test_instructions_that_name_or_call_something_are_refused(code: bytes) -> None:
    with pytest.raises(SourceError, match="is a pickle with the instruction"):
        load_plain(code, where="x")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.data())
def test_any_damage_is_a_refusal_or_another_list_but_never_a_crash(data: st.DataObject) -> None:
    """Flipping bytes of a pickle gives a `SourceError` or plain data, and nothing else."""
    content = bytearray(pickle.dumps({c: COCO[c] for c in (1, 5)}, data.draw(st.integers(0, 5))))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        loaded = load_plain(bytes(content), where="x")
    except SourceError:
        return
    assert isinstance(loaded, dict | list | tuple | str | int)


def test_what_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published_files, "LARGEST", 10)
    assert "has 64 bytes, a split file has at most 10" in refused(lambda: pascal(tmp_path), 0)
    monkeypatch.undo()
    monkeypatch.setattr(hsnet_splits, "MOST_IMAGES", 2)
    assert "lists 3 images, expected at most 2" in refused(lambda: coco(tmp_path), 1)


def test_shared_lists_cannot_blow_up(tmp_path: Path) -> None:
    """A small pickle whose classes all name one long list is counted before it is walked."""
    shared = ["val2014/COCO_val2014_000000000042.jpg"] * 60_000
    content = pickle.dumps(dict.fromkeys(COCO_20I.novel_classes(1), shared))
    assert "lists 1,200,000 images, expected at most 1,000,000" in refused(lambda: coco(tmp_path, content), 1)


def test_missing_files_and_benchmarks_without_any_are_named(tmp_path: Path) -> None:
    message = refused(lambda: HsnetSplits(tmp_path, PASCAL_5I), 0)
    assert message.startswith(f"there is no split file {tmp_path}/pascal/val/fold0.txt; point --splits at HSNet's")
    names = "\n".join(f"class{n}" for n in range(241))
    found = HsnetSplits(write(tmp_path, "test.txt", names), FSS_1000)
    assert "has 241 classes, the benchmark tests 240" in refused(lambda: found, 0)
    found = HsnetSplits(write(tmp_path, "test.txt", "a\n../b\n"), FSS_1000)
    assert "names '../b', expected names of folders" in refused(lambda: found, 0)
    with pytest.raises(UsageError, match="no split files of the protocol hdmnet for Toy-20i that can be read"):
        open_splits(HDMNET, TOY_20I, tmp_path)
    with pytest.raises(UsageError, match="no split files of the protocol hsnet for Toy-20i"):
        open_splits(HSNET, TOY_20I, tmp_path)
    with pytest.raises(UsageError, match="COCO-20i has no fold 4"):
        HsnetSplits(tmp_path, COCO_20I).lists(4)


def test_the_published_files_are_known_and_have_the_published_numbers(published_splits: Path) -> None:
    listed = [HsnetSplits(published_splits, PASCAL_5I).lists(fold) for fold in range(4)]
    assert [len(lists.queries) for lists in listed] == [346, 451, 725, 346]
    found = HsnetSplits(published_splits, COCO_20I)
    images = [{i for ids in found.lists(fold).pools.values() for i in ids} for fold in range(4)]
    assert [len(ids) for ids in images] == [26_052, 15_305, 13_138, 12_640]
    assert len(HsnetSplits(published_splits, FSS_1000).lists(0).queries) == 2_400
    for benchmark in (PASCAL_5I, COCO_20I, FSS_1000):
        for fold in range(len(benchmark.folds)):
            assert HsnetSplits(published_splits, benchmark).unofficial(fold) == ()


@pytest.mark.real
def test_the_stored_lists_are_those_of_the_published_files(real_splits: Path, published_splits: Path) -> None:
    """What stands in ``golden/lists`` can be derived again from a user's copy."""
    for benchmark, table in encode(real_splits).items():
        assert table.equals(stored(benchmark))
    for path in (path for path in published_splits.rglob("*") if path.is_file()):
        assert path.read_bytes() == (real_splits / path.relative_to(published_splits)).read_bytes()


def test_lists_are_encoded_from_published_files_alone(published_splits: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(published_splits, tmp_path / "splits")
    assert {b: table.equals(stored(b)) for b, table in encode(copy).items()} == dict.fromkeys(BENCHMARKS, True)
    path = copy / "coco/val/fold2.pkl"
    lists = pickle.loads(path.read_bytes())
    path.write_bytes(pickle.dumps({c: ids[::-1] for c, ids in lists.items()}, protocol=3))
    with pytest.raises(ValueError, match=r"coco/val/fold2\.pkl is not the published split file"):
        encode(copy)


def test_plain_data_comes_back_as_it_was() -> None:
    stored = {1: ["a", ["b", (1, 2, "ü")]], "x": {}, 70_000: (), -5: (1,)}
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        buffer = io.BytesIO()
        pickle.dump(stored, buffer, protocol)
        assert load_plain(buffer.getvalue(), where="x") == stored

"""Our own tar files: WebDataset writes the same bytes, and reads the same samples."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from webdataset import TarWriter

from fssbench.base.errors import EpisodeSetError
from fssbench.pipelines.episode_sets.stream import by_webdataset
from fssbench.pipelines.formats.shards import Unpack, prediction_samples, sample_spans
from fssbench.pipelines.formats.tar import pack, spans, unpack

parts = st.text("abAB01", min_size=1, max_size=3)
names = st.lists(parts, min_size=1, max_size=3).map(".".join)
paths = st.lists(names, min_size=1, max_size=2).map("/".join)
contents = st.binary(max_size=40)
members = st.dictionaries(st.sampled_from(["jpg", "json", "mask.png"]), contents, min_size=1)
samples = st.lists(st.tuples(parts, members), max_size=5)


def tarred(files: list[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@given(samples=samples)
def test_webdataset_writes_the_same_bytes(samples: list[tuple[str, dict[str, bytes]]]) -> None:
    """Whatever the samples, a file of ours is the one that WebDataset's writer makes of them."""
    ours, theirs = io.BytesIO(), io.BytesIO()
    pack(ours, samples)
    with TarWriter(theirs, encoder=False, mtime=0, user="", group="", mode=0o644) as writer:
        for key, found in samples:
            writer.write({"__key__": key, **found})
    assert ours.getvalue() == theirs.getvalue()


@given(files=st.lists(st.tuples(paths, contents), max_size=6, unique_by=lambda file: file[0].lower()))
def test_webdataset_reads_the_same_samples(files: list[tuple[str, bytes]]) -> None:
    """Whatever the names of the members, both group them into the same samples, in order."""
    data = tarred(files)
    assert [*unpack(data)] == [*by_webdataset(data)]


@pytest.mark.parametrize("read", [unpack, by_webdataset])
def test_a_member_that_stands_twice_is_refused(read: Unpack) -> None:
    with pytest.raises(ValueError, match=r"a\.json"):
        [*read(tarred([("a.json", b"1"), ("a.json", b"2")]))]


@pytest.mark.parametrize("read", [unpack, by_webdataset])
def test_a_cut_file_is_refused(read: Unpack) -> None:
    data = tarred([("a.json", b"1" * 2000)])
    with pytest.raises(tarfile.ReadError, match="unexpected end of data"):
        [*read(data[:1500])]


def test_a_member_with_holes_is_refused() -> None:
    """Its few bytes may stand for more than there is memory."""
    info = tarfile.TarInfo("a.json")
    info.pax_headers = {"GNU.sparse.size": f"{1 << 50}", "GNU.sparse.numblocks": "1", "GNU.sparse.map": "0,1"}
    data = info.tobuf(tarfile.PAX_FORMAT) + b"\0" * 1024
    with pytest.raises(ValueError, match=r"a\.json is stored with holes"):
        [*unpack(data)]


def test_a_header_that_tarfile_cannot_read_is_told_as_damage() -> None:
    info = tarfile.TarInfo("a.json")
    info.pax_headers = {"GNU.sparse.size": "x"}
    data = info.tobuf(tarfile.PAX_FORMAT) + b"\0" * 1024
    with pytest.raises(EpisodeSetError, match="it cannot be read as a tar file: "):
        [*prediction_samples(data, where="it")]
    with pytest.raises(EpisodeSetError, match="it cannot be read as a tar file: "):
        sample_spans(data, where="it")


@given(samples=st.lists(st.tuples(parts, members), max_size=5, unique_by=lambda sample: sample[0]))
def test_spans_lie_side_by_side_from_the_first_byte_on(samples: list[tuple[str, dict[str, bytes]]]) -> None:
    """Whatever the samples, each begins where the one before it ends; nothing but zeros holds no sample."""
    file = io.BytesIO()
    pack(file, samples)
    found = list(spans(file.getvalue()).values())
    assert [start for start, _ in found] == [0, *(end for _, end in found)][: len(found)]
    assert spans(bytes(len(file.getvalue()))) == {}

"""Samples as tar files by WebDataset's rules: the same bytes for the same samples, read without any of its imports."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import BinaryIO

__all__ = ["TarSample", "pack", "packed_size", "spans", "unpack"]

TarSample = tuple[str, Mapping[str, bytes]]
"""A sample's key, and its members by suffix."""

NAME = re.compile(r"(?P<key>(?:.*/)?[^.]+)\.(?P<suffix>[^/]*)", re.DOTALL)
"""A member's name: a key up to the first dot of its last part, and a suffix that may have dots of its own."""


def pack(file: BinaryIO, samples: Iterable[TarSample]) -> None:
    """Write samples in the given order; time stamp, owner and mode are fixed, so only content matters."""
    with tarfile.open(fileobj=file, mode="w|", format=tarfile.USTAR_FORMAT) as tar:
        for key, members in samples:
            for suffix, data in sorted(members.items()):
                member = tarfile.TarInfo(f"{key}.{suffix}")
                member.size, member.mode = len(data), 0o644
                tar.addfile(member, io.BytesIO(data))


def packed_size(members: Mapping[str, bytes]) -> int:
    """Bytes that a sample takes in a tar file: whole blocks, and one more before each member."""
    return sum(tarfile.BLOCKSIZE * (1 - -len(data) // tarfile.BLOCKSIZE) for data in members.values())


def unpack(data: bytes) -> Iterator[TarSample]:
    """A tar file's samples: neighbouring members with one key belong together.

    Raises one of `DAMAGED_TAR` if it cannot be read to its end, a member has holes, or two of a sample have one name.
    """
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        for key, members in groupby(_members(tar), key=lambda member: member[0]):
            sample: dict[str, bytes] = {}
            for _, suffix, content in members:
                if suffix in sample:
                    raise ValueError(f"{key}.{suffix} stands in it twice")
                sample[suffix] = content
            yield key, sample


def spans(data: bytes) -> dict[str, tuple[int, int]]:
    """By key where a tar file's samples begin and end, padding included; one of `DAMAGED_TAR` if it cannot be read."""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        members = [(one.name.partition(".")[0], one.offset, one.offset_data + one.size) for one in tar]
    if not members:
        return {}
    starts = [(key, start) for n, (key, start, _) in enumerate(members) if n == 0 or members[n - 1][0] != key]
    padded = -(-members[-1][2] // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    ends = [*(start for _, start in starts[1:]), padded]
    return {key: (start, end) for (key, start), end in zip(starts, ends, strict=True)}


def _members(tar: tarfile.TarFile) -> Iterator[tuple[str, str, bytes]]:
    """Key, suffix and content of every file that belongs to a sample."""
    for member in tar:
        if member.issparse():  # a few bytes may stand for any amount of memory
            raise ValueError(f"{member.name} is stored with holes")
        named = NAME.fullmatch(member.name)
        content = tar.extractfile(member) if member.isreg() else None
        if named is not None and content is not None:
            yield named["key"], named["suffix"].lower(), content.read()

"""List files that publications ship: their SHA-256 and the limit within which they are read."""

from __future__ import annotations

from functools import cache
from importlib.resources import files as package_files
from pathlib import Path

from fssbench.base.errors import SourceError
from fssbench.base.files import sha256_bytes
from fssbench.pipelines.sources import files
from fssbench.schemas.manifest import FileRecord

__all__ = ["differences", "published_digests", "read_limited", "record"]

LARGEST = 16 << 20
"""Bytes of the largest file that is read; the published ones have up to 4.1 million."""


@cache
def published_digests(protocol: str) -> dict[str, str]:
    """SHA-256 (hex) of every published list file of a protocol by its name, such as ``coco/val/fold0.pkl``."""
    table = package_files("fssbench.pipelines.sources").joinpath(f"{protocol}.sha256").read_text()
    lines = (line.split() for line in table.splitlines() if not line.startswith("#"))
    return {name: digest for digest, name in lines}


def read_limited(path: Path) -> bytes:
    """A list file's bytes; `SourceError` if it is too large or cannot be read."""
    if (size := path.stat().st_size) > LARGEST:
        raise SourceError(
            f"{path} has {size:,} bytes, a split file has at most {LARGEST:,}",
            remedy="use the split files as published",
        )
    return files.read_bytes(path)


def record(name: str, data: bytes) -> FileRecord:
    """A list file as a manifest states it, by its published name."""
    return FileRecord(name=name, sha256=sha256_bytes(data), bytes=len(data))


def differences(protocol: str, records: tuple[FileRecord, ...], *, kind: str = "split file") -> tuple[str, ...]:
    """Which of some files are not the published ones, and which are not known; one line each."""
    known, reasons = published_digests(protocol), []
    for file in records:
        if file.name not in known:
            reasons.append(f"the SHA-256 of the published {file.name} is not known")
        elif known[file.name] != file.sha256:
            reasons.append(f"{file.name} is not the published {kind}: its SHA-256 is {file.sha256[:12]}…")
    return tuple(reasons)

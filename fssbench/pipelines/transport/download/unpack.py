"""Archives, zip or tar, unpacked into a folder that nothing in them can leave."""

from __future__ import annotations

import gzip
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from fssbench.base.archives import DAMAGED_TAR
from fssbench.base.errors import SourceError, StorageError
from fssbench.base.files import storage_errors

__all__ = ["unpack"]

MOST_INFLATED = 20
"""Images hardly shrink in an archive, annotations to a fifth; what claims to be 20 times its archive is a bomb."""
HARMLESS = 1 << 28
"""Bytes that any archive may hold."""

NOT_PLAIN = "which is a link or a device, neither file nor folder"
DAMAGE = (
    zipfile.BadZipFile,
    *DAMAGED_TAR,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    NotImplementedError,  # a compression that zipfile does not know
    IsADirectoryError,  # a file and a folder of one name
)
REMEDY = "nothing of it was kept; fetch it again, and do not use it if that does not help"


@dataclass(frozen=True, kw_only=True)
class Member:
    """A member of an archive: what it says of itself, and how it is written below a folder."""

    name: str
    size: int
    refused: str
    extract: Callable[[Path], object]

    @property
    def objection(self) -> str:
        """Why it is not to be unpacked; empty if it may be."""
        path = PurePosixPath(self.name)
        if path.is_absolute() or ".." in path.parts or "\\" in self.name:
            return "which leads out of its folder"
        return self.refused


def unpack(archive: Path, folder: Path, *, say: Callable[[str], None] = lambda _: None) -> None:
    """Unpack ``archive``, a zip, a tar or a gzipped tar, into the new folder ``folder``.

    Only files and folders are unpacked, all of them below ``folder``; an archive that holds anything else, or that
    claims to inflate to more than 20 times its size, is refused before the first of them is written.

    Args:
        say: called with how far it is.

    Raises:
        SourceError: it is damaged, or not such an archive.
        StorageError: the disk cannot hold it.
    """
    with storage_errors(folder), _opened(archive) as members:
        accepted = _checked(members, archive)
        total = sum(member.size for member in accepted)
        folder.mkdir(parents=True)
        if (free := shutil.disk_usage(folder).free) < total:
            raise StorageError(
                f"{archive.name} unpacks to {total:,} bytes, and {folder.parent} has {free:,} free",
                remedy="make room and run the same command again; what is finished is kept",
            )
        done = 0
        for member in accepted:
            member.extract(folder)
            done += member.size
            say(f"unpacked {100 * done // max(total, 1)} %")


def _checked(members: Iterator[Member], archive: Path) -> list[Member]:
    """All members, none of which has been written yet."""
    most = max(MOST_INFLATED * archive.stat().st_size, HARMLESS)
    accepted, total = [], 0
    for member in members:  # of a compressed tar one by one, so that a bomb is known before it is inflated
        if reason := member.objection:
            raise SourceError(f"{archive.name} holds {member.name[:80]!r}, {reason}", remedy=REMEDY)
        total += member.size
        if total > most:
            raise SourceError(f"{archive.name} claims to unpack to more than {most:,} bytes", remedy=REMEDY)
        accepted.append(member)
    return accepted


@contextmanager
def _opened(archive: Path) -> Iterator[Iterator[Member]]:
    try:
        if archive.name.endswith(".zip"):
            with zipfile.ZipFile(archive) as opened:
                yield _zip_members(opened)
        else:
            with tarfile.open(archive, "r:" if archive.name.endswith(".tar") else "r:gz") as tar:
                # A second belt, unknown to Pythons before 3.11.4: what it refuses, `_checked` has refused already.
                tar.extraction_filter = getattr(tarfile, "data_filter", None)
                yield _tar_members(tar)
    except DAMAGE as error:
        raise SourceError(f"{archive.name} cannot be unpacked: {error}", remedy=REMEDY) from error


def _zip_members(opened: zipfile.ZipFile) -> Iterator[Member]:
    for info in opened.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)  # 0 if the archive is not from Unix
        refused = "" if kind in (0, stat.S_IFREG, stat.S_IFDIR) else NOT_PLAIN
        if info.flag_bits & 1:
            refused = "which is encrypted"
        yield Member(name=info.filename, size=info.file_size, refused=refused, extract=partial(opened.extract, info))


def _tar_members(tar: tarfile.TarFile) -> Iterator[Member]:
    for info in tar:
        refused = "" if info.isfile() or info.isdir() else NOT_PLAIN
        yield Member(name=info.name, size=info.size, refused=refused, extract=partial(tar.extract, info))

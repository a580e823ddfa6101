"""A folder elsewhere, used like a path as far as reading an episode set needs one."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from fssbench.base.errors import EpisodeSetError
from fssbench.base.files import sha256_bytes
from fssbench.pipelines.transport.attempts import GaveUpError, Patience, persist
from fssbench.pipelines.transport.cache import Cache
from fssbench.schemas.manifest import FileRecord

__all__ = ["PATIENCE", "AbsentError", "RefusedError", "Remote", "Transport", "difference"]

PATIENCE = Patience(silence=30.0, attempts=5, pause=0.5)
SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""Names that mean the same in an address, in a bucket and to a shell."""


class AbsentError(Exception):
    """The file is not there, or may not be known to be there."""


class RefusedError(Exception):
    """What no further attempt can help."""


class Transport(Protocol):
    """A way to get files by their names below a place."""

    searchable: bool
    """Whether it can be asked for a file that may not be there, as often as one likes."""

    def address(self, name: str) -> str:
        """How users know the file called ``name``, such as ``coco-20i/strict/fold0/manifest.json``."""

    def attempts(self, name: str, *, silence: float) -> Callable[[], bytes]:
        """A function that tries once to get the file whole; called again, it may go on after what came.

        It raises `AttemptError` if another attempt may help, `AbsentError` or `RefusedError` if none can.

        Args:
            silence: seconds without a byte after which an attempt is given up.
        """


@dataclass(frozen=True, eq=False)
class Remote:
    """A folder, or a file in it, that is read through a transport.

    Attributes:
        parts: names below what the transport calls its root.
        patience: how many attempts, and how long to wait for each.
        cache: shards fetched before, or ``None`` to fetch always.
        read: what `read_bytes` found, by name, so that it is asked for once; the error if it is not there.
    """

    transport: Transport
    parts: tuple[str, ...] = ()
    patience: Patience = PATIENCE
    cache: Cache | None = None
    read: dict[str, bytes | AbsentError] = field(default_factory=dict, repr=False)

    def __truediv__(self, name: str) -> Remote:
        """What is called ``name`` (or ``a/b/c``) in this folder; `EpisodeSetError` if a name could do harm."""
        parts = name.split("/")
        if unsafe := [part for part in parts if not SAFE.fullmatch(part)]:
            raise EpisodeSetError(
                f"{self} cannot be asked for '{unsafe[0]}': a name must be of letters, digits, and . _ -",
                remedy="rename it where the set was made",
            )
        return self._at((*self.parts, *parts))

    def _at(self, parts: tuple[str, ...]) -> Remote:
        return Remote(self.transport, parts, patience=self.patience, cache=self.cache, read=self.read)

    def uncached(self) -> Remote:
        """The same place, where everything is fetched anew."""
        return Remote(self.transport, self.parts, patience=self.patience)

    @property
    def name(self) -> str:
        """The last part of its address."""
        return str(self).rpartition("/")[2]

    def __str__(self) -> str:
        return self.transport.address(self.file_name)

    @property
    def file_name(self) -> str:
        """Its name below the transport's root."""
        return "/".join(self.parts)

    def is_file(self) -> bool:
        """Whether there is such a file; it is read to find out, and kept."""
        try:
            self.read_bytes()
        except FileNotFoundError:
            return False
        return True

    def read_bytes(self) -> bytes:
        """A small file's bytes.

        Raises:
            FileNotFoundError: it is not there.
            EpisodeSetError: it cannot be read.
        """
        if self.file_name not in self.read:
            try:
                self.read[self.file_name] = self._fetch()
            except AbsentError as error:
                self.read[self.file_name] = error
        found = self.read[self.file_name]
        if isinstance(found, AbsentError):
            raise FileNotFoundError(str(found))
        return found

    def read_checked(self, record: FileRecord) -> bytes:
        """The bytes of a file of this folder, if they are those that are recorded; from the cache if it has them.

        Bytes that differ are asked for once more, in case something on the way is to blame.

        Raises:
            EpisodeSetError: it is missing, cannot be read, or has other bytes.
        """
        if self.cache is not None and (data := self.cache.get(record)) is not None:
            return data
        file = self / record.name
        for last in (False, True):
            try:
                data = file._fetch()
            except AbsentError as error:
                raise EpisodeSetError(f"{file} is missing: {error}", remedy="upload it again, complete") from error
            wrong = difference(data, record)
            if not wrong:
                if self.cache is not None:
                    self.cache.put(record, data)
                return data
            if last:
                break
        raise EpisodeSetError(f"{file} {wrong}, in two attempts", remedy="upload it again, complete")

    def _fetch(self) -> bytes:
        """The file's bytes; several attempts in a row may come no further."""
        try:
            return persist(self.transport.attempts(self.file_name, silence=self.patience.silence), self.patience)
        except RefusedError as error:
            raise EpisodeSetError(
                f"{self} cannot be read: {error}",
                remedy="check the address, the connection, and whether you are logged in there",
            ) from error
        except GaveUpError as error:
            raise EpisodeSetError(
                f"{self} cannot be read: {error}",
                remedy="check the address and the connection, and run the same command again",
            ) from error


def difference(data: bytes, record: FileRecord) -> str:
    """How ``data`` differs from what the manifest records; empty if it does not."""
    if len(data) != record.bytes:
        return f"has {len(data):,} bytes, the manifest says {record.bytes:,}"
    if (found := sha256_bytes(data)) != record.sha256:
        return f"is damaged: its SHA-256 is {found[:16]}…, the manifest says {record.sha256[:16]}…"
    return ""

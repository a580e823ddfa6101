"""A file fetched whole: in as many attempts as it takes, and under its name only when it has been checked."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from fssbench.base.errors import SourceError
from fssbench.base.files import PARTIAL, storage_errors, write_atomic
from fssbench.base.progress import Advance, no_progress
from fssbench.base.records import Record
from fssbench.pipelines.transport.attempts import AttemptError, FurtherError, GaveUpError, Patience, persist
from fssbench.pipelines.transport.connection import Answer, StaleError, ask
from fssbench.pipelines.transport.download.catalogue import RemoteFile

__all__ = ["PATIENCE", "difference", "fetch", "partial_size"]


PATIENCE = Patience()


class Origin(Record):
    """What a partial file is the beginning of; stored beside it."""

    url: str
    validator: str | None
    total: int | None


def fetch(
    file: RemoteFile,
    path: Path,
    *,
    advance: Advance = no_progress,
    say: Callable[[str], None] = lambda _: None,
    patience: Patience = PATIENCE,
) -> None:
    """Fetch ``file`` to ``path``, going on with ``path.partial`` if an earlier run left the beginning there.

    Args:
        advance: called with bytes just received; a negative number if they have to be fetched again.
        say: called with what else it does: wait for the next attempt, check what came.

    Raises:
        SourceError: the server refuses or fails too often (what was received is kept), or offers another file
            than the catalogue describes.
        StorageError: the disk is full, or the like; what was received is kept.
    """
    begun = _Partial(path, file)
    with storage_errors(begun.path):
        path.parent.mkdir(parents=True, exist_ok=True)
        begun.take_up()
        advance(begun.size)
        _receive_all(begun, advance, say, patience)
        say("checking it")
        if wrong := difference(file, begun.path):
            begun.drop()
            raise SourceError(
                f"what {begun.url} sent {wrong}",
                remedy="it was damaged on the way, and deleted: run the same command again; if that does not help, "
                "its publisher has changed it",
            )
        _flush(begun.path)
        begun.path.replace(path)
        begun.record.unlink(missing_ok=True)


def partial_size(path: Path) -> int:
    """How many bytes an earlier run has fetched of what is to become ``path``."""
    begun = path.with_name(path.name + PARTIAL)
    return begun.stat().st_size if begun.is_file() else 0


def difference(file: RemoteFile, path: Path) -> str:
    """How ``path`` differs from the size and the stronger checksum that are known of ``file``; empty if it does not."""
    if file.bytes is not None and (size := path.stat().st_size) != file.bytes:
        return f"has {size:,} bytes, expected {file.bytes:,}"
    algorithm, expected = ("SHA-256", file.sha256) if file.sha256 is not None else ("MD5", file.md5)
    if expected is None:
        return ""
    with path.open("rb") as content:
        kind = hashlib.sha256 if algorithm == "SHA-256" else partial(hashlib.md5, usedforsecurity=False)
        found = hashlib.file_digest(content, kind).hexdigest()
    return "" if found == expected else f"has the {algorithm} {found}, expected {expected}"


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


class _Partial:
    """The beginning of a file, on disk, with a record of where it came from."""

    def __init__(self, path: Path, file: RemoteFile) -> None:
        assert file.url is not None
        self.file = file
        self.url = file.url
        self.path = path.with_name(path.name + PARTIAL)
        self.record = path.with_name(path.name + ".origin.json")
        self.size = partial_size(path)
        self.origin = Origin(url=self.url, validator=None, total=None)

    @property
    def whole(self) -> int | None:
        """Bytes of the whole file, if anyone says."""
        return self.file.bytes if self.origin.total is None else self.origin.total

    def take_up(self) -> None:
        """Go on with what is there, if it came from this address."""
        try:
            origin = Origin.model_validate_json(self.record.read_bytes())
        except (FileNotFoundError, ValidationError):
            origin = None
        if origin is not None and origin.url == self.url and self.size <= (origin.total or self.size):
            self.origin = origin
        else:
            self.drop()

    def drop(self) -> None:
        """Forget what was received."""
        self.path.unlink(missing_ok=True)
        self.record.unlink(missing_ok=True)
        self.size = 0

    def receive(self, advance: Advance, *, timeout: float) -> None:
        """One attempt to get the rest."""
        validator = self.origin.validator
        tellable = validator is not None or self.origin.total is not None
        with ask(self.url, start=self.size if tellable else 0, validator=validator, timeout=timeout) as answer:
            self._require_same(answer)
            if answer.start == 0:
                advance(-self.size)
                self.drop()
                self.origin = Origin(url=self.url, validator=answer.validator, total=answer.total)
                write_atomic(self.record, self.origin.model_dump_json())
            self._append(answer, advance)
        if self.whole is not None and self.size < self.whole:
            raise AttemptError(f"the server stopped after {self.size:,} of {self.whole:,} bytes")

    def _require_same(self, answer: Answer) -> None:
        """The server has the file of the catalogue, and its rest belongs to what was received."""
        if answer.total is not None and self.file.bytes is not None and answer.total != self.file.bytes:
            raise SourceError(
                f"{self.url} has {answer.total:,} bytes, expected {self.file.bytes:,}",
                remedy="its publisher has changed it, or something else answers in its place: fetch it by hand",
            )
        if answer.start:  # not every server heeds If-Range
            pairs = ((answer.validator, self.origin.validator), (answer.total, self.origin.total))
            if any(new is not None and old is not None and new != old for new, old in pairs):
                raise StaleError("the file has changed on the server")

    def _append(self, answer: Answer, advance: Advance) -> None:
        """Write what comes, until it is more than the file should have."""
        with self.path.open("ab") as out:
            while chunk := answer.read():
                out.write(chunk)
                self.size += len(chunk)
                advance(len(chunk))
                if self.file.bytes is not None and self.size > self.file.bytes:
                    self.drop()
                    raise SourceError(
                        f"{self.url} sends more than the {self.file.bytes:,} bytes expected",
                        remedy="its publisher has changed it: fetch it by hand",
                    )


def _receive_all(begun: _Partial, advance: Advance, say: Callable[[str], None], patience: Patience) -> None:
    """Attempts, each going on after the last, until all is there or several in a row bring nothing new."""
    most = begun.size

    def attempt() -> None:
        nonlocal most
        if begun.size and begun.size == begun.whole:
            return
        try:
            begun.receive(advance, timeout=patience.silence)
        except AttemptError as error:
            further, most = begun.size > most, max(most, begun.size)
            if isinstance(error, StaleError):
                advance(-begun.size)
                begun.drop()
            if further:
                raise FurtherError(str(error)) from error
            raise

    def wait(seconds: float) -> None:
        say(f"next attempt in {seconds:g} s")
        time.sleep(seconds)
        say("")

    try:
        persist(attempt, patience, wait=wait)
    except GaveUpError as error:
        raise SourceError(
            f"{begun.url} cannot be fetched: {error}",
            remedy="run the same command later"
            + (f"; it goes on after the {begun.size:,} bytes received" if begun.size else ""),
        ) from error

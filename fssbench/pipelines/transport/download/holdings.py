"""What of a catalogue is wanted in a folder, what of it is there, and how the rest gets there."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from fssbench.base.errors import SourceError, StorageError
from fssbench.base.files import PARTIAL, free_bytes, nearest, storage_errors
from fssbench.base.listing import is_system_file
from fssbench.base.locking import exclusive
from fssbench.base.progress import Advance, no_progress
from fssbench.pipelines.transport.attempts import Patience
from fssbench.pipelines.transport.download.catalogue import RemoteFile
from fssbench.pipelines.transport.download.transfer import PATIENCE, difference, fetch, partial_size
from fssbench.pipelines.transport.download.unpack import unpack

__all__ = ["Holding", "obtain", "require_by_hand", "require_space"]

WORK = "download" + PARTIAL
"""Folder for archives that are being fetched and unpacked, beside what they unpack to."""


@dataclass(frozen=True, kw_only=True)
class Holding:
    """A file of the catalogue, wanted in a folder."""

    file: RemoteFile
    folder: Path

    @property
    def target(self) -> Path:
        """What shows that it is there: a file, or a folder with something in it."""
        return self.folder / (self.file.there[0] if self.file.there else self.file.name)

    @property
    def is_there(self) -> bool:
        """Whether it lies in the folder, in one of the places it may have."""
        return any(_holds_something(self.folder / place) for place in self.file.there or (self.file.name,))

    @property
    def own_archive(self) -> Path | None:
        """The archive that someone has put into the folder, if it is one and is there; it is used and left there."""
        path = self.folder / self.file.name
        return path if self.file.there and self.file.is_archive and path.is_file() else None

    @property
    def download(self) -> Path:
        """Where it is fetched to: an archive to the folder of what is unfinished, other files to their place."""
        return self.folder / WORK / self.file.name if self.file.there else self.target

    @property
    def received(self) -> int:
        """Bytes of it that an earlier run has fetched."""
        return self.download.stat().st_size if self.download.is_file() else partial_size(self.download)


def _holds_something(path: Path) -> bool:
    if not path.is_dir():
        return path.is_file()
    return any(entry.name != WORK and not is_system_file(entry) for entry in path.iterdir())


def require_by_hand(holdings: Iterable[Holding]) -> None:
    """Raise `SourceError` if something is missing that people have to fetch themselves."""
    for one in holdings:
        if one.file.by_hand is not None and not one.is_there:
            raise SourceError(
                f"{one.file.name} has to be fetched by hand, from {one.file.by_hand}",
                remedy=f"unpack it into {one.folder} and run the same command again",
            )


def require_space(holdings: Iterable[Holding]) -> None:
    """Raise `StorageError` if a disk cannot hold what is missing.

    An archive counts once for what it unpacks to, as images hardly shrink in it; and the largest once more, as
    each is deleted when it is unpacked. Sizes nobody has published count as nothing, and are checked when known.
    """
    missing: dict[int, list[Holding]] = {}
    for one in holdings:
        if not one.is_there:
            missing.setdefault(nearest(one.folder).stat().st_dev, []).append(one)
    for those in missing.values():
        folder = nearest(those[0].folder)
        fetched = [one for one in those if one.own_archive is None]
        needed = sum(one.file.bytes or 0 for one in those) - sum(one.received for one in fetched)
        needed += max((one.file.bytes or 0 for one in fetched if one.file.there), default=0)
        if (free := free_bytes(folder)) < needed:
            raise StorageError(
                f"what is missing takes {needed:,} bytes, and {folder} has {free:,} free",
                remedy="make room, or name a folder on another disk with --source",
            )


def obtain(
    one: Holding,
    *,
    advance: Advance = no_progress,
    say: Callable[[str], None] = lambda _: None,
    patience: Patience = PATIENCE,
) -> None:
    """Fetch what is missing, check it and unpack it, unless it is there; it appears in its place whole.

    Args:
        advance: called with bytes received.
        say: called with what else it does: wait for the next attempt, check, unpack.

    Raises:
        SourceError: it cannot be fetched, is not what the catalogue describes, or must not be unpacked.
        StorageError: the disk is full, or the like, or another run is fetching into the same folder.
    """
    with exclusive(one.folder / "download", doing="downloading to"), storage_errors(one.folder):
        if one.is_there:
            return
        if one.own_archive is not None:
            _require_published(one, one.own_archive)
            _unpack_into_place(one, one.own_archive, say)
            return
        if not one.download.is_file():  # an archive may be there whole, if a run ended before it was unpacked
            fetch(one.file, one.download, advance=advance, say=say, patience=patience)
        if one.file.there:
            _unpack_fetched(one, say)


def _require_published(one: Holding, archive: Path) -> None:
    if wrong := difference(one.file, archive):
        raise SourceError(f"{archive} {wrong}", remedy="remove it, and the same command fetches the published one")


def _unpack_fetched(one: Holding, say: Callable[[str], None]) -> None:
    """Unpack an archive that was fetched; afterwards it is deleted, also if it is of no use."""
    refusal = None
    try:
        _unpack_into_place(one, one.download, say)
    except SourceError as error:
        refusal = error
    one.download.unlink()
    _remove_if_empty(one.folder / WORK)
    if refusal is not None:
        raise refusal


def _unpack_into_place(one: Holding, archive: Path, say: Callable[[str], None]) -> None:
    staged = one.folder / WORK / "unpacked"
    shutil.rmtree(staged, ignore_errors=True)
    try:
        unpack(archive, staged, say=say)
        if not _holds_something(staged / one.file.there[0]):
            raise SourceError(
                f"{archive.name} holds no {one.file.there[0]}", remedy="either it or the catalogue is wrong"
            )
        _move(staged, one.folder, last=one.target)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
        _remove_if_empty(one.folder / WORK)


def _move(staged: Path, folder: Path, *, last: Path) -> None:
    """Move all in ``staged`` to ``folder``, ``last`` last; files that are there already are left alone."""
    for path in sorted(staged.iterdir(), key=lambda path: last.is_relative_to(folder / path.name)):
        goal = folder / path.name
        if path.is_dir() and goal.is_dir():
            _move(path, goal, last=last)
        elif not goal.exists():
            path.rename(goal)


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()

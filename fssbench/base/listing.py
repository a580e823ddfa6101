"""Which files in a folder count, and what systems and tools leave about beside them: the one rule that every scan has.

A file counts if it is one, or a link to one, and neither it nor a folder on the way to it is litter: hidden, still
being written, or of a name that operating systems and editors give to files of their own.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path

from fssbench.base.errors import FssbenchError, UsageError
from fssbench.base.files import PARTIAL, storage_errors

__all__ = [
    "Listing",
    "holds_something",
    "is_litter",
    "is_system_file",
    "list_files",
    "list_folders",
    "of_a_system",
    "remark",
    "require_own_folder",
]

LEFT_BY_SYSTEMS = frozenset(
    (
        ".ds_store",
        ".localized",
        ".directory",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "icon\r",
        "__macosx",
        "@eadir",
        "$recycle.bin",
        "system volume information",
        "lost+found",
        "__pycache__",
    )
)
"""What no user makes, in small letters; `is_litter` knows further patterns."""

OTHER_KINDS = ((stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
SHOWN = 5


@dataclass(frozen=True)
class Listing:
    """What was found in a folder.

    Attributes:
        files: those that count, sorted.
        left_out: what has a name that is looked for, and does not count: its path from the folder, and why.
    """

    files: tuple[Path, ...] = ()
    left_out: tuple[str, ...] = ()


def is_litter(path: str | os.PathLike[str]) -> bool:
    """Whether a name, or a part of a path within a folder, is hidden, unfinished, or a system's or an editor's own."""
    return any(map(_litter, Path(path).parts))


def _litter(name: str) -> bool:
    backup = len(name) > 1 and (name.endswith("~") or name[0] == name[-1] == "#")
    return (name.startswith(".") and name != "..") or name.endswith(PARTIAL) or backup or of_a_system(name)


def require_own_folder(folder: Path, names: Container[str]) -> None:
    """Let a command write into a folder of its own, and not among other things; hidden ones do not count.

    Args:
        folder: which may be missing or empty.
        names: all that the command itself puts there.

    Raises:
        UsageError: something else is there.
    """
    with storage_errors(folder):
        there = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if strange := [name for name in there if name not in names and not is_litter(name)]:
        raise UsageError(
            f"{folder} holds {strange[0]}, which this command did not write",
            remedy="choose another --output, a new folder",
        )


def of_a_system(name: str) -> bool:
    """Whether operating systems give a name to files of their own, beside those of users."""
    return name.startswith("._") or name.casefold() in LEFT_BY_SYSTEMS


def list_files(
    folder: Path, *, suffixes: Iterable[str] = (), below: bool = False, error: type[FssbenchError]
) -> Listing:
    """The files in ``folder`` that count.

    Links to folders are followed. A folder that several names lead to is entered once, by its own name where that lies
    below ``folder`` too, so links may lead in a circle.

    Args:
        suffixes: what names end in, in small letters; those in capitals count alike. All names without.
        below: also in folders below it, at any depth.
        error: what to raise if a folder cannot be looked into.
    """
    endings = tuple(suffixes)
    found: list[Path] = []
    left_out: list[str] = []
    named: dict[Path, str] = {}  # folders of a file's name
    seen: set[tuple[int, int]] = set()
    own, linked = [folder], list[Path]()
    while own or linked:
        place = own.pop() if own else linked.pop(0)
        if (identity := _identity(place)) in seen:
            continue
        seen.add(identity)
        for entry in _entries(place, error):
            kind, wanted = _kind(entry), entry.name.lower().endswith(endings) if endings else True
            if _litter(entry.name):
                told = not (of_a_system(entry.name) or entry.name.endswith(PARTIAL))
                if told and (wanted or (below and kind == "a folder")):
                    left_out.append(_shown(entry, folder, "hidden" if entry.name.startswith(".") else "a backup"))
            elif kind == "a file":
                found += [Path(entry.path)] * wanted
            elif kind == "a folder" and below:
                (linked if entry.is_symlink() else own).append(Path(entry.path))
                named.update({Path(entry.path): _shown(entry, folder, kind)} if wanted and endings else {})
            elif wanted and endings:
                left_out.append(_shown(entry, folder, kind))
    left_out += [text for path, text in named.items() if not any(path in file.parents for file in found)]
    return Listing(tuple(sorted(found)), tuple(sorted(left_out)))


def list_folders(folder: Path, *, error: type[FssbenchError]) -> list[Path]:
    """The folders in ``folder``, and links to such, that are not litter, sorted."""
    return [Path(entry.path) for entry in _entries(folder, error) if not _litter(entry.name) and _is_folder(entry)]


def holds_something(folder: Path) -> bool:
    """Whether there is more in a folder than the files of systems; so does one that cannot be looked into."""
    try:
        return not all(map(is_system_file, folder.iterdir()))
    except OSError:
        return True


def is_system_file(path: Path) -> bool:
    """Whether it is a file that an operating system put there, which nobody misses."""
    return of_a_system(path.name) and path.is_file()


def remark(left_out: Iterable[str]) -> tuple[str, ...]:
    """What was left out, in one line; nothing if there is nothing to tell."""
    names = list(left_out)
    shown = ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
    return (f"{len(names):,} {'entry' if len(names) == 1 else 'entries'} left out: {shown}",) if names else ()


def _entries(folder: Path, error: type[FssbenchError]) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as failure:
        raise error(f"{folder} cannot be looked into: {failure.strerror}", remedy="check who may read it") from failure


def _identity(folder: Path) -> tuple[int, int]:
    try:
        facts = folder.stat()
    except OSError:
        return (-1, hash(folder))  # whoever lists it says what is wrong
    return facts.st_dev, facts.st_ino


def _kind(entry: os.DirEntry[str]) -> str:
    """What something is, after links are followed."""
    try:
        if entry.is_file():
            return "a file"
        if entry.is_dir():
            return "a folder"
        mode = entry.stat().st_mode
    except OSError as failure:
        dead = {errno.ELOOP: "a link that leads in a circle", errno.ENOENT: "a dead link", errno.ENOTDIR: "a dead link"}
        return dead.get(failure.errno or 0, f"unreadable: {failure.strerror}")
    return next((kind for is_such, kind in OTHER_KINDS if is_such(mode)), "a device")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return _kind(entry) == "a folder"


def _shown(entry: os.DirEntry[str], folder: Path, why: str) -> str:
    name = Path(entry.path).relative_to(folder).as_posix()
    return f"{name if name.isprintable() else ascii(name)} ({why})"

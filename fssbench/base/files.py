"""Files written whole or not at all, and their hashes."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from fssbench.base.errors import StorageError, UsageError

__all__ = [
    "PARTIAL",
    "atomic_file",
    "atomic_folder",
    "free_bytes",
    "is_file_name",
    "nearest",
    "replace_folder",
    "require_absent",
    "require_own",
    "require_room",
    "set_aside",
    "sha256_bytes",
    "sha256_file",
    "storage_errors",
    "write_atomic",
]

PARTIAL = ".partial"
"""Suffix of what is still being written; nothing that ends in it is ever read."""
HEAD = 4096
"""Bytes within which a file says what it is."""


def is_file_name(name: str) -> bool:
    """Whether ``name`` names something in the folder it is looked up in, and nowhere else."""
    return Path(name).name == name and name not in ("", "..") and "\0" not in name


def sha256_bytes(data: bytes) -> str:
    """SHA-256 (hex) of ``data``."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 (hex) of the file at ``path``."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def free_bytes(folder: Path) -> int:
    """What the disk has left on which ``folder`` lies, or will lie."""
    return shutil.disk_usage(nearest(folder)).free


def require_room(needed: int, folder: Path, *, what: str) -> None:
    """Raise `StorageError`, which begins with ``what``, if the disk of a folder has not so many bytes left."""
    if (free := free_bytes(folder)) < needed:
        raise StorageError(
            f"{what} {needed / 1e6:,.1f} MB, and {folder} has {free / 1e6:,.1f} MB free",
            remedy="make room, or name a folder on another disk with --output",
        )


def nearest(folder: Path) -> Path:
    """``folder``, or where it is not there yet, the nearest folder above it that is."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())


@contextmanager
def storage_errors(where: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write below ``where`` into a `StorageError`."""
    try:
        yield
    except OSError as error:
        reasons = {
            errno.ENOSPC: "the disk is full",
            errno.EDQUOT: "the disk quota is used up",
            errno.EROFS: "the file system is read-only",
            errno.EACCES: "permission is denied",
            errno.EPERM: "permission is denied",
            errno.EFBIG: "the file size limit is reached",
            errno.ENOTDIR: "part of the path is a file, not a folder",
            errno.EEXIST: "a file is in the way",
            errno.EISDIR: "a folder of that name is in the way",
            errno.ENOENT: "part of the path is not there, or was taken away meanwhile",
            errno.EIO: "the disk reports an error",
        }
        if error.errno is None:  # none of the system's own, such as a server's
            raise
        raise StorageError(
            f"cannot write {error.filename or where}: {reasons.get(error.errno) or os.strerror(error.errno)}",
            remedy="fix that and run the same command again; what is finished is kept",
        ) from error


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A file that appears under ``path`` only when the block ends without an error, flushed to disk."""
    partial = path.with_name(path.name + PARTIAL)
    with storage_errors(partial):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write ``data`` (text as UTF-8) to ``path``, whole or not at all."""
    with atomic_file(path) as file:
        file.write(data.encode() if isinstance(data, str) else data)


def require_own(path: Path, mark: str) -> None:
    """Let a command replace what it wrote before, and nothing else.

    Args:
        path: what it is about to write.
        mark: what the first few thousand bytes of every such file hold.

    Raises:
        UsageError: something else is there.
    """
    if not path.exists():
        return
    if path.is_file():
        with storage_errors(path), path.open("rb") as file:
            if mark.encode() in file.read(HEAD):
                return
    raise UsageError(
        f"{path} is there already, and this command did not write it",
        remedy="choose another --output, or remove it",
    )


def require_absent(path: Path, *, overwrite: bool) -> None:
    """Raise `UsageError` if there is something at ``path`` already, unless it may be replaced."""
    if path.exists() and not overwrite:
        raise UsageError(f"{path} is there already", remedy="pass --overwrite, or choose another --output")


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, which appears under its name, in place of what is there, only when the block ends well."""
    folder = folder.absolute()
    partial = folder.with_name(folder.name + PARTIAL)
    with storage_errors(folder):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            yield partial
            replace_folder(partial, folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise


def set_aside(folder: Path) -> Path:
    """Where `replace_folder` keeps what it replaces until it is done."""
    return folder.with_name(f"{folder.name}.replaced{PARTIAL}")


def replace_folder(finished: Path, folder: Path) -> None:
    """Give a finished folder its name, in place of what is there, which goes only when the new one stands."""
    replaced = set_aside(folder)
    shutil.rmtree(replaced, ignore_errors=True)
    if folder.exists():
        folder.rename(replaced)
    finished.rename(folder)
    shutil.rmtree(replaced, ignore_errors=True)

"""One run at a time: the lock file beside what is made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from fssbench.base.errors import StorageError
from fssbench.base.files import storage_errors

__all__ = ["exclusive", "lock_file"]


def lock_file(path: Path) -> Path:
    """The lock file of what is made at ``path``: beside it, or in the root itself."""
    if path.name in ("", ".."):  # the working folder, say
        path = path.resolve()
    if not path.name:
        return path / ".lock"
    return path.with_name(f".{path.name}.lock")


@contextmanager
def exclusive(path: Path, *, doing: str = "building") -> Iterator[None]:
    """Hold the lock file of what is made at ``path``; `StorageError` if another run holds it."""
    lock = FileLock(lock_file(path), timeout=0)
    with storage_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout as error:
            raise StorageError(
                f"another run is {doing} {path} (it holds {lock.lock_file})", remedy="wait for it to end"
            ) from error
    try:
        yield
    finally:
        with storage_errors(path.parent):
            # While it is held, and by its holder alone: whoever has just opened it is told that it has
            # no name any more. Removed at any other moment it would let two runs hold two such files.
            lock_file(path).unlink(missing_ok=True)
            lock.release()

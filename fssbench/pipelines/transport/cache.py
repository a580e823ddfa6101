"""Shards fetched before, on this machine's disk, by the SHA-256 of their bytes."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import get_ident

from fssbench.base.files import PARTIAL, sha256_bytes
from fssbench.base.home import Home, home_in
from fssbench.schemas.manifest import FileRecord

__all__ = ["Cache"]

LIMIT = 50 << 30
SPARE = 0.1


@dataclass(frozen=True, kw_only=True)
class Cache:
    """A folder of files named by their SHA-256.

    What was used longest ago goes when there is more than ``limit``. Nothing is kept that would take the last
    ``spare`` of the disk. A cache is a convenience: whatever goes wrong with it, it is as if it were not there.

    Attributes:
        limit: bytes of all files.
        spare: the share of the disk that stays free, in [0, 1].
    """

    folder: Path
    limit: int = LIMIT
    spare: float = SPARE

    @staticmethod
    def find() -> Cache | None:
        """The folder ``$FSSBENCH_SHARD_CACHE``, or ``shards`` in the home.

        ``None`` if the variable is ``none``, or there is no home.
        """
        if named := os.environ.get("FSSBENCH_SHARD_CACHE"):
            return None if named == "none" else Cache(folder=Path(home_in(named)))
        home = Home.find()
        return Cache(folder=home.shards) if home.is_known else None

    def get(self, record: FileRecord) -> bytes | None:
        """The file's bytes, checked; ``None`` if they are not here."""
        path = self.folder / record.sha256
        with contextlib.suppress(OSError):
            data = path.read_bytes()
            if sha256_bytes(data) == record.sha256:
                os.utime(path)  # used now
                return data
            path.unlink()
        return None

    def path(self, record: FileRecord) -> Path | None:
        """Where the file's bytes lie, which were checked when they came; ``None`` if they are not here."""
        path = self.folder / record.sha256
        return path if path.is_file() else None

    def put(self, record: FileRecord, data: bytes) -> None:
        """Keep the file's bytes, which are known to be right, if there is room."""
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._make_room(len(data))
            disk = shutil.disk_usage(self.folder)
            if len(data) > self.limit or disk.free - len(data) < self.spare * disk.total:
                return
            # A name of its own: processes that share the episodes may fetch the same shard at once.
            partial = self.folder / f"{record.sha256}.{os.getpid()}-{get_ident()}{PARTIAL}"
            try:
                partial.write_bytes(data)
                partial.replace(self.folder / record.sha256)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise

    def _make_room(self, more: int) -> None:
        """Let go of what was used longest ago until ``more`` bytes have room, and of what killed runs left."""
        files = sorted(self._files(), key=lambda file: file[1].st_mtime)
        total = more + sum(status.st_size for _, status in files)
        for path, status in files:
            if total <= self.limit:
                return
            path.unlink(missing_ok=True)
            total -= status.st_size

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        """Every file that is still there when asked: another thread may just have given a partial file its name."""
        for path in self.folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                yield path, path.stat()

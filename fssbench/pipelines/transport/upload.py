"""Files brought to where others read them: an object store through fsspec, or a dataset repository of Hugging Face."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from fssbench.base.errors import StorageError, UsageError, first_line
from fssbench.base.progress import Advance, no_progress
from fssbench.pipelines.transport.storage import Storage

__all__ = ["Shelf", "shelf_at"]

HUB = re.compile(r"hf://datasets/(?P<repository>[\w.-]+/[\w.-]+)(?:/(?P<folder>.*))?")
WRITABLE = "writing needs an address such as hf://datasets/NAME/REPOSITORY, s3://bucket/folder, or a folder's"


class Shelf(Protocol):
    """A place elsewhere that takes files."""

    def read(self, name: str) -> bytes | None:
        """A small file that is there; ``None`` if it is not."""

    def write(self, files: Mapping[str, Path], *, advance: Advance = no_progress) -> None:
        """Bring files by their names there, in this order; the last one says to readers that all are there.

        Args:
            advance: called with the bytes of every file that came.

        Raises:
            StorageError: the place refused.
        """


def shelf_at(address: str) -> Shelf:
    """The shelf at an address.

    Raises:
        UsageError: nothing can be written there, or a package that knows how is missing.
    """
    if found := HUB.fullmatch(address):
        return _Hub(found["repository"], (found["folder"] or "").strip("/"))
    if address.startswith("hf://"):
        raise UsageError(f"{address} does not name a dataset repository", remedy="write hf://datasets/NAME/REPOSITORY")
    if address.partition(":")[0] in ("http", "https", "pipe"):
        raise UsageError(f"nothing can be written to {address}", remedy=WRITABLE)
    return _Store(Storage(address))


class _Store:
    """An object store, or a folder, whose files come one by one."""

    def __init__(self, storage: Storage) -> None:
        self.files, self.below = storage.files, storage.below.rstrip("/")
        self.address: Callable[[str], str] = storage.address

    def read(self, name: str) -> bytes | None:
        with _refusals(self.address(name)):
            try:
                return bytes(self.files.cat_file(f"{self.below}/{name}"))
            except FileNotFoundError:
                return None

    def write(self, files: Mapping[str, Path], *, advance: Advance = no_progress) -> None:
        for name, path in files.items():
            with _refusals(self.address(name)):
                self.files.makedirs(f"{self.below}/{name}".rpartition("/")[0], exist_ok=True)
                self.files.put_file(str(path), f"{self.below}/{name}")
            advance(path.stat().st_size)


class _Hub:
    """A dataset repository, which takes all files in one commit: whoever reads it sees all of them or none."""

    def __init__(self, repository: str, folder: str) -> None:
        try:
            import huggingface_hub
        except ImportError as error:
            raise UsageError("hf:// needs huggingface_hub", remedy="pip install huggingface_hub") from error
        self.repository, self.folder, self.hub = repository, folder, huggingface_hub
        self.api: Any = huggingface_hub.HfApi()

    def _name(self, name: str) -> str:
        return f"{self.folder}/{name}" if self.folder else name

    def read(self, name: str) -> bytes | None:
        with _refusals(f"hf://datasets/{self.repository}"):
            if not self.api.repo_exists(self.repository, repo_type="dataset"):
                return None
            if not self.api.file_exists(self.repository, self._name(name), repo_type="dataset"):
                return None
            path = self.api.hf_hub_download(self.repository, self._name(name), repo_type="dataset")
            return Path(path).read_bytes()

    def write(self, files: Mapping[str, Path], *, advance: Advance = no_progress) -> None:
        added = [
            self.hub.CommitOperationAdd(path_in_repo=self._name(name), path_or_fileobj=str(path))
            for name, path in files.items()
        ]
        with _refusals(f"hf://datasets/{self.repository}"):
            self.api.create_repo(self.repository, repo_type="dataset", exist_ok=True)
            self.api.create_commit(self.repository, added, repo_type="dataset", commit_message=f"Add {[*files][-1]}")
        advance(sum(path.stat().st_size for path in files.values()))


@contextmanager
def _refusals(where: str) -> Iterator[None]:
    """Say what a store refuses in one line; every store has errors of its own."""
    try:
        yield
    except Exception as error:
        raise StorageError(
            f"{where} refused: {first_line(error)}",
            remedy="check the address, and whether you are logged in where it is",
        ) from error

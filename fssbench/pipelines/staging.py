"""The folder a set is built in, and the moment it becomes the set.

Everything is written to a folder beside the set, ``fold0.partial``, which becomes the set, or is moved
into the set it extends, when all is there. A run that was killed leaves its finished shards in it, and
the next run with the same plan takes them over.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from fssbench.errors import StorageError
from fssbench.files import PARTIAL, storage_errors, write_atomic
from fssbench.pipelines.episode_set import MANIFEST

__all__ = ["commit", "exclusive", "recover", "staging_folder"]

PLAN = "plan.json"


def _staging(path: Path) -> Path:
    return path.with_name(path.name + PARTIAL)


@contextmanager
def exclusive(path: Path, *, doing: str = "building") -> Iterator[None]:
    """Hold the lock file of what is made at ``path``; `StorageError` if another run holds it."""
    file = path.with_name(f".{path.name}.lock")
    with storage_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(file, timeout=0):
                try:
                    yield
                finally:
                    file.unlink(missing_ok=True)  # only by who holds it
        except Timeout as error:
            raise StorageError(
                f"another run is {doing} {path} (it holds {file})", remedy="wait for it to end"
            ) from error


@contextmanager
def staging_folder(path: Path, plan: dict[str, object]) -> Iterator[Path]:
    """The folder to build the set at ``path`` in.

    It is kept from an interrupted run if that run's ``plan`` was the very same, and emptied otherwise.
    If the block fails, finished shards stay for the next run; a folder without any is removed.
    """
    staging, text = _staging(path), json.dumps(plan, indent=1)
    file = staging / PLAN
    if staging.is_dir() and not (file.is_file() and file.read_text() == text):
        shutil.rmtree(staging)
    try:
        write_atomic(file, text)
        yield staging
    except BaseException:
        if not any(staging.glob("*.tar")):
            shutil.rmtree(staging, ignore_errors=True)
        raise


def commit(path: Path, *, extends: bool) -> None:
    """Give what was built for ``path`` its name: as the set itself, or as part of the set it extends."""
    staging = _staging(path)
    with storage_errors(path):
        if extends:
            _merge(staging, path)
            return
        (staging / PLAN).unlink()
        replaced = path.with_name(f"{path.name}.replaced{PARTIAL}")
        shutil.rmtree(replaced, ignore_errors=True)
        if path.exists():
            path.rename(replaced)
        staging.rename(path)
        shutil.rmtree(replaced, ignore_errors=True)


def _merge(staging: Path, path: Path) -> None:
    """Move a finished extension into its set. The manifest goes last: until then the old one holds."""
    for file in sorted(staging.iterdir()):
        if file.name not in (MANIFEST, PLAN):
            file.replace(path / file.name)
    (staging / MANIFEST).replace(path / MANIFEST)
    shutil.rmtree(staging)


def recover(path: Path) -> None:
    """Finish moving in an extension that was complete when its run was killed."""
    staging = _staging(path)
    plan = staging / PLAN
    if (staging / MANIFEST).is_file() and plan.is_file() and json.loads(plan.read_text())["extends"]:
        with exclusive(path), storage_errors(path):
            _merge(staging, path)

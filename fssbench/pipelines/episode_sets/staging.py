"""The folder a set is built in, and the moment it becomes the set.

Everything is written to a folder beside the set, ``fold0.partial``, which becomes the set, or is moved
into the set it extends, when all is there. The manifest is written last, so a folder that has one is
complete. A run that was killed leaves its finished shards in it, and the next run with the same plan takes
them over; if the folder was complete, the next run begins by giving it its name.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fssbench.base.errors import EpisodeSetError
from fssbench.base.files import PARTIAL, replace_folder, set_aside, sha256_bytes, storage_errors, write_atomic
from fssbench.base.locking import exclusive, lock_file
from fssbench.pipelines.episode_sets.episode_set import MANIFEST, EpisodeSet

__all__ = ["commit", "identity", "recover", "staging_folder"]

PLAN = "plan.json"
EXTENDS = "extends"
"""The plan's entry for the set to extend, by its `identity`; null for a set of its own."""


def identity(episode_set: EpisodeSet) -> str:
    """SHA-256 (hex) of what the manifest of a finished set says."""
    return sha256_bytes(episode_set.manifest.to_json().encode())


def _staging(path: Path) -> Path:
    return path.with_name(path.name + PARTIAL)


@contextmanager
def staging_folder(path: Path, plan: dict[str, object]) -> Iterator[Path]:
    """The folder to build the set at ``path`` in.

    It is kept from an interrupted run if that run's ``plan`` was the very same, and emptied otherwise.
    If the block fails, finished shards stay for the next run; a folder without any is removed.
    """
    staging, text = _staging(path), json.dumps(plan, indent=1)
    file = staging / PLAN
    if staging.is_dir() and not (file.is_file() and file.read_bytes() == text.encode()):
        shutil.rmtree(staging)
    try:
        write_atomic(file, text)
        yield staging
    except BaseException:
        if not any(staging.glob("*.tar")):
            shutil.rmtree(staging, ignore_errors=True)
        raise


def commit(path: Path) -> None:
    """Give what was built for ``path`` its name: as the set itself, or as part of the set it extends.

    A kill at any moment leaves what `recover` completes.
    """
    staging = _staging(path)
    with storage_errors(path):
        if _extends(staging) is not None:
            _merge(staging, path)
            return
        (staging / PLAN).unlink(missing_ok=True)
        replace_folder(staging, path)


def _extends(staging: Path) -> str | None:
    """The `identity` of the set that a staged folder extends, or ``damaged``, which is none's.

    A plan is taken away only from a set of its own.
    """
    file = staging / PLAN
    if not file.is_file():
        return None
    try:
        plan = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        return "damaged"
    extends = plan.get(EXTENDS, "damaged") if isinstance(plan, dict) else "damaged"
    return extends if extends is None else str(extends)


def _merge(staging: Path, path: Path) -> None:
    """Move a finished extension into its set. The manifest goes last: until then the old one holds."""
    for file in sorted(staging.iterdir()):
        if file.name not in (MANIFEST, PLAN):
            file.replace(path / file.name)
    (staging / MANIFEST).replace(path / MANIFEST)
    shutil.rmtree(staging)


def recover(path: Path, *, manifest: str = MANIFEST) -> None:
    """Put in order what a killed run left of the set at ``path``, which is complete when it has its ``manifest``.

    What was complete gets its name, finished shards are kept for `staging_folder`, everything else goes.
    `StorageError` if the run is not dead but at work.
    """
    staging, replaced = _staging(path), set_aside(path)
    if not any(left.exists() for left in (staging, replaced, lock_file(path))):
        return
    with exclusive(path):
        if (staging / manifest).is_file() and _extends(staging) in (None, _there(path)):
            commit(path)
        elif not any(staging.glob("*.tar")) or (staging / manifest).is_file():
            shutil.rmtree(staging, ignore_errors=True)
        if path.exists():
            shutil.rmtree(replaced, ignore_errors=True)


def _there(path: Path) -> str | None:
    """The `identity` of the set at ``path``; none if that is damaged, so that nothing extends it."""
    try:
        return identity(EpisodeSet.open(path))
    except EpisodeSetError:
        return None

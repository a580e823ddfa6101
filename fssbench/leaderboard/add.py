"""Results of others taken into a folder of results: all of an archive, or nothing of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fssbench.base.errors import ResultError
from fssbench.base.files import PARTIAL, sha256_file, storage_errors
from fssbench.base.locking import exclusive
from fssbench.leaderboard.board import Leaderboard
from fssbench.leaderboard.build import board_of
from fssbench.leaderboard.gathered import Gathered, gather
from fssbench.leaderboard.submission import LIST, RESULTS, kind_of
from fssbench.leaderboard.unpack import examine, unpack
from fssbench.results.check import FindSet
from fssbench.schemas.leaderboard import ReportedEntry
from fssbench.schemas.result import read_result

__all__ = ["Added", "add"]


@dataclass(frozen=True, kw_only=True)
class Added:
    """What became of an archive.

    Attributes:
        new: results that were taken in, by their names below the folder.
        there: results that were there already, the same to the byte.
        problems: why it was refused; then nothing was taken in.
        unchecked: what could not be checked, and why.
        board: the leaderboard with what was taken in, or ``None`` if it was refused.
    """

    new: tuple[str, ...] = ()
    there: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()
    board: Leaderboard | None = None

    def require(self, archive: Path) -> None:
        """Raise `ResultError` if the archive was refused."""
        if n := len(self.problems):
            raise ResultError(
                f"{archive} is refused for {n} reason{'s' if n > 1 else ''}, and nothing of it was added",
                remedy="let its author correct the results and submit them again",
            )


def add(
    archive: Path, results: Path, *, find_set: FindSet | None = None, reported: Sequence[ReportedEntry] = ()
) -> Added:
    """Check an archive and, if nothing is wrong with it, move its results below ``results``.

    Raises:
        ResultError: it is not an archive at all, or a result that is there already is not what it says.
        StorageError: the disk is full, or another run is adding to the folder.
    """
    with _stage(results) as stage:
        problems = unpack(archive, stage)
        checked, wrong = examine(stage, find_set=find_set)
        problems += wrong
        targets = {path: _target(path, stage, results) for path in _files(stage)}
        collisions = _collisions(targets)
        unchecked = tuple(dict.fromkeys(what for one in checked for what in one.unchecked))
        if problems or collisions:
            return Added(problems=(*problems, *collisions), unchecked=unchecked)
        names = {one.path: one.path.relative_to(stage / RESULTS).as_posix() for one in checked}
        new = {path: name for path, name in names.items() if not targets[path].exists()}
        there = gather(results)
        joining = [Gathered.of(one, stage / RESULTS) for one in checked if one.path in new]
        try:
            board = board_of([*there, *joining], reported=reported)
        except ResultError as error:
            return Added(problems=(error.problem.replace(f"{stage / RESULTS}/", ""),), unchecked=unchecked)
        _move(targets, results)
    known = tuple(name for path, name in names.items() if path not in new)
    return Added(new=tuple(new.values()), there=known, unchecked=unchecked, board=board)


@contextmanager
def _stage(results: Path) -> Iterator[Path]:
    """An empty folder on the disk of ``results`` that nobody reads; gone afterwards."""
    fresh = not results.exists()
    stage = results / f"incoming{PARTIAL}"
    with exclusive(results, doing="adding to"):
        with storage_errors(results):
            shutil.rmtree(stage, ignore_errors=True)
            stage.mkdir(parents=True)
        try:
            yield stage
        finally:
            shutil.rmtree(stage, ignore_errors=True)
            if fresh and not any(results.iterdir()):
                results.rmdir()


def _files(stage: Path) -> list[Path]:
    """All files but the list, results last: one that is there always has what it rests on."""
    files = (path for path in stage.rglob("*") if path.is_file() and path != stage / LIST)
    return sorted(files, key=lambda path: (kind_of(path.relative_to(stage).as_posix()) == "result", path))


def _target(path: Path, stage: Path, results: Path) -> Path:
    """Where a file goes: results where eval would have put them, cards below ``cards``."""
    inside = path.relative_to(stage)
    return results / (inside.relative_to(RESULTS) if inside.parts[0] == RESULTS else inside)


def _collisions(targets: dict[Path, Path]) -> list[str]:
    """What is there already and differs; of results on other questions, these alone."""
    found = {
        target: _unlike(target, path)
        for path, target in targets.items()
        if target.exists() and not (target.is_file() and sha256_file(target) == sha256_file(path))
    }
    shown = {target: unlike for target, unlike in found.items() if unlike} or found
    return [f"{target} is there already, and differs{unlike}" for target, unlike in shown.items()]


def _unlike(there: Path, new: Path) -> str:
    """That two results of one name were asked different things, if they are such."""
    try:
        unlike = read_result(there).episodes.identity.unlike(read_result(new).episodes.identity)
    except ResultError:  # not both are results, which is told otherwise
        return ""
    return f": it is of {unlike}" if unlike else ""


def _move(targets: dict[Path, Path], results: Path) -> None:
    """Move what is not there yet into place; if that fails halfway, take back what was moved."""
    moved: list[Path] = []
    try:
        with storage_errors(results):
            for path, target in targets.items():
                if not target.exists():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    path.rename(target)
                    moved.append(target)
    except BaseException:
        for target in reversed(moved):
            target.unlink()
            for folder in target.parents:
                if folder == results or any(folder.iterdir()):
                    break
                folder.rmdir()
        raise

"""Results of others taken into a folder of results: all of an archive, or nothing of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fssbench.base.errors import ResultError
from fssbench.leaderboard.board import Leaderboard
from fssbench.leaderboard.build import board_of
from fssbench.leaderboard.gathered import Gathered, gather
from fssbench.leaderboard.incoming import Incoming, staged
from fssbench.leaderboard.submission import RESULTS
from fssbench.leaderboard.unpack import unpack
from fssbench.results.check import FindSet
from fssbench.schemas.leaderboard import ReportedEntry

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
    with staged(results) as stage:
        problems = unpack(archive, stage)
        incoming = Incoming.of(stage, results, find_set=find_set)
        problems += [*incoming.problems, *incoming.collisions()]
        if problems:
            return Added(problems=tuple(problems), unchecked=incoming.unchecked)
        names = {one.path: one.path.relative_to(stage / RESULTS).as_posix() for one in incoming.checked}
        new = {path: name for path, name in names.items() if not incoming.targets[path].exists()}
        there = gather(results)
        joining = [Gathered.of(one, stage / RESULTS) for one in incoming.checked if one.path in new]
        try:
            board = board_of([*there, *joining], reported=reported)
        except ResultError as error:
            problem = error.problem.replace(f"{stage / RESULTS}/", "")
            return Added(problems=(problem,), unchecked=incoming.unchecked)
        incoming.move()
    known = tuple(name for path, name in names.items() if path not in new)
    return Added(new=tuple(new.values()), there=known, unchecked=incoming.unchecked, board=board)

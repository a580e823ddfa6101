"""Is a leaderboard what the results it names give? Every figure, interval, difference and rank, computed again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from fssbench.base.errors import FssbenchError, ResultError
from fssbench.base.progress import SILENT, Advance, Report, no_progress
from fssbench.leaderboard.board import Leaderboard, read_leaderboard
from fssbench.leaderboard.build import board_of
from fssbench.leaderboard.gathered import Gathered
from fssbench.leaderboard.published import published_entries
from fssbench.results.check import Checked, check_result, differences
from fssbench.results.load import find_results
from fssbench.schemas.leaderboard import Entry, ReportedEntry, RunSummary

__all__ = ["Verdict", "Verified", "unlisted", "verify_board", "verify_file"]

Outcome = Literal["recomputed", "differs", "could not", "as transcribed"]
STANDING = ("rank", "difference")
"""What depends on the other entries of the group."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of one entry.

    Attributes:
        id: the entry's.
        label: what it is called.
        outcome: whether it was recomputed, and as it stands; or why not.
        reasons: what differs, or what could not be done and why.
    """

    id: str
    label: str
    outcome: Outcome
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What became of a leaderboard.

    Attributes:
        results: the folder of the results it names.
        verdicts: one an entry.
        unlisted: results in the folder that it does not name.
    """

    results: Path
    verdicts: tuple[Verdict, ...]
    unlisted: tuple[str, ...]

    def require(self, file: Path) -> None:
        """Raise `ResultError` with the number of entries that are not what the results give, if there are any."""
        if wrong := sum(one.outcome == "differs" for one in self.verdicts):
            raise ResultError(
                f"{wrong} of {len(self.verdicts)} entries of {file} {'is' if wrong == 1 else 'are'} not what the "
                "results give",
                remedy="build the leaderboard again",
            )


@dataclass
class _Basis:
    """What an entry rests on, as far as it was found."""

    items: list[Gathered] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def verify_file(file: Path, results: Path | None = None, *, report: Report = SILENT) -> Verified:
    """Compute everything that a leaderboard file says again, and say entry by entry what came of it.

    Args:
        results: the folder it was built from; ``None`` for ``results`` beside the file, or the file's own.

    Raises:
        ResultError: it is not a leaderboard, or its results cannot be found.
    """
    board = read_leaderboard(file)
    folder = results or results_of(board, file)
    with report.progress("computing", sum(len(entry.runs) for entry in board.entries), unit="results") as bar:
        verdicts = tuple(verify_board(board, folder, advance=bar))
    return Verified(results=folder, verdicts=verdicts, unlisted=tuple(unlisted(board, folder) if board.entries else ()))


def results_of(board: Leaderboard, file: Path) -> Path:
    """The folder that a leaderboard's results are in, if nobody says: ``results`` beside the file, or its own folder.

    Raises:
        ResultError: none of these has any of its results.
    """
    named = [run.result for entry in board.entries for run in entry.runs]
    folders = (file.parent / "results", file.parent)
    for folder in folders:
        if not named or any((folder / name).is_file() for name in named):
            return folder
    raise ResultError(f"{file}: none of its results is in {' or '.join(map(str, folders))}", remedy="pass --results")


def unlisted(board: Leaderboard, results: Path) -> list[str]:
    """Results below the folder that the leaderboard does not name."""
    named = {run.result for entry in board.entries for run in entry.runs}
    return [name for path in find_results(results) if (name := path.relative_to(results).as_posix()) not in named]


def verify_board(board: Leaderboard, results: Path, *, advance: Advance = no_progress) -> Iterator[Verdict]:
    """Compute every entry again and compare; never stops at the first that differs.

    Args:
        board: what is to be verified.
        results: the folder that its results' names are relative to.
        advance: called with the number of results just read.
    """
    named = {results / run.result for entry in board.entries for run in entry.runs if _is_inside(run.result)}
    checked = {}
    # By name first: results on one track follow each other, and share their resamples.
    for path in sorted(filter(Path.is_file, named), key=lambda path: (path.name, path)):
        checked[path] = check_result(path)
        advance(1)
    bases = [_basis(entry, results, checked) for entry in board.entries]
    again = _again(bases)
    for entry, basis in zip(board.entries, bases, strict=True):
        rivals = [b for e, b in zip(board.entries, bases, strict=True) if e.group == entry.group and e is not entry]
        yield _verdict(entry, basis, again.get(_names(entry.runs)), whole=not any(r.absent or r.wrong for r in rivals))
    transcribed = {row.id: row for row in published_entries()} if board.reported else {}
    yield from (_reported(row, transcribed.get(row.id)) for row in board.reported)


def _names(runs: Iterable[RunSummary]) -> tuple[str, ...]:
    return tuple(sorted(run.result for run in runs))


def _is_inside(name: str) -> bool:
    """Whether a result's name stays below the folder it is relative to."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def _basis(entry: Entry, results: Path, checked: Mapping[Path, Checked]) -> _Basis:
    """An entry's results, each as it was found."""
    basis = _Basis()
    for run in entry.runs:
        path = results / run.result
        if not _is_inside(run.result):
            basis.wrong.append(f"{run.result} leads out of the folder of results")
            continue
        if path not in checked:
            basis.absent.append(f"{path} is not there")
            continue
        one = checked[path]
        if one.sha256 != run.result_sha256:
            basis.wrong.append(f"{path} has the SHA-256 {one.sha256}, the leaderboard says {run.result_sha256}")
        basis.wrong += [f"{path}: {problem}" for problem in one.problems]
        if not one.problems:
            basis.items.append(Gathered.of(one, results))
    return basis


def _again(bases: Iterable[_Basis]) -> dict[tuple[str, ...], Entry | str]:
    """The entries that all results found give, by the names of their results; or why there are none."""
    items = {item.name: item for basis in bases for item in basis.items}
    try:
        return {_names(entry.runs): entry for entry in board_of(items.values()).entries}
    except FssbenchError as error:
        return dict.fromkeys((tuple(sorted(i.name for i in basis.items)) for basis in bases), error.problem)


def _verdict(entry: Entry, basis: _Basis, found: Entry | str | None, *, whole: bool) -> Verdict:
    def verdict(outcome: Outcome, reasons: Sequence[str]) -> Verdict:
        return Verdict(id=entry.id, label=entry.label, outcome=outcome, reasons=tuple(reasons))

    if basis.wrong:
        return verdict("differs", [*basis.wrong, *basis.absent])
    if basis.absent:
        return verdict("could not", basis.absent)
    if not isinstance(found, Entry):
        return verdict("differs", [found or "its results do not make one entry"])
    skipped = set() if whole else set(STANDING)
    stated, again = (_fields(one, without=skipped) for one in (entry, found))
    wrong = [f"{where[1:]}: it says {a}, its counts give {b}" for where, a, b in differences(stated, again, "")]
    unsure = [] if whole else ["its rank and its difference from the leader were not compared: others are missing"]
    return verdict("differs" if wrong else "recomputed", [*wrong, *unsure])


def _fields(entry: Entry | ReportedEntry, *, without: set[str]) -> dict[str, Any]:
    return entry.model_dump(mode="json", exclude=without)


def _reported(row: ReportedEntry, transcribed: ReportedEntry | None) -> Verdict:
    """A reported row cannot be computed; but it can be compared with the table that this version has."""
    wrong = []
    if transcribed is not None:
        found = differences(_fields(row, without=set()), _fields(transcribed, without=set()), "")
        wrong = [f"{where[1:]}: it says {a}, {row.printed_in} {b}" for where, a, b in found]
        outcome: Outcome = "differs" if wrong else "as transcribed"
    else:
        outcome, wrong = "could not", [f"{row.printed_in}: this version of fssbench has no such row"]
    return Verdict(id=row.id, label=row.label, outcome=outcome, reasons=tuple(wrong))

"""What a site is made from: a folder of results, or a leaderboard file and the results it names."""

from __future__ import annotations

from pathlib import Path

from fssbench.base.errors import ResultError
from fssbench.base.files import sha256_file
from fssbench.base.progress import Advance, no_progress
from fssbench.leaderboard.board import Leaderboard, read_leaderboard
from fssbench.leaderboard.build import board_of
from fssbench.leaderboard.gathered import Gathered, candidates, gather
from fssbench.leaderboard.published import published_entries
from fssbench.pages.view import View
from fssbench.results.check import check_result
from fssbench.schemas.leaderboard import Entry

__all__ = ["from_either", "from_file", "from_folder"]

Source = tuple[Leaderboard, dict[str, View]]


def from_either(source: Path, results: Path | None = None, *, reported: bool, advance: Advance = no_progress) -> Source:
    """`from_folder` for a folder of results, `from_file` for a leaderboard file."""
    if source.is_dir():
        return from_folder(source, reported=reported, advance=advance)
    return from_file(source, results, reported=reported, advance=advance)


def from_folder(folder: Path, *, reported: bool, advance: Advance = no_progress) -> Source:
    """The leaderboard of the results below a folder, and those results by entry.

    Args:
        reported: with what papers report.
        advance: called with the number of results just read.

    Raises:
        ResultError: there is nothing to show, or a result is not sound.
    """
    items = gather(folder, advance=advance)
    if not items and not reported:
        raise ResultError(f"{folder} holds no results", remedy="make some with fssbench eval --output")
    board = board_of(items, reported=published_entries() if reported else ())
    return board, {found.id: View(found.items) for found in candidates(items)}


def from_file(file: Path, results: Path | None, *, reported: bool, advance: Advance = no_progress) -> Source:
    """A leaderboard file, and of the results that it names those that are there, by entry.

    An entry is left out if one of its results is not there, or is not the one it names.

    Args:
        results: the folder it was built from; without, it is looked for beside the file.

    Raises:
        ResultError: it is not a leaderboard, or a result is not sound.
    """
    board = read_leaderboard(file)
    if not reported:
        board = board.model_copy(update={"reported": ()})
    folders = [results] if results else [file.parent / "results", file.parent]
    views = {}
    for entry in board.entries:
        folder = next((folder for folder in folders if _are_there(entry, folder)), None)
        if folder is not None:
            items = [Gathered.of(check_result(folder / run.result), folder) for run in entry.runs]
            views[entry.id] = View(tuple(items))
            advance(len(items))
    return board, views


def _are_there(entry: Entry, folder: Path) -> bool:
    files = {folder / run.result: run.result_sha256 for run in entry.runs}
    return all(file.is_file() and sha256_file(file) == sha256 for file, sha256 in files.items())

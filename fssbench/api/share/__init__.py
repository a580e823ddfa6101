"""Sets and results brought to where others read them, and back: checked before they leave, and when they come."""

from __future__ import annotations

from pathlib import Path

from fssbench.api.share.results import checked_files, pull_results, push_results
from fssbench.api.share.sets import pull_sets, push_sets, sets_at
from fssbench.api.share.travel import Shared
from fssbench.base.errors import UsageError
from fssbench.base.home import Home
from fssbench.base.progress import SILENT, Report
from fssbench.leaderboard.submission import LIST
from fssbench.pipelines.transport import Place, Remote, find_place
from fssbench.pipelines.transport.upload import shelf_at
from fssbench.results.load import find_results

__all__ = ["Shared", "pull", "push"]


def push(folder: str | Path, address: str, *, overwrite: bool = False, report: Report = SILENT) -> tuple[Shared, ...]:
    """Bring every set and every result below a folder to an address.

    Sets get the names that ``eval --data`` looks for. Results are laid out as in an archive of ``submit``, with counts,
    kept masks and the cards of their checkpoints, and join those that are there. Everything is verified before anything
    leaves. A manifest, or the list of results, goes last, so that readers never see a part.

    Raises:
        UsageError: the folder holds neither, or nothing can be written to such an address.
        EpisodeSetError: a set is damaged.
        ResultError: a result is not what it says.
        StorageError: another set or result of that name is there and ``overwrite`` is not set, or the place refuses.
    """
    folder, shelf, address = Path(folder), shelf_at(address), address.rstrip("/")
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}", remedy="pass a folder of sets or results")
    sets = sets_at(folder)
    results = find_results(folder, note=report.note)
    if not sets and not results:
        raise UsageError(
            f"{folder} holds neither sets nor results", remedy="pass the --output of fssbench prepare or fssbench eval"
        )
    files = checked_files(results, report=report)
    return (
        *push_sets(sets, shelf, address, overwrite=overwrite, report=report),
        *push_results(files, shelf, address, overwrite=overwrite, report=report),
    )


def pull(
    place: str | Path | Place, folder: str | Path | None = None, *, overwrite: bool = False, report: Report = SILENT
) -> tuple[Shared, ...]:
    """Copy every set and every result at a place into a folder; every byte is checked as it comes.

    Results come all or none, after everything they say has been computed again, as ``leaderboard add`` does.

    Args:
        folder: where they go, laid out as ``prepare`` and ``eval`` do; ``None`` for the home.

    Raises:
        UsageError: there is neither a set nor a result.
        EpisodeSetError: a file is not the one that its manifest or list pins, or cannot be read.
        ResultError: a result is not what it says.
        StorageError: something else is in the way and ``overwrite`` is not set, or the disk has not the room.
    """
    place = find_place(place) if isinstance(place, str) else place
    if isinstance(place, Remote):
        place = place.uncached()  # what comes is kept in the folder, not twice
    sets, results = sets_at(place), (place / LIST).is_file()
    if not sets and not results:
        raise UsageError(
            f"there are neither sets nor results at {place}",
            remedy="give the address that push was given, or that of one set",
        )
    for_sets, for_results = (
        (Path(folder), Path(folder)) if folder is not None else (Home.find().episodes, Home.find().results)
    )
    return (
        *pull_sets(sets, for_sets, overwrite=overwrite, report=report),
        *(pull_results(place, for_results, overwrite=overwrite, report=report) if results else ()),
    )

"""Results that travel: laid out as in an archive of ``submit``, whose list pins every file and goes last.

Several people may push to one place: results join those that are there, and the list then names all of them.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import ValidationError

from fssbench.api.check import finder
from fssbench.api.share.travel import Shared
from fssbench.base.errors import ResultError, StorageError
from fssbench.base.files import require_room, sha256_file, storage_errors, write_atomic
from fssbench.base.progress import Report
from fssbench.base.records import first_error
from fssbench.leaderboard.archive import cards_of, laid_out, packed
from fssbench.leaderboard.incoming import Incoming, staged, target_of
from fssbench.leaderboard.submission import LIMITS, LIST, SCHEMA_VERSION, kind_of
from fssbench.leaderboard.unpack import MOST_FILES
from fssbench.pipelines.formats.shards import read_checked
from fssbench.pipelines.transport import Place
from fssbench.pipelines.transport.remote import SAFE
from fssbench.pipelines.transport.upload import Shelf
from fssbench.results.check import check_result
from fssbench.schemas.manifest import FileRecord
from fssbench.schemas.submission import Packed, Submission

__all__ = ["checked_files", "pull_results", "push_results"]

Listed = Mapping[str, Packed]


def checked_files(results: Sequence[Path], *, report: Report) -> dict[str, Path]:
    """Results and all that they rest on, by name; everything they say has been computed again.

    Raises:
        ResultError: a result is not what it says, or has a name that no address may have.
    """
    checked = []
    with report.progress("checking", len(results), unit="results") as advance:
        for path in sorted(results, key=lambda path: (path.name, path)):  # those on one track share their resamples
            checked.append(check_result(path, find_set=finder(None)))
            advance(1)
    if wrong := [one for one in checked if one.problems]:
        raise ResultError(
            f"{wrong[0].path} is not what it says, so nothing was pushed: {wrong[0].problems[0]}",
            remedy="see all that is wrong with fssbench score --check, or evaluate again with --overwrite",
        )
    files = laid_out(checked, cards_of([one.result for one in checked if one.result is not None]))
    if odd := [name for name in files if not all(map(SAFE.fullmatch, name.split("/")))]:
        raise ResultError(
            f"{files[odd[0]]} would be {odd[0]}, and a name in an address may have letters, digits, and . _ - alone",
            remedy="give the model a plain name, as with score --name",
        )
    return files


def push_results(
    files: Mapping[str, Path], shelf: Shelf, address: str, *, overwrite: bool, report: Report
) -> tuple[Shared, ...]:
    """Bring what `checked_files` found to a shelf, where it joins what is there.

    Raises:
        ResultError: the list that is there is damaged.
        StorageError: another result of that name is there and ``overwrite`` is not set, or the place refuses.
    """
    listed = {one.name: one for one in packed(files)}
    stated = shelf.read(LIST)
    there = {} if stated is None else _listed(stated, where=f"{address}/{LIST}")
    differing = [name for name in listed if name in there and there[name] != listed[name]]
    if differing and not overwrite:
        raise StorageError(
            f"{address}/{differing[0]} is there already, and differs",
            remedy="pass --overwrite to replace it, or another address",
        )
    coming = {name: path for name, path in files.items() if there.get(name) != listed[name]}
    if coming:
        runs = tuple(f"{_run(name)}." for name in listed if kind_of(name) == "result")
        kept = {name: one for name, one in there.items() if not name.startswith(runs)}
        _write(shelf, coming, {**kept, **listed}, report)
    return tuple(_shared(f"{address}/{name}", own, there=not own.keys() & coming.keys()) for name, own in _runs(listed))


def _write(shelf: Shelf, files: Mapping[str, Path], listed: Listed, report: Report) -> None:
    """Bring files to a shelf, and last the list of all that are there then."""
    submission = Submission(
        schema_version=SCHEMA_VERSION,
        kind="fssbench-submission",
        files=tuple(listed[name] for name in sorted(listed)),
    )
    with TemporaryDirectory(prefix="fssbench-") as folder:
        file = Path(folder) / LIST
        write_atomic(file, submission.to_json())
        total = sum(path.stat().st_size for path in (*files.values(), file))
        with report.progress("pushing results", total, unit="bytes") as advance:
            shelf.write({**files, LIST: file}, advance=advance)


def pull_results(place: Place, folder: Path, *, overwrite: bool, report: Report) -> tuple[Shared, ...]:
    """Copy all results at a place into a folder: those that are there stay, and are not fetched again.

    Raises:
        EpisodeSetError: a file is not the one that the list pins, or cannot be read.
        ResultError: the list is damaged, or a result is not what it says.
        StorageError: something else is in the way and ``overwrite`` is not set, or the disk has not the room.
    """
    listed = _listed((place / LIST).read_bytes(), where=str(place / LIST))
    here = {name for name, one in listed.items() if _is(target_of(name, folder), one)}
    if here != listed.keys():
        require_room(sum(one.bytes for one in listed.values()), folder, what="the results take")
        with staged(folder) as stage:
            _fetch(place, folder, stage, listed, here, report)
            _take(Incoming.of(stage, folder, find_set=finder(None)), place, overwrite=overwrite, report=report)
    return tuple(_shared(str(target_of(name, folder)), own, there=own.keys() <= here) for name, own in _runs(listed))


def _fetch(place: Place, folder: Path, stage: Path, listed: Listed, here: set[str], report: Report) -> None:
    """Fill a stage with the files that are listed; those that are here already are copied."""
    with report.progress("pulling results", sum(one.bytes for one in listed.values()), unit="bytes") as advance:
        for name, one in listed.items():
            if name in here:
                with storage_errors(stage):
                    (stage / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(target_of(name, folder), stage / name)
            else:
                record = FileRecord(name=name, sha256=one.sha256, bytes=one.bytes)
                write_atomic(stage / name, read_checked(place, record))
            advance(one.bytes)


def _take(incoming: Incoming, place: Place, *, overwrite: bool, report: Report) -> None:
    """Move what was fetched into place, if nothing is wrong with it."""
    if n := len(incoming.problems):
        raise ResultError(
            f"{place} is refused, and nothing of it was kept: {incoming.problems[0]}"
            + (f", and {n - 1} more" if n > 1 else ""),
            remedy="let its author correct the results and push them again",
        )
    collisions = incoming.collisions()
    if collisions and not overwrite:
        raise StorageError(collisions[0], remedy="pass --overwrite to replace it, or another folder")
    if unchecked := incoming.unchecked:
        more = f" (and {len(unchecked) - 1} more like this)" if len(unchecked) > 1 else ""
        report.note(f"not checked: {unchecked[0]}{more}")
    if collisions:
        incoming.replace()
    else:
        incoming.move()


def _listed(data: bytes, *, where: str) -> dict[str, Packed]:
    """What a list names; `ResultError` unless an archive may have all of it."""
    remedy = "push the results again, to another address"
    try:
        files = Submission.model_validate_json(data).files
    except ValidationError as error:
        raise ResultError(f"{where} is not a list of results: {first_error(error)}", remedy=remedy) from error
    if len(files) > MOST_FILES:
        raise ResultError(f"{where} lists {len(files):,} files, at most {MOST_FILES:,} are taken", remedy=remedy)
    for one in files:
        kind = kind_of(one.name)
        if kind is None or kind == "list":
            raise ResultError(f"{where} lists {one.name!r}, which no archive of results has", remedy=remedy)
        if one.bytes > LIMITS[kind]:
            raise ResultError(
                f"{where} gives {one.name} {one.bytes:,} bytes, at most {LIMITS[kind]:,} are taken", remedy=remedy
            )
    if len({one.name.lower() for one in files}) < len(files):
        raise ResultError(f"{where} lists a file twice", remedy=remedy)
    return {one.name: one for one in files}


def _runs(listed: Listed) -> list[tuple[str, Listed]]:
    """The results that are listed, each with the files that it consists of."""
    names = [name for name in sorted(listed) if kind_of(name) == "result"]
    return [
        (name, {other: one for other, one in listed.items() if other.startswith(f"{_run(name)}.")}) for name in names
    ]


def _run(name: str) -> str:
    """What the names of all files of a result begin with."""
    return name.removesuffix(".json")


def _is(path: Path, listed: Packed) -> bool:
    return path.is_file() and path.stat().st_size == listed.bytes and sha256_file(path) == listed.sha256


def _shared(path: str, own: Listed, *, there: bool) -> Shared:
    n_bytes = sum(one.bytes for one in own.values())
    return Shared(kind="result", path=path, n_files=len(own), n_bytes=n_bytes, there=there)

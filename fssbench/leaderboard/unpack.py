"""An archive from a stranger, taken apart into an empty folder; all that is wrong with it is listed.

Nothing of it is trusted: only files under the names that `fssbench.leaderboard.submission` knows are written, no
links, no devices, nothing larger than such a file can be, and each must be the one the archive's own list names.
"""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from fssbench.base.archives import DAMAGED_TAR
from fssbench.base.errors import CheckpointError, ResultError
from fssbench.base.files import sha256_file, storage_errors
from fssbench.base.listing import of_a_system
from fssbench.base.records import first_error
from fssbench.leaderboard.submission import CARDS, LIMITS, LIST, RESULTS, card_is_of, files_of, kind_of, place_of
from fssbench.models.cards import read_card
from fssbench.results.check import Checked, FindSet, check_result
from fssbench.schemas.submission import Submission

__all__ = ["examine", "unpack"]

MOST_FILES = 100_000
MOST_ROWS = 10_000_000
MOST_UNPACKED = 4 * 2**30
"""Of a table of counts, which is compressed: its rows, and its bytes when it is not."""


def unpack(archive: Path, stage: Path) -> list[str]:
    """Write an archive's files below ``stage``; returns all that is wrong with it as an archive.

    Raises:
        ResultError: it is not an archive at all.
        StorageError: the disk is full, or refuses otherwise.
    """
    problems: list[str] = []
    try:
        with tarfile.open(archive, "r:") as tar:
            for member in _members(tar, problems):
                _take(tar, member, stage / member.name, problems)
    except OSError as error:
        raise ResultError(f"{archive} cannot be read: {error.strerror}", remedy="check the path") from error
    except DAMAGED_TAR as error:
        if not any(stage.iterdir()):
            raise ResultError(
                f"{archive} is not an archive of results: {error}", remedy="pass what fssbench submit wrote"
            ) from error
        problems.append(f"the archive is damaged: {error}")
    return [*problems, *_against_list(stage)]


def _members(tar: tarfile.TarFile, problems: list[str]) -> Iterator[tarfile.TarInfo]:
    """The members that may be written; what is wrong with the others is noted."""
    seen: set[str] = set()
    for n, member in enumerate(tar):
        name, kind = member.name, kind_of(member.name)
        if n >= MOST_FILES:
            problems.append(f"the archive has more than {MOST_FILES:,} files")
            return
        if any(map(of_a_system, Path(name).parts)):  # macOS packs ._NAME beside NAME
            continue
        if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.issparse() or member.pax_headers:
            problems.append(f"{name!r} is not a plain file")
        elif kind is None:
            problems.append(f"{name!r} is not a file that an archive of results has")
        elif member.size > LIMITS[kind]:
            problems.append(f"{name} has {member.size:,} bytes, at most {LIMITS[kind]:,} are taken")
        elif name.lower() in seen:
            problems.append(f"{name} is there twice")
        else:
            seen.add(name.lower())
            yield member


def _take(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path, problems: list[str]) -> None:
    data: IO[bytes] | None = tar.extractfile(member)
    assert data is not None  # it is a plain file
    try:
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                shutil.copyfileobj(data, file)
    except DAMAGED_TAR:
        path.unlink()
        problems.append(f"{member.name} is cut off")


def _against_list(stage: Path) -> list[str]:
    """What differs between the files there are and the archive's list of them."""
    there = {path.relative_to(stage).as_posix() for path in stage.rglob("*") if path.is_file()} - {LIST}
    try:
        listed = {file.name: file for file in Submission.model_validate_json((stage / LIST).read_bytes()).files}
    except FileNotFoundError:
        return [f"it has no {LIST}"]
    except ValidationError as error:
        return [f"{LIST}: {first_error(error)}"]
    problems = [f"{name!r} is listed and not there" for name in sorted(listed.keys() - there)]
    problems += [f"{name} is not listed" for name in sorted(there - listed.keys())]
    for name in sorted(there & listed.keys()):
        if (found := sha256_file(stage / name)) != listed[name].sha256:
            problems.append(f"{name} has the SHA-256 {found}, {LIST} says {listed[name].sha256}")
        elif (size := (stage / name).stat().st_size) != listed[name].bytes:
            problems.append(f"{name} has {size:,} bytes, {LIST} says {listed[name].bytes:,}")
    return problems


def examine(stage: Path, *, find_set: FindSet | None) -> tuple[list[Checked], list[str]]:
    """Compute again what the results below ``stage`` say; returns them, and all that is wrong.

    Args:
        find_set: finds episode sets; without, pools and the counts of masks are left unchecked.
    """
    problems = list(_bloated(stage))
    checked: list[Checked] = []
    accounted = {stage / LIST}
    root = stage / RESULTS
    for path in sorted(root.rglob("*.json"), key=lambda path: (path.name, path)):
        if kind_of(path.relative_to(stage).as_posix()) != "result":
            continue
        accounted.add(path)
        one = check_result(path, find_set=find_set)
        checked.append(one)
        problems += [f"{path.relative_to(stage).as_posix()}: {problem}" for problem in one.problems]
        if one.result is None:
            continue
        accounted.update(files_of(path, one.result))
        if (place := place_of(one.result)) != (here := path.relative_to(root).as_posix()):
            problems.append(f"{RESULTS}/{here}: it is the result {place}")
    if not checked and not problems:
        problems.append("it holds no results")
    problems += _cards(stage, checked, accounted)
    strangers = sorted(path for path in stage.rglob("*") if path.is_file() and path not in accounted)
    problems += [f"{path.relative_to(stage).as_posix()} belongs to no result" for path in strangers]
    return checked, [problem.replace(f"{stage}/", "") for problem in problems]


def _bloated(stage: Path) -> Iterator[str]:
    """Remove tables that unpack to more than any table of counts, before anybody reads them."""
    for path in sorted(stage.rglob("*.counts.parquet")):
        try:
            facts = pq.read_metadata(path)
        except (OSError, pa.ArrowException):
            continue  # whoever reads it says what is wrong
        unpacked = sum(facts.row_group(n).total_byte_size for n in range(facts.num_row_groups))
        if facts.num_rows > MOST_ROWS or unpacked > MOST_UNPACKED:
            path.unlink()
            yield f"{path} would unpack to {facts.num_rows:,} rows of {unpacked:,} bytes"


def _cards(stage: Path, checked: list[Checked], accounted: set[Path]) -> Iterator[str]:
    """What is wrong with the cards of checkpoints."""
    ran_with = {one.result.model.checkpoint_sha256 for one in checked if one.result}
    for path in sorted((stage / CARDS).glob("*.json")):
        accounted.add(path)
        try:
            card = read_card(path)
        except CheckpointError as error:
            yield error.problem
            continue
        if not card_is_of(card, path.stem):
            yield f"{CARDS}/{path.name}: it is the card of {card.weights_sha256}"
        if path.stem not in ran_with:
            yield f"{CARDS}/{path.name}: no result ran with this checkpoint"

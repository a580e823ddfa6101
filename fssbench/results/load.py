"""Results read back with the counts they rest on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fssbench.base.errors import ResultError
from fssbench.base.files import is_file_name, sha256_bytes
from fssbench.base.listing import list_files, remark
from fssbench.results import counts_file
from fssbench.schemas.result import Result, read_result
from fssbench.scoring.counts import CountsTable

__all__ = ["Loaded", "find_results", "load_result", "results_below"]

KIND = b'"fssbench-result"'
HEAD = 4096


@dataclass(frozen=True, eq=False)
class Loaded:
    """A result and its counts."""

    path: Path
    result: Result
    table: CountsTable


def find_results(folder: Path, *, note: Callable[[str], None] = lambda _: None) -> list[Path]:
    """All result files below a folder, sorted, each once however many links lead to it.

    Args:
        note: told what was left out.

    Raises:
        ResultError: there is no such folder, or a file in it cannot be read.
    """
    if not folder.is_dir():
        raise ResultError(f"there is no folder {folder}", remedy="pass the folder given to eval as --output")
    listing = list_files(folder, suffixes=(".json",), below=True, error=ResultError)
    for line in remark(listing.left_out):
        note(f"{folder}: {line}")
    once = {path.resolve(): path for path in sorted(listing.files, key=Path.is_symlink, reverse=True)}
    return sorted(filter(_is_result, once.values()))


def results_below(folder: Path, *, note: Callable[[str], None] = lambda _: None) -> list[Path]:
    """`find_results`, and `ResultError` if there are none."""
    files = find_results(folder, note=note)
    if not files:
        raise ResultError(f"{folder} holds no results", remedy="make some with fssbench eval --output")
    return files


def _is_result(file: Path) -> bool:
    """Whether a file says in its first lines that it is a result; whoever uses it reads the rest."""
    try:
        with file.open("rb") as opened:
            return KIND in opened.read(HEAD)
    except OSError as error:
        raise ResultError(f"{file} cannot be read: {error.strerror}", remedy="check who may read it") from error


def load_result(path: Path) -> Loaded:
    """A result with its counts; `ResultError` if either is damaged, or the counts are not those it names."""
    result = read_result(path)
    if not is_file_name(result.counts.file):
        raise ResultError(f"{path}: counts.file '{result.counts.file}' does not lie beside it", remedy="evaluate again")
    file = path.with_name(result.counts.file)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ResultError(
            f"{file} cannot be read: {error.strerror}; {path.name} rests on it",
            remedy="restore it with fssbench score, or evaluate again with --overwrite",
        ) from error
    if sha256_bytes(data) != result.counts.sha256:
        raise ResultError(
            f"{file} is not the table {path.name} names", remedy="see what differs with fssbench score --check"
        )
    return Loaded(path, result, counts_file.from_bytes(data, where=str(file)))

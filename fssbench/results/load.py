"""Results read back with the counts they rest on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fssbench.base.errors import ResultError
from fssbench.base.files import PARTIAL, is_file_name, sha256_bytes
from fssbench.results import counts_file
from fssbench.schemas.result import Result, read_result
from fssbench.scoring.counts import CountsTable

__all__ = ["Loaded", "find_results", "load_result", "load_run", "results_below"]

KIND = b'"fssbench-result"'
HEAD = 4096


@dataclass(frozen=True, eq=False)
class Loaded:
    """A result and its counts."""

    path: Path
    result: Result
    table: CountsTable

    @property
    def key(self) -> tuple[int, int, int]:
        """Fold, shot and seed."""
        episodes = self.result.episodes
        return episodes.fold, episodes.shot, episodes.seed

    @property
    def classes(self) -> Mapping[int, str]:
        """The fold's novel classes with their names."""
        return {c.id: c.name for c in self.result.score.per_class}


def find_results(folder: Path) -> list[Path]:
    """All result files below a folder, sorted; `ResultError` if there is no such folder."""
    if not folder.is_dir():
        raise ResultError(f"there is no folder {folder}", remedy="pass the folder given to eval as --output")
    return [file for file in sorted(folder.rglob("*.json")) if _is_result(file) and not _unfinished(file, folder)]


def results_below(folder: Path) -> list[Path]:
    """All result files below a folder; `ResultError` if there are none."""
    files = find_results(folder)
    if not files:
        raise ResultError(f"{folder} holds no results", remedy="make some with fssbench eval --output")
    return files


def _is_result(file: Path) -> bool:
    """Whether a file says in its first lines that it is a result; whoever uses it reads the rest."""
    with file.open("rb") as opened:
        return KIND in opened.read(HEAD)


def _unfinished(file: Path, folder: Path) -> bool:
    return any(part.endswith(PARTIAL) for part in file.relative_to(folder).parts)


def load_run(path: Path) -> dict[tuple[int, int, int], Loaded]:
    """One model's results by fold, shot and seed: a result file, or all below a folder.

    Raises:
        ResultError: a result is damaged, its counts are not those it names, or the folder holds several models.
    """
    files = [path] if path.is_file() else results_below(path)
    loaded: dict[tuple[int, int, int], Loaded] = {}
    for file in files:
        one = load_result(file)
        if one.key in loaded:
            fold, shot, seed = one.key
            raise ResultError(
                f"{loaded[one.key].path} and {file} are both fold {fold}, {shot}-shot, seed {seed}",
                remedy="pass the folder of one model, benchmark and protocol",
            )
        loaded[one.key] = one
    return loaded


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

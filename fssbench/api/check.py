"""Is a result what it says? Everything computed again, down to the masks of its set where that is there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fssbench.api.places import root_of
from fssbench.base.errors import ResultError
from fssbench.base.progress import SILENT, Report
from fssbench.pipelines.episode_sets.episode_set import MANIFEST, EpisodeSet, benchmark_below, locate_set
from fssbench.pipelines.transport import Place
from fssbench.results.check import Checked, FindSet, check_result
from fssbench.results.load import results_below

__all__ = ["check_all", "finder", "locate", "require_sound"]


def check_all(path: Path, *, data: Place | None = None, report: Report = SILENT) -> list[Checked]:
    """Check one result, or all below a folder, against the sets below ``data``; ``None`` for the home."""
    # By name first: results on one track follow each other, and share their resamples.
    if not path.exists():
        raise ResultError(
            f"there is no file or folder {path}", remedy="pass a result, or the folder given to eval as --output"
        )
    files = results_below(path, note=report.note) if path.is_dir() else [path]
    files.sort(key=lambda file: (file.name, file))
    checked = []
    with report.progress("checking", len(files), unit="results") as bar:
        for file in files:
            checked.append(check_result(file, find_set=finder(data)))
            bar(1)
    return sorted(checked, key=lambda one: one.path)


def require_sound(checked: Sequence[Checked]) -> None:
    """Raise `ResultError` with the number of results that are not what they say, if there are any."""
    if wrong := sum(bool(one.problems) for one in checked):
        total = sum(len(one.problems) for one in checked)
        raise ResultError(
            f"{wrong} of {len(checked)} results {'is' if wrong == 1 else 'are'} not what "
            f"{'it says' if wrong == 1 else 'they say'} ({total} discrepanc{'y' if total == 1 else 'ies'})",
            remedy="score the predictions again, or evaluate again with --overwrite",
        )


def finder(data: Place | None) -> FindSet:
    """Finds the set that a result is about, below ``data`` or in the home."""
    return lambda asked: locate(data, asked.benchmark, asked.protocol, asked.fold)


def locate(data: Place | None, benchmark: str | None, protocol: str | None, fold: int | None) -> EpisodeSet:
    """The set asked for; if ``data`` is a set itself, what was not asked for is as it has it."""
    root = root_of(data)
    if (root / MANIFEST).is_file():
        there = EpisodeSet.open(root).manifest
        benchmark, protocol = benchmark or there.benchmark, protocol or there.protocol.name
        fold = there.fold if fold is None else fold
    found = benchmark_below(root, benchmark or "coco")
    return locate_set(root, benchmark=found, protocol=protocol or "strict", fold=fold or 0)

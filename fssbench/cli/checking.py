"""Whether results are what they say, for the commands that ask."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fssbench.base.errors import ResultError
from fssbench.cli.console import Place, progress
from fssbench.cli.sets import finder

if TYPE_CHECKING:
    from fssbench.results.check import Checked

__all__ = ["check_all", "refuse_wrong", "say", "verdict"]


def check_all(path: Path, data: Place | None) -> list[Checked]:
    """Check one result, or all below a folder, against the sets below ``data`` or in the home."""
    from fssbench.results.check import check_result
    from fssbench.results.load import results_below

    # By name first: results on one track follow each other, and share their resamples.
    files = sorted(results_below(path), key=lambda file: (file.name, file)) if path.is_dir() else [path]
    checked = []
    with progress("checking", len(files), unit="results") as advance:
        for file in files:
            checked.append(check_result(file, find_set=finder(data)))
            advance(1)
    return sorted(checked, key=lambda one: one.path)


def refuse_wrong(checked: Sequence[Checked]) -> None:
    """Raise `ResultError` with the number of results that are not what they say, if there are any."""
    if wrong := sum(bool(one.problems) for one in checked):
        total = sum(len(one.problems) for one in checked)
        raise ResultError(
            f"{wrong} of {len(checked)} results {'is' if wrong == 1 else 'are'} not what "
            f"{'it says' if wrong == 1 else 'they say'} ({total} discrepanc{'y' if total == 1 else 'ies'})",
            remedy="score the predictions again, or evaluate again with --overwrite",
        )


def verdict(one: Checked) -> dict[str, Any]:
    """What came of a check, for scripts."""
    return {
        "path": str(one.path),
        "sound": not one.problems,
        "problems": one.problems,
        "unchecked": one.unchecked,
    }


def say(one: Checked) -> None:
    """Print what came of a check."""
    if one.problems:
        print(f"WRONG {one.path}: {len(one.problems)} discrepanc{'y' if len(one.problems) == 1 else 'ies'}")
        print("\n".join(f"  {problem}" for problem in one.problems))
    else:
        print(f"sound {one.path}")
    for what in one.unchecked:
        print(f"  not checked: {what}")

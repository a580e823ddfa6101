"""What came of checks, for people and for scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fssbench.results.check import Checked

__all__ = ["say", "verdict"]


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

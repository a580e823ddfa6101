"""Options of several values: ``--shot 1,5`` and ``--shot 1 --shot 5`` say the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from fssbench.base.errors import UsageError
from fssbench.cli import complete

if TYPE_CHECKING:
    Numbers = tuple[int, ...]
    Fractions = tuple[float, ...]
else:
    Numbers = Fractions = str  # what typer is told, which takes no tuples in a list; the parser makes them

__all__ = ["FoldsOption", "Fractions", "Numbers", "SeedsOption", "ShotsOption", "many", "several"]

V = TypeVar("V", int, float)


def many(
    *names: str,
    help: str,
    least: float = 0,
    kind: Callable[[str], float] = int,
    offers: Callable[..., list[str]] | None = None,
) -> Any:
    """Declare an option of `Numbers`, or `Fractions` with ``float`` as their kind, each at least ``least``.

    It may be repeated, and each time names one value or several joined by commas; in the environment too.
    """

    option = [name for name in names if name.startswith("--")][-1]

    def parse(text: str) -> tuple[float, ...]:
        what = "integers" if kind is int else "numbers"
        try:
            values = tuple(kind(part) for part in text.removesuffix(",").split(","))
        except ValueError as error:
            raise UsageError(f"{option} must be {what} joined by commas, got '{text}'", remedy="as in 1,5") from error
        if min(values) < least:
            raise UsageError(f"{option} must be at least {least}, got {min(values)}")
        return values

    return typer.Option(*names, parser=parse, metavar="N,…", help=help, autocompletion=offers)


FoldsOption = Annotated[
    list[Numbers] | None, many("--fold", "--folds", "-f", help="Folds. [default: all]", offers=complete.folds)
]
ShotsOption = Annotated[
    list[Numbers] | None, many("--shot", "--shots", "-k", least=1, help="Numbers of supports. [default: 1]")
]
SeedsOption = Annotated[list[Numbers] | None, many("--seed", "--seeds", help="Seeds. [default: the protocol's]")]


def several(given: Iterable[tuple[V, ...]] | None) -> tuple[V, ...] | None:
    """The values of an option declared by `many`, each once; ``None`` if it was not given."""
    return None if given is None else tuple(dict.fromkeys(value for values in given for value in values))

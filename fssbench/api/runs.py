"""One model's results, by what was asked: what is compared, averaged or shown side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from fssbench.base.errors import ResultError
from fssbench.results.evaluation import Evaluation
from fssbench.results.load import results_below

__all__ = ["Results", "Run", "classes_of", "name_of", "runs_of"]

Results = Evaluation | Sequence[Evaluation] | str | Path
"""One result, several of one model, the path of a result, or a folder with one model's results."""


class Run(NamedTuple):
    """One track of a benchmark and protocol."""

    fold: int
    shot: int
    seed: int

    def __str__(self) -> str:
        return f"fold {self.fold}, {self.shot}-shot, seed {self.seed}"


def runs_of(results: Results) -> dict[Run, Evaluation]:
    """Results by what was asked.

    Raises:
        ResultError: a result is damaged, its counts are not those it names, or there are two of one run.
    """
    found: dict[Run, Evaluation] = {}
    for one in _opened(results):
        asked = one.record.episodes
        run = Run(asked.fold, asked.shot, asked.seed)
        if run in found:
            unlike = found[run].record.episodes.identity.unlike(asked.identity)
            raise ResultError(
                f"{name_of(found[run])} and {name_of(one)} are both {run}{f', of {unlike}' if unlike else ''}",
                remedy="pass the folder of one model, benchmark and protocol",
            )
        found[run] = one
    if not found:
        raise ResultError("there are no results to look at", remedy="pass at least one")
    return found


def name_of(one: Evaluation) -> str:
    """What messages call a result: its file, or its model if it was not written."""
    return str(one.path) if one.saved else f"a result of {one.record.model.name} that was not saved"


def classes_of(one: Evaluation) -> dict[int, str]:
    """The fold's novel classes with their names."""
    return {c.id: c.name for c in one.record.score.per_class}


def _opened(results: Results) -> Iterable[Evaluation]:
    if isinstance(results, Evaluation):
        return [results]
    if isinstance(results, str | Path):
        path = Path(results)
        return map(Evaluation.open, [path] if path.is_file() else results_below(path))
    return results

"""What the papers report of the cost of our models, to stand beside what is measured of the same parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from fssbench.leaderboard.reported.tables import Architecture, Row, Slowdown, papers

__all__ = ["ReportedCosts", "reported_costs"]

T = TypeVar("T")

ELSEWHERE = ("backbone_weights",)
"""Options that no cost depends on."""


@dataclass(frozen=True, kw_only=True)
class ReportedCosts:
    """What is said of one model, each with its source; ``None`` where nothing is.

    Attributes:
        row: of a table about costs.
        architecture: its parameters by part.
        slowdown: how much longer it takes than another.
    """

    row: tuple[str, Row] | None
    architecture: tuple[str, Architecture] | None
    slowdown: tuple[str, Slowdown] | None


def reported_costs(model: str, options: Mapping[str, Any], *, defaults: Mapping[str, Any], shot: int) -> ReportedCosts:
    """What the papers say of exactly the model that ``options`` build, in an episode of ``shot`` supports.

    Args:
        defaults: of the model's options.
    """

    def is_asked(named: str, said: Mapping[str, Any], *, but: tuple[str, ...] = ()) -> bool:
        def chosen(given: Mapping[str, Any]) -> dict[str, Any]:
            return {key: v for key, v in given.items() if key not in (*ELSEWHERE, *but) and defaults.get(key) != v}

        return named == model and chosen(said) == chosen(options)

    said = papers()
    return ReportedCosts(
        row=_first(
            (f"{paper.name} {table.number}, {row.label}", row)
            for paper in said
            for table in paper.tables
            if table.costs
            for row in table.rows
            if row.ours and row.shot == shot and is_asked(row.ours.model, {**row.options, **row.costs_at})
        ),
        architecture=_first(
            (f"{paper.name} {one.number}", one)
            for paper in said
            for one in paper.architectures
            if is_asked(one.ours.model, one.ours.options)
        ),
        slowdown=_first(
            (f"{paper.name}, {one.where}", one)
            for paper in said
            for one in paper.slowdowns
            if is_asked(one.ours.model, one.ours.options, but=("backbone",))
        ),
    )


def _first(found: Iterator[T]) -> T | None:
    return next(found, None)

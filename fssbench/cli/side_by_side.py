"""Measured figures beside reported ones, for people and for scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fssbench.leaderboard.reported import Row
    from fssbench.reproduction.measured import Figure, Measured

__all__ = ["costs_as_json", "measured_as_json", "show_costs", "show_measured"]

COSTS = (
    ("learnable parameters (M)", "learnable_parameters", 1e6),
    ("operations (GFLOPs)", "gigaflops", 1e9),
    ("peak memory (GB)", "gigabytes", 1e9),
    ("time of an episode (ms)", "milliseconds", 1),
)
MEASURED = {"gigaflops": "flops", "gigabytes": "peak_bytes"}


def measured_as_json(measured: Measured) -> dict[str, Any]:
    """A row with its figures, each measured and reported."""
    row = measured.row
    return {
        "method": row.label,
        "backbone": row.backbone,
        "benchmark": row.benchmark,
        "protocol": row.protocol,
        "ignore_label": row.ignore_label,
        "shot": row.shot,
        "folds": [_as_json(figure) for figure in measured.folds],
        "mean": _as_json(measured.mean),
        "fb_iou": _as_json(measured.fb_iou),
        "results": [str(path) for path in measured.results],
        "note": row.note,
    }


def _as_json(figure: Figure) -> dict[str, Any]:
    return asdict(figure) | {"difference": figure.difference, "inside": figure.inside}


def show_measured(measured: Sequence[Measured], *, title: str) -> None:
    """Print four lines a row: reported, measured, their difference, and the interval of what was measured."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    n_folds = max(len(one.folds) for one in measured)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    table.add_column("method")
    for name in ("shot", ""):
        table.add_column(name, no_wrap=True)
    for name in (*(f"fold {fold}" for fold in range(n_folds)), "mean", "FB-IoU"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in measured:
        row = one.row
        figures = [*one.folds, *[None] * (n_folds - len(one.folds)), one.mean, one.fb_iou]
        name = " ".join(filter(None, (row.label, row.backbone)))
        table.add_section()
        table.add_row(escape(name), str(row.shot), "reported", *(_cell(f.reported if f else None) for f in figures))
        table.add_row("", "", "measured", *(_cell(f.value if f else None, 2) for f in figures))
        table.add_row("", "", "difference", *(_cell(f.difference if f else None, 2, sign="+") for f in figures))
        if any(f and f.interval for f in figures):
            table.add_row("", "", "95 %", *(_interval(f) for f in figures))
    Console().print(table)


def _cell(value: float | None, digits: int = 1, *, sign: str = "") -> str:
    return "—" if value is None else f"{value:{sign}.{digits}f}"


def _interval(figure: Figure | None) -> str:
    if figure is None or figure.interval is None:
        return ""
    low, high = figure.interval
    return f"{low:.1f}–{high:.1f}{'' if figure.inside is not False else ' *'}"


def costs_as_json(row: Row, profile: Mapping[str, Any]) -> dict[str, Any]:
    """A row with its costs, each measured and reported."""
    measured = profile["measured"]
    costs = {
        name: {"value": measured[MEASURED.get(name, name)] / unit, "reported": getattr(row, name)}
        for _, name, unit in COSTS
    }
    return {"method": row.label, "backbone": row.backbone, "shot": row.shot, "device": profile["device_name"], **costs}


def show_costs(costs: Sequence[Mapping[str, Any]]) -> None:
    """Print what `costs_as_json` made of some rows."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="costs of an episode", title_justify="left")
    table.add_column("method")
    for title, _, _ in COSTS:
        table.add_column(f"{title}: reported", justify="right")
        table.add_column("measured", justify="right")
    for one in costs:
        cells = (one[name] for _, name, _ in COSTS)
        name = " ".join(filter(None, (one["method"], one["backbone"])))
        table.add_row(escape(name), *(text for c in cells for text in (_cell(c["reported"], 2), _cell(c["value"], 3))))
    Console().print(table)
    print(f"Measured on {costs[0]['device']}; the paper's time and memory are of its authors' machine.")

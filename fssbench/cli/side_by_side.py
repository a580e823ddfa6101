"""Measured figures beside reported ones, for people and for scripts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fssbench.engine.profile import Profile
    from fssbench.leaderboard.reported import Row
    from fssbench.leaderboard.reproduction.measured import Figure, Measured

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
        "unofficial": list(measured.unofficial),
        "learned": list(measured.learned),
        "note": row.note,
    }


def _as_json(figure: Figure) -> dict[str, Any]:
    return asdict(figure) | {"difference": figure.difference, "inside": figure.inside}


def show_measured(measured: Sequence[Measured]) -> None:
    """Print four lines a row: reported, measured, their difference, and the interval of what was measured."""
    n_folds = max(len(one.folds) for one in measured)
    heads = (*(f"fold {fold}" for fold in range(n_folds)), "mean", "FB-IoU")
    print(_line("", heads))
    for one in measured:
        figures = [*one.folds, *[None] * (n_folds - len(one.folds)), one.mean, one.fb_iou]
        print(f"{_name(one.row)}, {one.row.shot}-shot")
        print(_line("reported", (_cell(f.reported if f else None) for f in figures)))
        print(_line("measured", (_cell(f.value if f else None, 2) for f in figures)))
        print(_line("difference", (_cell(f.difference if f else None, 2, sign="+") for f in figures)))
        for name, figure in (("mean", one.mean), ("FB-IoU", one.fb_iou)):
            if figure.interval:
                low, high = figure.interval
                print(f"  {name} is in [{low:.1f}, {high:.1f}] ({figure.method}){_whether(figure)}")
        if one.mean.reason:
            print(f"  no mean: {one.mean.reason}")
        if one.unofficial:
            print(f"  measured is not official: {'; '.join(one.unofficial)}")
        for line in one.learned:
            print(f"  {line}")


def _whether(figure: Figure) -> str:
    return "" if figure.inside is None else f"; the reported one is {'' if figure.inside else 'not '}inside"


def _name(row: Row) -> str:
    return " ".join(filter(None, (row.label, row.backbone)))


def _line(name: str, cells: Iterable[str]) -> str:
    return f"  {name:<11}{''.join(f'{cell:>9}' for cell in cells)}".rstrip()


def _cell(value: float | None, digits: int = 1, *, sign: str = "") -> str:
    return "—" if value is None else f"{value:{sign}.{digits}f}"


def costs_as_json(row: Row, measured: Profile) -> dict[str, Any]:
    """A row with its costs, each measured and reported."""
    from fssbench.results.environment import device_name

    costs = {
        name: {"value": getattr(measured, MEASURED.get(name, name)) / unit, "reported": getattr(row, name)}
        for _, name, unit in COSTS
    }
    device = device_name(measured.device)
    return {"method": row.label, "backbone": row.backbone, "shot": row.shot, "device": device, **costs}


def show_costs(costs: Sequence[Mapping[str, Any]]) -> None:
    """Print what `costs_as_json` made of some rows."""
    for one in costs:
        print(" ".join(filter(None, (one["method"], one["backbone"]))))
        print(f"  {'':<26}{'reported':>10}{'measured':>10}")
        for title, name, _ in COSTS:
            print(f"  {title:<26}{_cell(one[name]['reported'], 2):>10}{_cell(one[name]['value'], 3):>10}")
    print(f"Measured on {costs[0]['device']}; the paper's time and memory are of its authors' machine.")

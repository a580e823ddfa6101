"""Measured figures beside reported ones, for people and for scripts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fssbench.engine.profile import Profile
    from fssbench.leaderboard.reported import Row
    from fssbench.leaderboard.reproduction.measured import Figure, Measured

__all__ = ["COSTS", "cost_title", "costs_as_json", "measured_as_json", "show_costs", "show_measured"]

COSTS = {
    "learnable_parameters": "learnable (M)",
    "multiply_adds": "multiply-adds (G)",
    "gigabytes": "peak memory (GB)",
    "milliseconds": "time (ms)",
}
"""Costs of a row by their names in JSON, with titles."""


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
    """A row with its costs, each measured and reported, and the parts of the model that both are of; none for all."""
    from fssbench.results.environment import device_name

    operations, time = measured.of(row.operations_of), measured.of(row.time_of)
    costs = {
        "learnable_parameters": (operations.learnable_parameters / 1e6, row.learnable_parameters, row.operations_of),
        "multiply_adds": (operations.multiply_adds / 1e9, row.gigaflops, row.operations_of),
        "gigabytes": (measured.peak_bytes / 1e9, row.gigabytes, ()),
        "milliseconds": (time.milliseconds, row.milliseconds, row.time_of),
    }
    told = {name: {"value": value, "reported": said, "of": list(of)} for name, (value, said, of) in costs.items()}
    device = device_name(measured.device)
    return {"method": row.label, "backbone": row.backbone, "shot": row.shot, "device": device, **told}


def cost_title(name: str, of: Sequence[str]) -> str:
    """What a cost is called, with the parts of the model that it is of."""
    return COSTS[name] + (f": {' + '.join(of)}" if of else "")


def show_costs(costs: Sequence[Mapping[str, Any]]) -> None:
    """Print what `costs_as_json` made of some rows."""
    width = max(len(cost_title(name, one[name]["of"])) for one in costs for name in COSTS)
    for one in costs:
        print(" ".join(filter(None, (one["method"], one["backbone"]))))
        print(f"  {'':<{width}}{'reported':>10}{'measured':>10}")
        for name in COSTS:
            reported, value = _cell(one[name]["reported"], 2), _cell(one[name]["value"], 3)
            print(f"  {cost_title(name, one[name]['of']):<{width}}{reported:>10}{value:>10}")
    print(f"Measured on {costs[0]['device']}; the paper's time and memory are of its authors' machine.")

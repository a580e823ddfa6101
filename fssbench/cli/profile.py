"""``fssbench profile``: what an episode costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fssbench.cli.console import JsonFlag, aside, print_json
from fssbench.cli.model_options import (
    BackboneOption,
    ModelOption,
    OptionsFileOption,
    PairsOption,
    given_options,
    resolve_options,
)
from fssbench.cli.side_by_side import COSTS, cost_title, costs_as_json

if TYPE_CHECKING:
    from rich.table import Table

    from fssbench.engine.profile import Part, Profile
    from fssbench.leaderboard.reported import ReportedCosts

__all__ = ["profile"]


def profile(
    model: ModelOption,
    backbone: BackboneOption = None,
    option: PairsOption = None,
    options_file: OptionsFileOption = None,
    shot: Annotated[int, typer.Option("--shot", "-k", min=1, help="Supports.")] = 1,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Episodes to time; the median is reported.")] = 5,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, …")] = "auto",
    as_json: JsonFlag = False,
) -> None:
    """Count a model's parameters and operations by part, and measure memory and time of one drawn episode.

    What the paper says of the same part stands beside it, where it says something. Weights are random: no cost
    depends on them.
    """
    from fssbench.leaderboard.reported import reported_costs
    from fssbench.models import build_model, full_name, model_spec
    from fssbench.results.environment import device_name, pick_device

    with aside():
        model = full_name(model)
        spec = model_spec(model)
        options = resolve_options(
            spec, given_options(spec, option, options_file), backbone=backbone, default_weights="none"
        )

        from fssbench.engine.profile import profile as measure

        where = pick_device(device)
        measured = measure(build_model(model, **options), shot=shot, device=where, repeats=repeats)
        said = reported_costs(model, options, defaults=spec.options, shot=shot)
        faster = None
        if said.slowdown:
            quicker = build_model(model, **{**options, **said.slowdown[1].than})
            faster = measure(quicker, shot=shot, device=where, repeats=repeats)
    beside = list(_beside(measured, said, faster))
    if as_json:
        asked = {"model": model, "options": options, "device_name": device_name(where)}
        print_json(asked | {"measured": _as_json(measured), "published": [asdict(one) for one in beside]})
        return
    side = measured.input_size
    height, width = (side, side) if isinstance(side, int) else side
    print(f"{model} · {shot}-shot · {height}×{width} · {where}")
    _show(measured)
    print(
        "Parameters in millions, operations in 10⁹, time in ms. A multiplication and an addition are one multiply-add"
    )
    print("and two FLOPs; convolutions and matrix products count, nothing else.")
    if beside:
        _show_beside(beside)
        print("Its time and memory are of its authors' machine, its FLOPs are multiply-adds.")


@dataclass(frozen=True, kw_only=True)
class Beside:
    """A figure of a paper and ours of the same part."""

    figure: str
    here: float
    paper: float
    source: str


def _beside(measured: Profile, said: ReportedCosts, faster: Profile | None) -> Iterator[Beside]:
    """Every figure that papers have of the model."""
    if said.row:
        source, row = said.row
        costs = costs_as_json(row, measured)
        for name in COSTS:
            value, reported, of = costs[name].values()
            if reported is not None:
                yield Beside(figure=cost_title(name, of), here=value, paper=reported, source=source)
    if said.architecture:
        source, architecture = said.architecture
        for part, millions in architecture.millions.items():
            here = measured.parts[part].parameters / 1e6
            yield Beside(figure=f"parameters of {part} (M)", here=here, paper=millions, source=source)
    if said.slowdown and faster:
        source, slowdown = said.slowdown
        than = ", ".join(f"{name}={value}" for name, value in slowdown.than.items())
        more = 100 * (measured.milliseconds / faster.milliseconds - 1)
        yield Beside(figure=f"more time than {than} takes (%)", here=more, paper=slowdown.percent, source=source)


def _as_json(measured: Profile) -> dict[str, Any]:
    told = asdict(measured) | {"multiply_adds": measured.multiply_adds}
    for name, part in measured.parts.items():
        told["parts"][name]["multiply_adds"] = part.multiply_adds
    return told


def _show(measured: Profile) -> None:
    table = _table("parameters", "learnable", "mult.-adds", "FLOPs", "time")
    for name, part in measured.parts.items():
        table.add_row(name, *_cells(part))
    table.add_section()
    table.add_row("whole", *_cells(measured))
    _print(table)
    print(f"peak memory: {measured.peak_bytes / 1e9:,.3f} GB")


def _cells(part: Part) -> list[str]:
    counted = (part.parameters / 1e6, part.learnable_parameters / 1e6, part.multiply_adds / 1e9, part.flops / 1e9)
    return [*(f"{value:,.3f}" if value else "—" for value in counted), f"{part.milliseconds:,.1f}"]


def _show_beside(beside: Sequence[Beside]) -> None:
    table = _table("here", "paper", "ratio")
    for one in beside:
        table.add_row(one.figure, f"{one.here:,.2f}", f"{one.paper:g}", f"{one.here / one.paper:.2f}")
    _print(table)
    print(f"paper: {'; '.join(dict.fromkeys(one.source for one in beside))}")


def _print(table: Table) -> None:
    from rich.console import Console

    Console().print(table)


def _table(*columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table

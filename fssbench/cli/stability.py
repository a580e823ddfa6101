"""``fssbench stability``: how much of a score is the luck of its episodes?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fssbench.cli.compare import PolicyOption
from fssbench.cli.console import JsonFlag, percent, print_json
from fssbench.cli.many import Fractions, Numbers, many, several

if TYPE_CHECKING:
    from fssbench.api.stability import ModelStability

__all__ = ["stability"]

SIZES, HALF_WIDTHS = (1_000, 10_000), (0.25, 0.5, 1.0)


def stability(
    results: Annotated[
        list[Path], typer.Argument(help="Results of one model, or folders with them; their mIoU is averaged.")
    ],
    policy: PolicyOption = None,
    sizes: Annotated[
        list[Numbers] | None,
        many("--sizes", least=1, help="Track lengths, in episodes, to predict for. [default: 1000,10000]"),
    ] = None,
    sample: Annotated[
        int, typer.Option("--sample", min=1, help="Size, in episodes, of the samples that a result is cut into.")
    ] = 1_000,
    within: Annotated[
        list[Fractions] | None,
        many("--within", kind=float, help="Desired half-widths of the interval, in points. [default: 0.25,0.5,1]"),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Say how much mIoU varies between samples of episodes, and how many episodes a given interval needs."""
    from fssbench.api.stability import stability

    told = stability(
        results,
        policy=policy,
        sizes=several(sizes) or SIZES,
        sample=sample,
        within=several(within) or HALF_WIDTHS,
    )
    if as_json:
        files = [str(one.path) for one in told.results]
        print_json({"policy": told.policy, "results": files, "needed": told.needed} | asdict(told.found))
    else:
        _show(told, sample)


def _show(told: ModelStability, sample: int) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    found, runs = told.found, told.results
    first = runs[0].record
    print(
        f"{first.model.name} on {first.episodes.benchmark} {first.episodes.protocol}, {first.episodes.shot}-shot, "
        f"{told.policy}: mIoU {percent(found.miou)} over {len(runs)} result{'s' if len(runs) > 1 else ''} "
        f"of {found.episodes:,} episodes"
    )
    if not found.predicted:
        print("Too few episodes of some class to say how stable that is, or mIoU is undefined.")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("episodes a track", "95 % of samples within", "range of ten samples"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in found.predicted:
        table.add_row(f"{one.episodes:,}", f"± {196 * one.deviation:.2f}", f"{100 * one.range_of_ten:.2f}")
    Console().print(table)
    for run, observed in zip(runs, found.observed, strict=True):
        if observed is not None:
            values = ", ".join(percent(value) for value in observed.values)
            print(
                f"fold {run.record.episodes.fold}: its {len(observed.values)} samples of {observed.episodes:,} score "
                f"{values}: range {100 * observed.range:.2f}"
            )
    if all(observed is None for observed in found.observed):
        print(f"No result holds two samples of {sample:,} episodes with all classes, so none were observed.")
    for points, n in told.needed.items():
        print(f"± {points:g} points with other episodes of the same images: {n:,} episodes a track")
    if found.images is not None:
        print(f"± {100 * found.images:.2f} points with other images, however many episodes are drawn from these.")

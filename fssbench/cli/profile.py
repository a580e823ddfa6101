"""``fssbench profile``: what an episode costs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from fssbench.cli.console import JsonFlag, print_json
from fssbench.cli.model_options import (
    BackboneOption,
    ModelOption,
    OptionsFileOption,
    PairsOption,
    given_options,
    resolve_options,
)

if TYPE_CHECKING:
    from fssbench.engine.profile import Profile
    from fssbench.models.published import PublishedCost

__all__ = ["profile"]


def profile(
    model: ModelOption,
    backbone: BackboneOption = None,
    option: PairsOption = None,
    options_file: OptionsFileOption = None,
    shot: Annotated[int, typer.Option("--shot", "-k", min=1, help="Supports.")] = 1,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Episodes timed; their median is told.")] = 5,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, …")] = "auto",
    as_json: JsonFlag = False,
) -> None:
    """Count a model's parameters and operations, and measure memory and time of one drawn episode.

    The paper's row stands beside it where there is one. Weights are random: no cost depends on them.
    """
    from fssbench.models import build_model, full_name, model_spec
    from fssbench.models.published import published_cost
    from fssbench.results.environment import device_name, pick_device

    model = full_name(model)
    spec = model_spec(model)
    given = given_options(spec, option, options_file)

    from fssbench.engine.profile import profile as measure

    options = resolve_options(spec, given, backbone=backbone, default_weights="none")
    where = pick_device(device)
    measured = measure(build_model(model, **options), shot=shot, device=where, repeats=repeats)
    paper = published_cost(model, options, defaults=spec.options, shot=shot)
    if as_json:
        asked = {"model": model, "options": options, "device_name": device_name(where)}
        print_json(asked | {"measured": asdict(measured), "published": asdict(paper) if paper else None})
        return
    _show(measured, paper, title=f"{model} · {shot}-shot · {measured.input_size}×{measured.input_size} · {where}")


def _show(measured: Profile, paper: PublishedCost | None, *, title: str) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    print(title)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    table.add_column("here", justify="right", no_wrap=True)
    if paper:
        table.add_column("paper", justify="right", no_wrap=True)
        table.add_column("here / paper", justify="right", no_wrap=True)
    table.add_row("parameters (M)", f"{measured.parameters / 1e6:.3f}")
    for name, here, there in (
        (
            "learnable parameters (M)",
            measured.learnable_parameters / 1e6,
            paper.learnable_parameters if paper else None,
        ),
        ("operations (GFLOPs)", measured.flops / 1e9, paper.gigaflops if paper else None),
        *((f"  {part}", flops / 1e9, None) for part, flops in measured.flops_by_part.items() if flops),
        ("peak memory (GB)", measured.peak_bytes / 1e9, paper.gigabytes if paper else None),
        ("time of an episode (ms)", measured.milliseconds, paper.milliseconds if paper else None),
    ):
        beside = [f"{there:g}", f"{here / there:.2f}"] if there else []
        table.add_row(name, f"{here:,.3f}", *beside)
    Console().print(table)
    if paper:
        print(f"paper: {paper.source}; measured on its authors' machine")
    print("A multiplication and an addition are two operations; convolutions and matrix products count, nothing else.")

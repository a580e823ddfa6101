"""``fssbench reproduce``: a paper's table as commands, and measured figures beside reported ones."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fssbench.base.errors import UsageError
from fssbench.cli.console import JsonFlag, print_json, warn
from fssbench.cli.side_by_side import costs_as_json, measured_as_json, show_costs, show_measured

if TYPE_CHECKING:
    from fssbench.leaderboard.reported import Paper, Row
    from fssbench.leaderboard.reproduction.commands import Step
    from fssbench.leaderboard.reproduction.places import Places
    from fssbench.leaderboard.reproduction.table import Reproduction

__all__ = ["reproduce"]

TRIAL_EPISODES, TRIAL_STEPS = 20, 2


def reproduce(
    table: Annotated[str | None, typer.Argument(help="A table, such as hsnet-table1.")] = None,
    all_tables: Annotated[
        bool, typer.Option("--list", help="List the tables, and how much of each can be run.")
    ] = False,
    backbone: Annotated[
        list[str] | None, typer.Option("--backbone", help="Only rows of a backbone, repeatable. [default: all]")
    ] = None,
    shot: Annotated[
        list[int] | None,
        typer.Option("--shot", "-k", min=1, help="Only rows of so many supports, repeatable. [default: all]"),
    ] = None,
    fold: Annotated[
        list[int] | None, typer.Option("--fold", "-f", help="A fold, repeatable; the mean needs all. [default: all]")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the commands and what is there; run none.")] = False,
    trial: Annotated[
        bool,
        typer.Option(
            "--trial",
            help=f"Train {TRIAL_STEPS} steps and ask {TRIAL_EPISODES} episodes, in a folder of its own: to see that "
            "everything runs.",
        ),
    ] = False,
    tables: Annotated[
        Path | None, typer.Option("--tables", help="A file with another paper's tables. [default: the three papers]")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="The folder of sets, which are built there. [default: in the home]")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where results lie. [default: results in the home]")
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="Where models run: cpu, cuda, cuda:1, …  [default: auto]")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Run what a paper's table needs and is not there yet; print measured figures beside reported ones.

    What is finished is kept, so an interrupted run goes on where it stopped.
    """
    from fssbench.leaderboard.reported import find_table, papers, read_paper

    known = papers() if tables is None else (read_paper(tables),)
    if all_tables:
        _list(known, as_json=as_json)
        return
    if table is None:
        raise UsageError("no table was named", remedy="see them all with fssbench reproduce --list")
    from fssbench.leaderboard.reproduction.commands import WHOLE, Commands, Trial
    from fssbench.leaderboard.reproduction.runs import wanted_rows
    from fssbench.leaderboard.reproduction.table import Reproduction

    found, places = find_table(table, among=known), _places(data, output, trial=trial)
    reproduction = Reproduction(
        table=found,
        rows=wanted_rows(found, backbones=backbone or (), shots=shot or ()),
        places=places,
        commands=Commands(
            sets=places.sets if trial else data,
            results=places.results if trial else output,
            device=device,
            trial=Trial(episodes=TRIAL_EPISODES, steps=TRIAL_STEPS) if trial else WHOLE,
        ),
        folds=fold or (),
    )
    for problem in reproduction.damaged():
        warn(f"{problem}: it counts as not there")
    steps = reproduction.steps()
    if dry_run:
        _show_plan(reproduction, steps, as_json=as_json)
        return
    _run([step for step in steps if not step.there and step.kind != "profile"])
    _show_outcome(reproduction, [step for step in steps if step.kind == "profile"], as_json=as_json)


def _places(data: Path | None, output: Path | None, *, trial: bool) -> Places:
    from fssbench.base.home import Home
    from fssbench.leaderboard.reproduction.places import Places

    home = Home.find()
    if trial:
        home = Home(home.path / "trial")
    return Places(sets=data or home.episodes, checkpoints=home.checkpoints, results=output or home.results)


def _list(papers: Sequence[Paper], *, as_json: bool) -> None:
    listed = [
        {
            "paper": paper.name,
            "name": table.name,
            "number": table.number,
            "title": table.title,
            "rows": len(table.rows),
            "can_be_run": sum(row.obstacle is None for row in table.rows),
        }
        for paper in papers
        for table in paper.tables
    ]
    if as_json:
        print_json(listed)
        return
    for paper in papers:
        print(f"{paper.title} ({paper.authors}, {paper.venue})")
        for one in listed:
            if one["paper"] == paper.name:
                share = f"{one['can_be_run']} of {one['rows']} rows"
                print(f"  {one['name']:<22} {one['number']:<9} {share:>14}  {one['title']}")


def _run(steps: Sequence[Step]) -> None:
    """Run what is missing, one after the other, until one fails."""
    from fssbench.leaderboard.reproduction.execute import execute

    for n, step in enumerate(steps, 1):
        print(f"[{n}/{len(steps)}] {step.command}", file=sys.stderr, flush=True)
        execute(step)


def _show_plan(reproduction: Reproduction, steps: Sequence[Step], *, as_json: bool) -> None:
    if as_json:
        named = [asdict(step) | {"command": step.command, "makes": step.makes and str(step.makes)} for step in steps]
        print_json(
            {"table": reproduction.table.name, "steps": [{k: v for k, v in s.items() if k != "row"} for s in named]}
        )
        return
    for step in steps:
        print(f"{'there ' if step.there else 'to run'}  {step.command}")
    missing = Counter(step.kind for step in steps if not step.there)
    kinds = ", ".join(f"{n} {kind}" for kind, n in missing.items())
    print(f"{sum(missing.values())} of {len(steps)} commands to run{f': {kinds}' if kinds else ''}")
    _say_what_cannot(reproduction.rows)


def _say_what_cannot(rows: Sequence[Row]) -> None:
    for why, n in Counter(row.obstacle for row in rows if row.obstacle is not None).items():
        warn(f"{n} {'row is' if n == 1 else 'rows are'} left out: {why}")


def _show_outcome(reproduction: Reproduction, profiles: Sequence[Step], *, as_json: bool) -> None:
    from fssbench.leaderboard.reproduction.execute import execute_json

    measured = reproduction.measure()
    costs = [costs_as_json(step.row, execute_json(step)) for step in profiles if step.row is not None]
    table = reproduction.table
    if as_json:
        found: dict[str, Any] = {"table": table.name, "rows": [measured_as_json(one) for one in measured]}
        print_json(found | {"costs": costs})
        return
    if measured:
        print(f"{table.name} · {table.number}: {table.title} · mIoU in %")
        show_measured(measured)
    if costs:
        show_costs(costs)
    _say_what_cannot(reproduction.rows)

"""``fssbench reproduce``: a paper's table as commands, and measured figures beside reported ones."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fssbench.base.errors import UsageError
from fssbench.cli import complete
from fssbench.cli.console import JsonFlag, Terminal, print_json, warn
from fssbench.cli.many import Numbers, many, several
from fssbench.cli.paper import FormatOption, require_form
from fssbench.cli.side_by_side import costs_as_json, measured_as_json, show_costs, show_measured

if TYPE_CHECKING:
    from fssbench.leaderboard.reported import Paper, Row
    from fssbench.leaderboard.reproduction.measured import Measured
    from fssbench.leaderboard.reproduction.steps import Step
    from fssbench.leaderboard.reproduction.table import Reproduction

__all__ = ["reproduce"]

TRIAL_EPISODES, TRIAL_STEPS = 20, 2


def reproduce(
    table: Annotated[
        str | None, typer.Argument(help="A table, such as hsnet-table1.", autocompletion=complete.tables)
    ] = None,
    all_tables: Annotated[
        bool, typer.Option("--list", help="List the tables, and how much of each can be run.")
    ] = False,
    backbone: Annotated[
        list[str] | None, typer.Option("--backbone", help="Only rows with this backbone; repeatable. [default: all]")
    ] = None,
    shot: Annotated[
        list[Numbers] | None,
        many("--shot", "--shots", "-k", least=1, help="Only rows with this many supports. [default: all]"),
    ] = None,
    fold: Annotated[
        list[Numbers] | None,
        many("--fold", "--folds", "-f", help="Folds; the mean needs all. [default: all]", offers=complete.folds),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the commands, what exists and what is absent; run nothing.")
    ] = False,
    trial: Annotated[
        bool,
        typer.Option(
            "--trial",
            help=f"Train {TRIAL_STEPS} steps and ask {TRIAL_EPISODES} episodes, in a folder of its own: to see that "
            "everything runs.",
        ),
    ] = False,
    train_list: Annotated[
        list[str] | None,
        typer.Option(
            "--train-list",
            help="What a training learns from, as hsnet=FOLDER, hdmnet-pascal=FOLDER or hsnet=none; repeatable. "
            "[default: the published lists in the home]",
        ),
    ] = None,
    backbone_weights: Annotated[
        list[str] | None,
        typer.Option(
            "--backbone-weights",
            help="What a training begins with, as pspnet-resnet50=FILE; repeatable. [default: torchvision's ImageNet]",
        ),
    ] = None,
    tables: Annotated[
        Path | None, typer.Option("--tables", help="A file with another paper's tables. [default: the three papers]")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="The folder of sets; missing ones are built there. [default: in the home]"),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where results are. [default: results in the home]")
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option("--page", help="Also write an HTML file, with the learning curves of what was trained."),
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="Where models run: cpu, cuda, cuda:1, … [default: auto]")
    ] = None,
    form: FormatOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Run what a paper's table still needs, and print measured figures beside reported ones.

    Finished steps are kept, so an interrupted run continues where it stopped.
    """
    from fssbench.leaderboard.reported import papers, read_paper

    require_form(form, as_json=as_json)
    known = tuple(filter(lambda paper: paper.measurable, papers())) if tables is None else (read_paper(tables),)
    if all_tables:
        _list(known, as_json=as_json)
        return
    if table is None:
        raise UsageError("no table was named", remedy="see them all with fssbench reproduce --list")
    from fssbench.leaderboard.reproduction.given import Given, by_name
    from fssbench.leaderboard.reproduction.settings import Trial
    from fssbench.leaderboard.reproduction.table import Reproduction

    if page is not None:
        from fssbench.base.files import require_own
        from fssbench.pages.render import MARK

        require_own(page, MARK)
    reproduction = Reproduction.of(
        table,
        among=known,
        backbones=backbone or (),
        shots=several(shot) or (),
        folds=several(fold) or (),
        data=data,
        output=output,
        device=device,
        trial=Trial(episodes=TRIAL_EPISODES, steps=TRIAL_STEPS) if trial else None,
        given=Given(
            lists=by_name(train_list or (), option="--train-list"),
            backbones=by_name(backbone_weights or (), option="--backbone-weights"),
            environment=os.environ,
        ),
    )
    for problem in reproduction.damaged():
        warn(f"{problem}, so it is treated as missing")
    if dry_run:
        _show_plan(reproduction, as_json=as_json)
        return
    reproduction.run(Aside())
    if form is None:
        _show_outcome(reproduction, page, as_json=as_json)
        return
    from fssbench.leaderboard.reproduction.written import written

    paper = next(one for one in known if reproduction.table in one.tables)
    print(written(paper, reproduction.table, _measured(reproduction, page), form).decode(), end="")


class Aside(Terminal):
    """Says all on standard error: standard output is for the outcome."""

    def say(self, text: str) -> None:
        """Print a step of the work."""
        print(text, file=sys.stderr, flush=True)


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


def _show_plan(reproduction: Reproduction, *, as_json: bool) -> None:
    from fssbench.leaderboard.reproduction.absent import absent

    steps = reproduction.steps()
    if as_json:
        told = [
            {
                "kind": step.kind,
                "arguments": step.arguments,
                "there": step.there,
                "makes": step.makes and str(step.makes),
                "command": step.command,
                "images": step.images and step.images.as_json(),
                "missing": step.missing and asdict(step.missing),
            }
            for step in steps
        ]
        lacks = [asdict(lack) for lack in absent(steps)]
        print_json({"table": reproduction.table.name, "steps": told, "absent": lacks})
        return
    for step in steps:
        print(f"{'there ' if step.there else 'to run'}  {step.command}")
    missing = Counter(step.kind for step in steps if not step.there)
    kinds = ", ".join(f"{n} {kind}" for kind, n in missing.items())
    print(f"{sum(missing.values())} of {len(steps)} commands to run{f': {kinds}' if kinds else ''}")
    _say_what_is_learned(steps)
    _say_what_cannot(reproduction.rows)
    for lack in dict.fromkeys(step.missing for step in steps if step.missing):
        warn(f"it cannot run without {lack.what}: {lack.remedy}")
    for lack in absent(steps):
        warn(f"missing: {lack.what}; {lack.remedy}")


def _say_what_is_learned(steps: Sequence[Step]) -> None:
    """Say of the trainings to run what they learn from, in a line for all folds that do alike."""
    from fssbench.base.home import Home
    from fssbench.leaderboard.reproduction.images import TrainingImages, told

    alike: dict[tuple[object, ...], dict[int, TrainingImages]] = {}
    for step in steps:
        if step.images is not None and not step.there:
            same = (step.options["model"], step.options["benchmark"], step.images.path, step.images.published is None)
            alike.setdefault(same, {})[step.options["fold"]] = step.images
    for (model, benchmark, *_), images in alike.items():
        warn(told(str(model), str(benchmark), dict(sorted(images.items())), home=Home.find()))


def _say_what_cannot(rows: Sequence[Row]) -> None:
    for why, n in Counter(row.obstacle for row in rows if row.obstacle is not None).items():
        warn(f"{n} {'row is' if n == 1 else 'rows are'} left out: {why}")


def _measured(reproduction: Reproduction, page: Path | None) -> Sequence[Measured]:
    """The rows that can be measured, on a page too where one is wanted."""
    measured = reproduction.measure()
    if page is not None:
        from fssbench.pages.reproduced import write_reproduction

        write_reproduction(page, reproduction.table, measured, reproduction.trainings())
        print(f"→ {page}", file=sys.stderr)
    return measured


def _show_outcome(reproduction: Reproduction, page: Path | None, *, as_json: bool) -> None:
    measured = _measured(reproduction, page)
    costs = [costs_as_json(row, measured) for row, measured in reproduction.costs()]
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

"""``fssbench leaderboard``: results → one ranking."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fssbench.cli.console import percent

if TYPE_CHECKING:
    from fssbench.leaderboard.schema import Entry, Leaderboard

__all__ = ["app", "print_leaderboard"]

app = typer.Typer(no_args_is_help=True, help="Gather results into a leaderboard.")


@app.callback()
def root() -> None:
    """Gather results into a leaderboard."""


@app.command("build")
def build(
    folder: Annotated[Path, typer.Argument(help="Results: what eval was given as --output.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The leaderboard file to write.")] = Path(
        "leaderboard.json"
    ),
) -> None:
    """Gather all results below a folder into one JSON file and print them as a table."""
    from fssbench.files import write_atomic
    from fssbench.leaderboard.build import build_leaderboard

    board = build_leaderboard(folder)
    write_atomic(output, board.to_json())
    print_leaderboard(board)
    print(f"{len(board.entries)} entries → {output}")


def print_leaderboard(board: Leaderboard) -> None:
    """Print one table for each benchmark, protocol, number of shots and sample of episodes."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for key, group in groupby(board.entries, key=lambda entry: entry.comparable):
        benchmark, protocol, version, shot, policy, _ = key
        entries = list(group)
        folds = sorted({run.fold for entry in entries for run in entry.runs})
        table = Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False, title_justify="left")
        table.title = f"{benchmark} · {protocol}/{version} · {shot}-shot · {policy} · mIoU in %"
        table.add_column("#", justify="right", no_wrap=True)
        table.add_column("model")
        for name in (*(f"fold {fold}" for fold in folds), "mean", "FB-IoU", "ep/s"):
            table.add_column(name, justify="right", no_wrap=True)
        for entry in entries:
            table.add_row(*_cells(entry, folds))
        console.print(table)
        reasons = dict.fromkeys(r for entry in entries for r in (*entry.unofficial, entry.miou.reason) if r)
        if reasons:
            console.print(f"* not official: {'; '.join(reasons)}", highlight=False, markup=False)


def _cells(entry: Entry, folds: list[int]) -> list[str]:
    from rich.markup import escape

    def mean(fold: int) -> str:
        values = [run.miou for run in entry.runs if run.fold == fold]
        defined = [value for value in values if value is not None]
        return f"{100 * sum(defined) / len(defined):.2f}" if defined and len(defined) == len(values) else "—"

    return [
        str(entry.rank or "—"),
        escape(entry.label) + ("" if entry.official else " *"),
        *(mean(fold) for fold in folds),
        percent(entry.miou.value),
        percent(entry.fb_iou.value),
        "—" if entry.episodes_per_second is None else f"{entry.episodes_per_second:.1f}",
    ]

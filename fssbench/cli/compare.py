"""``fssbench compare``: is one model better than another, and how sure is that?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fssbench.cli.console import JsonFlag, print_json

if TYPE_CHECKING:
    from fssbench.api.compare import ModelComparison
    from fssbench.scoring.comparison import ClassDifference
    from fssbench.scoring.uncertainty import Difference, Interval

__all__ = ["PolicyOption", "compare"]

PolicyOption = Annotated[
    str | None, typer.Option("--policy", help="The scoring policy to look at. [default: the results' headline]")
]


def compare(
    first: Annotated[Path, typer.Argument(help="A result, or a folder with one model's results.")],
    second: Annotated[Path, typer.Argument(help="The same of another model, on the same episodes.")],
    policy: PolicyOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Compare two models episode by episode: difference, interval and p-value, overall and by class."""
    from fssbench.api.compare import compare

    found = compare(first, second, policy=policy)
    if as_json:
        runs = [run._asdict() for run in found.runs]
        print_json(
            {"first": str(first), "second": str(second), "sentence": str(found)} | asdict(found) | {"runs": runs}
        )
        return
    _show(found)
    print(found)


def _show(found: ModelComparison) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    table.title = escape(f"{found.names[0]} less {found.names[1]} · {found.policy} · points of IoU in %")
    table.add_column("")
    for name in ("difference", "other images", "other episodes", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, difference in found.overall.items():
        table.add_row(name, *_cells(difference))
    if len(found.runs) > 1:
        several = len({(run.shot, run.seed) for run in found.runs}) > 1
        for run, difference in zip(found.runs, found.tracks, strict=True):
            more = f" k={run.shot} seed={run.seed}" if several else ""
            table.add_row(f"fold {run.fold}{more}", *_cells(difference))
    table.add_section()
    for one in found.per_class:
        table.add_row(escape(one.name), *_cells(one.difference, corrected=one))
    Console().print(table)
    print(f"p of classes is corrected for the {len(found.per_class)} compared (Holm).", end=" ")
    print("— means that there are too few episodes or images to say.")


def _cells(difference: Difference | None, *, corrected: ClassDifference | None = None) -> list[str]:
    from fssbench.scoring.comparison import p_of, p_text

    if difference is None:
        return ["undefined", "", "", ""]
    p = corrected.p_corrected if corrected else p_of(difference)
    return [
        f"{100 * difference.value:+.2f}",
        _between(difference.between.images),
        _between(difference.between.episodes),
        "—" if p is None else p_text(p),
    ]


def _between(interval: Interval | None) -> str:
    return "—" if interval is None else f"{100 * interval.low:+.2f} to {100 * interval.high:+.2f}"

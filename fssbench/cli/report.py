"""``fssbench report``: one model's results as a page to read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fssbench.cli.console import percent, progress

__all__ = ["report"]


def report(
    results: Annotated[Path, typer.Argument(help="A result, or a folder with one model's results on several folds.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML file to write.")] = Path("report.html"),
    shot: Annotated[
        int | None, typer.Option("--shot", "-k", min=1, help="Use the folder's results with this many supports.")
    ] = None,
    curves: Annotated[
        list[Path] | None,
        typer.Option("--curves", help="A folder that fssbench train wrote to, repeatable: curves over one another."),
    ] = None,
) -> None:
    """Write one HTML file on a model: figures, classes, what makes episodes hard, examples, settings.

    Everything a result says is first recomputed from its counts. Examples appear if eval --visualize drew them.
    """
    from fssbench.base.files import require_own
    from fssbench.pages.render import MARK
    from fssbench.pages.report import choose_results, write_report

    require_own(output, MARK)
    files = choose_results(results, shot=shot)
    with progress("checking", len(files), unit="results") as advance:
        entry = write_report(output, files, trainings=curves or (), advance=advance)
    folds = ", ".join(str(fold.fold) for fold in entry.folds)
    mean = f", mIoU {percent(entry.miou.value)}" if entry.miou.value is not None else ""
    print(f"{entry.label}, {entry.benchmark} {entry.shot}-shot, fold {folds}{mean} → {output}")

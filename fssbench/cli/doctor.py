"""``fssbench doctor``: what is there, what is missing and what is odd in raw data."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fssbench.base.errors import UsageError
from fssbench.cli import complete
from fssbench.cli.console import JsonFlag, percent, print_json, progress
from fssbench.cli.prepare import Columns, Crowds_, MaskRule_, Splits, named_columns

if TYPE_CHECKING:
    from rich.table import Table

    from fssbench.pipelines.sources.doctor.findings import Comparison, Report

__all__ = ["doctor"]


def doctor(
    source: Annotated[str, typer.Argument(help="Raw data, as for prepare --source.")],
    benchmark: Annotated[
        str | None,
        typer.Option(
            "--benchmark",
            "-b",
            help="The benchmark of the data. [default: recognised by its layout]",
            autocompletion=complete.benchmarks,
        ),
    ] = None,
    splits: Splits = None,
    mask_rule: MaskRule_ = None,
    crowds: Crowds_ = "exclude",
    masks: Annotated[
        Path | None,
        typer.Option("--masks", help="Ready-made class-index PNGs to compare with the masks prepare would make."),
    ] = None,
    column: Columns = None,
    images: Annotated[bool, typer.Option("--images/--no-images", help="Read every image file, or none.")] = True,
    pixels: Annotated[
        bool, typer.Option("--pixels", help="Decode images, and compare pixels instead of bytes; slower.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Report what raw data has, lacks and hides. Nothing is built, and the exit code is 0 whatever is found."""
    from fssbench.api.prepare import named_benchmark
    from fssbench.api.sources import class_list
    from fssbench.episodes.protocols import STRICT
    from fssbench.pipelines.sources import open_source
    from fssbench.pipelines.sources.doctor.examine import examine, guess_benchmark

    if benchmark is None and source.startswith("hf:"):
        raise UsageError(
            "a Hugging Face dataset does not say which benchmark its classes are of",
            remedy="pass --benchmark pascal or coco",
        )
    found = guess_benchmark(Path(source)) if benchmark is None else named_benchmark(benchmark, source)
    lists = class_list(found, splits, None)
    columns = named_columns(column or [])
    raw = open_source(found, source, splits=lists, mask_rule=mask_rule or "union", crowds=crowds, columns=columns)
    with ExitStack() as shown:

        def step(what: str, total: int | None) -> Callable[[int], None]:
            shown.close()  # one bar at a time
            return shown.enter_context(progress(what, total))

        report = examine(
            raw,
            min_pixels=STRICT.pixels_of(found),
            masks=masks,
            look=images,
            pixels=pixels,
            steps=step,
        )
    if as_json:
        print_json(_as_json(report))
    else:
        _print(report, source)


def _as_json(report: Report) -> dict[str, Any]:
    from dataclasses import asdict

    answer = asdict(report)
    if report.comparison is not None:
        for name in ("classes", "worst"):
            pairs = zip(answer["comparison"][name], getattr(report.comparison, name), strict=True)
            answer["comparison"][name] = [row | {"differing": c.differing, "iou": c.iou} for row, c in pairs]
    return answer


def _print(report: Report, source: str) -> None:
    from rich.console import Console

    console = Console()
    layout = ", ".join(part for part in (report.layout, report.split) if part)
    print(f"{report.title} in {source}" + (f": {layout}" if layout else ""))
    width = max(map(len, report.counts), default=0)
    for name, count in report.counts.items():
        print(f"  {name:<{width}}  {count:,}")
    if report.classes:
        console.print(_classes(report))
    if report.comparison is not None:
        _compared(report.comparison, console)
    for finding in report.findings:
        times = f": {finding.count:,}" if finding.examples else ""
        more = ", …" if finding.count > len(finding.examples) else ""
        where = f" ({', '.join(finding.examples)}{more})" if finding.examples else ""
        print(f"{finding.gravity}: {finding.what}{times}{where}")
    if not report.findings:
        print("nothing to object to")


def _table(title: str, *columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False, title_justify="left", title=title)
    for name in columns:
        text = name in ("class", "image and class")
        table.add_column(name, justify="left" if text else "right", no_wrap=not text)
    return table


def _classes(report: Report) -> Table:
    from rich.markup import escape

    table = _table("images by class", "#", "class", "fold", "with any pixel", f"with {report.min_pixels:,} or more")
    for row in report.classes:
        table.add_row(str(row.id), escape(row.name), str(row.fold), f"{row.images:,}", f"{row.eligible:,}")
    return table


def _compared(comparison: Comparison, console: Any) -> None:
    from rich.markup import escape

    print(f"ready-made masks: {comparison.images:,} images compared, {comparison.equal:,} equal in every pixel")
    by_class = _table("by class", "class", "images that differ", "differing pixels", "IoU in %")
    worst = _table("what differs most", "image and class", "differing pixels", "IoU in %")
    for row in comparison.classes:
        by_class.add_row(escape(row.where), f"{row.images:,}", f"{row.differing:,}", percent(row.iou))
    for row in comparison.worst:
        worst.add_row(escape(row.where), f"{row.differing:,}", percent(row.iou))
    console.print(by_class)
    if comparison.worst:
        console.print(worst)

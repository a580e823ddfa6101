"""``fssbench leaderboard``: results → one ranking, beside what papers report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fssbench.cli import complete
from fssbench.cli.console import TERMINAL, DataOption, JsonFlag, print_json, progress, warn

if TYPE_CHECKING:
    from fssbench.leaderboard.verify import Verdict

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Gather results into a leaderboard; check, share and export it.")

BEST = 10
"""Reported rows of a table that are printed below what was measured; show without a file prints all."""

MARK = '"fssbench-leaderboard"'
"""What every leaderboard file says of itself."""

BoardArgument = Annotated[Path, typer.Argument(help="A leaderboard file that build wrote.")]
BoardOutput = Annotated[Path, typer.Option("--output", "-o", help="The leaderboard file to write.")]
ReportedFlag = Annotated[
    bool,
    typer.Option("--reported/--no-reported", help="Include the numbers that papers report, which are never ranked."),
]
AblationsFlag = Annotated[
    bool, typer.Option("--ablations", help="Include reported rows that only show what a part of a method is worth.")
]


@app.callback()
def root() -> None:
    """Gather results into a leaderboard; check, share and export it."""


@app.command("build")
def build(
    folder: Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Results: the --output of eval.")],
    output: BoardOutput = Path("leaderboard.json"),
    reported: ReportedFlag = True,
) -> None:
    """Gather all results below one folder or several into one JSON file and print them as a table."""
    from fssbench.base.files import require_own, write_atomic
    from fssbench.leaderboard import leaderboard
    from fssbench.leaderboard.export import selected
    from fssbench.leaderboard.standings import print_rankings, print_reported

    require_own(output, MARK)
    board = leaderboard(*folder, reported=reported, report=TERMINAL)
    write_atomic(output, board.to_json())
    print_rankings(board.groups())
    print_reported(selected(board).reported_beside(), most=BEST)
    if not board.entries:
        warn(f"{folder[0]} holds no results yet; make some with fssbench eval --output {folder[0]}")
    print(f"{len(board.entries)} entries{f', {len(board.reported)} reported' if reported else ''} → {output}")


@app.command("show")
def show(
    file: Annotated[
        Path | None, typer.Argument(help="A leaderboard file. [default: the numbers that papers report]")
    ] = None,
    benchmark: Annotated[
        str | None, typer.Option("--benchmark", "-b", help="Only this benchmark.", autocompletion=complete.benchmarks)
    ] = None,
    shot: Annotated[int | None, typer.Option("--shot", "-k", min=1, help="Only this number of supports.")] = None,
    reported: ReportedFlag = True,
    ablations: AblationsFlag = False,
) -> None:
    """Print a leaderboard file and what papers report beside it; without a file, all that papers report."""
    from fssbench.leaderboard.board import Leaderboard, read_leaderboard
    from fssbench.leaderboard.export import selected
    from fssbench.leaderboard.published import published_entries
    from fssbench.leaderboard.standings import print_rankings, print_reported

    board = Leaderboard.of((), published_entries()) if file is None else read_leaderboard(file)
    chosen = selected(board, benchmark=benchmark, shot=shot, ablations=ablations)
    print_rankings(chosen.groups())
    if reported:
        print_reported(chosen.reported_beside(), most=None if file is None else BEST)
        every = selected(board, benchmark=benchmark, shot=shot, ablations=True)
        n = [sum(map(len, one.reported_beside())) for one in (every, chosen)]
        if left_out := n[0] - n[1]:
            are = "s are" if left_out > 1 else " is"
            print(f"{left_out} reported ablation{are} left out; pass --ablations to see them")


@app.command("export")
def export_(
    file: BoardArgument,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="markdown or latex to read; csv or parquet, one row per entry; bibtex of all that they cite.",
        ),
    ] = "markdown",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The file to write. [default: print]")] = None,
    benchmark: Annotated[
        str | None, typer.Option("--benchmark", "-b", help="Only this benchmark.", autocompletion=complete.benchmarks)
    ] = None,
    shot: Annotated[int | None, typer.Option("--shot", "-k", min=1, help="Only this number of supports.")] = None,
    reported: ReportedFlag = True,
    ablations: AblationsFlag = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there.")] = False,
) -> None:
    """Write a leaderboard as tables for a paper, a spreadsheet or a program."""
    from fssbench.base.errors import UsageError
    from fssbench.base.files import require_absent, write_atomic
    from fssbench.leaderboard.board import read_leaderboard
    from fssbench.leaderboard.export import export, selected

    if output is not None:
        require_absent(output, overwrite=overwrite)
    board = selected(read_leaderboard(file), benchmark=benchmark, shot=shot, ablations=ablations)
    data = export(board if reported else board.model_copy(update={"reported": ()}), form)
    if output is not None:
        write_atomic(output, data)
    elif form == "parquet":
        raise UsageError("parquet cannot be printed", remedy="pass --output FILE")
    else:
        print(data.decode(), end="")


@app.command("figure")
def figure(
    source: Annotated[
        Path, typer.Argument(help="A leaderboard file that build wrote, or results (the --output of eval).")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The figure to write, a .pdf or an .svg.")] = Path(
        "figure.pdf"
    ),
    plot: Annotated[
        str,
        typer.Option(
            "--plot",
            help="means: mIoU of the models, with intervals and folds; speed: mIoU over episodes a second; "
            "classes: one model's IoU by class.",
        ),
    ] = "means",
    benchmark: Annotated[
        str | None, typer.Option("--benchmark", "-b", help="Only this benchmark.", autocompletion=complete.benchmarks)
    ] = None,
    shot: Annotated[int | None, typer.Option("--shot", "-k", min=1, help="Only this number of supports.")] = None,
    width: Annotated[float, typer.Option("--width", min=1, help="Inches; two columns of a page are 6.9.")] = 3.3,
    reported: ReportedFlag = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there.")] = False,
) -> None:
    """Draw a figure for a paper: each ranking as a panel, of one column's width, as PDF or SVG."""
    from fssbench.base.errors import UsageError
    from fssbench.base.files import require_absent, write_atomic
    from fssbench.base.suggest import known_are
    from fssbench.leaderboard import leaderboard
    from fssbench.leaderboard.board import read_leaderboard
    from fssbench.leaderboard.export import selected
    from fssbench.pages.figure import FIGURES, form_of

    form = form_of(output)
    if plot not in FIGURES:
        raise UsageError(f"there is no plot '{plot}'", remedy=known_are(plot, FIGURES))
    require_absent(output, overwrite=overwrite)
    whole = leaderboard(source, report=TERMINAL) if source.is_dir() else read_leaderboard(source)
    board = selected(whole, benchmark=benchmark, shot=shot, ablations=True)
    beside = board.reported if reported else ()
    write_atomic(output, FIGURES[plot](list(board.groups()), form, width=width, reported=beside))
    weaker = any(entry.miou.other_images is None for entry in board.entries)
    over = "other images, or other episodes where images are too few" if weaker else "other images"
    print(f"{plot}, 95 % intervals over {over} → {output}")
    devices = dict.fromkeys(filter(None, (entry.device_name for entry in board.entries)))
    if plot == "speed" and len(devices) > 1:
        warn(f"speeds of different devices cannot be compared: {', '.join(devices)}")


@app.command("verify")
def verify(
    file: BoardArgument,
    results: Annotated[
        Path | None,
        typer.Option("--results", "-r", help="The folder it was built from. [default: results beside the file]"),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Recompute every figure, interval, difference and rank, and report entry by entry."""
    from dataclasses import asdict

    from fssbench.leaderboard.verify import verify_file

    verified = verify_file(file, results, report=TERMINAL)
    if as_json:
        entries = [asdict(one) for one in verified.verdicts]
        print_json({"results": str(verified.results), "entries": entries, "unlisted": verified.unlisted})
    else:
        _say(verified.verdicts)
        for name in verified.unlisted:
            warn(f"{verified.results / name} is not in the leaderboard")
    verified.require(file)


def _say(verdicts: Sequence[Verdict]) -> None:
    for one in verdicts:
        if one.outcome != "as transcribed":
            print(f"{one.outcome:<10} {one.label} ({one.id})")
            print("".join(f"  {reason}\n" for reason in one.reasons), end="")
    counted = Counter(one.outcome for one in verdicts)
    print(", ".join(f"{n} {outcome}" for outcome, n in counted.items()) or "there are no entries")


@app.command("add")
def add(
    archive: Annotated[Path, typer.Argument(help="An archive that fssbench submit wrote.")],
    results: Annotated[
        Path | None, typer.Option("--to", help="The folder of results to add to. [default: results in the home]")
    ] = None,
    output: BoardOutput = Path("leaderboard.json"),
    data: DataOption = None,
    reported: ReportedFlag = True,
    as_json: JsonFlag = False,
) -> None:
    """Check an archive; list what is wrong with it, or add its results and rebuild the leaderboard."""
    from fssbench.api.check import finder
    from fssbench.base.files import require_own, write_atomic
    from fssbench.base.home import Home
    from fssbench.leaderboard.add import add as take_in
    from fssbench.leaderboard.published import published_entries

    require_own(output, MARK)
    folder = results or Home.find().results
    with progress("checking", None):
        added = take_in(archive, folder, find_set=finder(data), reported=published_entries() if reported else ())
    if added.board is not None:
        write_atomic(output, added.board.to_json())
    if as_json:
        facts = {"new": added.new, "there": added.there, "problems": added.problems, "unchecked": added.unchecked}
        print_json(facts)
    else:
        for heading, names in (("refused", added.problems), ("added", added.new), ("was there", added.there)):
            print("".join(f"{heading}: {name}\n" for name in names), end="")
        print("".join(f"not checked: {what}\n" for what in added.unchecked), end="")
    added.require(archive)
    if not as_json:
        print(f"{len(added.new)} results added to {folder} → {output}")


@app.command("page")
def page(
    source: Annotated[
        Path,
        typer.Argument(help="Results (the --output of eval), or a leaderboard file that build wrote."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to write.")] = Path("site"),
    results: Annotated[
        Path | None,
        typer.Option(
            "--results", "-r", help="The folder that a leaderboard file was built from. [default: results beside it]"
        ),
    ] = None,
    reported: ReportedFlag = True,
) -> None:
    """Write a static site: rankings to sort and filter, a page for every model, and two of them side by side."""
    from fssbench.pages.site import write_site
    from fssbench.pages.sources import from_either

    with progress("computing every figure again", None, unit="results") as advance:
        board, views = from_either(source, results, reported=reported, advance=advance)
    with progress("comparing", None, unit="pairs") as advance:
        write_site(output, board, views, advance=advance)
    if without := len(board.entries) - len(views):
        warn(f"the results of {without} entries were not found, so they are not compared; pass --results")
    print(f"{len(board.entries)} entries, {len(board.reported)} reported → {output / 'index.html'}")

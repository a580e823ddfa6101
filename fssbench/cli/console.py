"""What commands share: progress, errors, and the shapes of option values."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from fssbench.base.progress import Bar, Report
from fssbench.cli.streams import takes_all

if TYPE_CHECKING:
    from rich.progress import Task

    from fssbench.pipelines.transport import Place
else:
    Place = str  # what typer is told, which takes no unions; `_place` makes more of it

__all__ = [
    "PLACE",
    "TERMINAL",
    "DataOption",
    "JsonFlag",
    "Place",
    "aside",
    "fail",
    "megabytes",
    "outcome_alone",
    "percent",
    "print_json",
    "progress",
    "warn",
]


def _place(text: str) -> Place:
    from fssbench.pipelines.transport import find_place

    return find_place(text)


PLACE = {"parser": _place, "metavar": "PLACE"}
"""How to declare an option or argument that takes a folder, an address, or ``pipe:COMMAND {}``."""

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
DataOption = Annotated[
    Place | None,
    typer.Option(
        "--data",
        "-d",
        help="Where episode sets are: the --output of prepare, or a copy at https://, s3:// or the like. "
        "[default: the home]",
        **PLACE,
    ),
]


_quiet = ContextVar("quiet", default=False)


@contextmanager
def outcome_alone(wanted: bool) -> Iterator[None]:
    """While the block runs, print outcomes and errors alone, if that is wanted."""
    before = _quiet.set(wanted)
    try:
        yield
    finally:
        _quiet.reset(before)


def fail(text: str) -> None:
    """Print an error, in one line on standard error."""
    with suppress(OSError):  # the exit code still tells
        print(f"error: {text}", file=sys.stderr)


def warn(text: str) -> None:
    """Print a remark that is not an error, in one line on standard error."""
    if _quiet.get():
        return
    with suppress(OSError):
        print(f"note: {text}", file=sys.stderr)


@contextmanager
def aside() -> Iterator[TextIO]:
    """While the block runs, what a user's own model prints goes to standard error; gives standard output."""
    out = sys.stdout
    with redirect_stdout(sys.stderr):
        yield out


def print_json(value: Any) -> None:
    """Print a value as indented JSON on standard output."""
    print(json.dumps(value, indent=1, ensure_ascii=not takes_all(sys.stdout)))


def megabytes(n_bytes: int) -> str:
    """A size for people."""
    return f"{n_bytes / 1e6:,.1f} MB" if n_bytes >= 1e5 else f"{n_bytes / 1e3:,.1f} kB"


def percent(value: float | None) -> str:
    """A figure for people, in percent; a dash if it is undefined."""
    return "—" if value is None else f"{100 * value:.2f}"


@contextmanager
def progress(description: str, total: int | None, *, unit: str = "", shown: bool = True) -> Iterator[Bar]:
    """A progress bar on standard error while the block runs, silent when that is not a terminal."""
    if not shown or _quiet.get() or not sys.stderr.isatty():
        yield Bar()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column
    from rich.text import Text

    class Said(TextColumn):
        """What gives way where there is little room, so that figures before it never do."""

        def render(self, task: Task) -> Text:
            return Text(task.fields["said"], no_wrap=True, overflow="ellipsis")

    def whole() -> Column:
        return Column(no_wrap=True)

    columns = [TextColumn("{task.description}"), BarColumn(None, table_column=Column(ratio=1))]
    columns += [MofNCompleteColumn(table_column=whole()), TextColumn(unit), TimeRemainingColumn(table_column=whole())]
    columns += [Said("", table_column=Column())]
    with Progress(*columns, console=Console(stderr=True), transient=True, expand=True) as bar:
        task = bar.add_task(description, total=total, said="")

        class TerminalBar(Bar):
            def __call__(self, n: int) -> None:
                bar.advance(task, n)

            def begin(self, n: int) -> None:
                bar.reset(task, completed=n)

            def say(self, text: str) -> None:
                bar.update(task, said=text)

        yield TerminalBar()


class Terminal(Report):
    """Shows progress and remarks on standard error, and the steps of the work on standard output."""

    def note(self, text: str) -> None:
        """Print a remark."""
        warn(text)

    def say(self, text: str) -> None:
        """Print a step of the work, on standard output."""
        if not _quiet.get():
            print(text, flush=True)

    @contextmanager
    def progress(self, description: str, total: int | None, *, unit: str = "") -> Iterator[Bar]:
        """A bar while the block runs."""
        with progress(description, total, unit=unit) as bar:
            yield bar


TERMINAL = Terminal()

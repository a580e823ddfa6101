"""The command line: one file a command, nothing heavy imported until a command runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import typer

from fssbench.base.errors import FssbenchError
from fssbench.base.home import home_in
from fssbench.cli import (
    check_model,
    compare,
    conformance,
    convert,
    curves,
    demo,
    doctor,
    episodes,
    evaluate,
    info,
    leaderboard,
    listing,
    prepare,
    profile,
    report,
    reproduce,
    score,
    share,
    show,
    stability,
    submit,
    train,
    verify,
)
from fssbench.cli.console import fail, outcome_alone, warn
from fssbench.cli.environment import unknown_variables
from fssbench.cli.parser import build_parser, variables
from fssbench.cli.streams import end_output, open_streams
from fssbench.episodes.benchmarks import BENCHMARKS

__all__ = ["app", "command_line", "main"]

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 and the signal's number, as shells have it."""

DEBUG, QUIET = "--debug", "--quiet"
"""Flags that may stand anywhere on the line, or in the environment."""

COMPLETING = "_FSSBENCH_COMPLETE"
"""The variable by which a shell asks what may come next."""

app = typer.Typer(
    name="fssbench",
    help="Few-shot segmentation episodes that are files with a hash, and scores anyone can recompute.",
    epilog="Any option can come from the environment: FSSBENCH_EVAL_DEVICE=cuda:1 is eval's --device.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"auto_envvar_prefix": "FSSBENCH", "help_option_names": ["-h", "--help"]},
)

START, DATA, MODELS, SCORES, SHARE = "To begin", "Data", "Models", "Scores", "To share"
"""Headings of the help, in the order of the work."""

app.command("demo", rich_help_panel=START)(demo.demo)
app.command("list", rich_help_panel=START)(listing.list_)
app.command("info", rich_help_panel=START)(info.info)
app.command("doctor", rich_help_panel=DATA)(doctor.doctor)
app.add_typer(prepare.app, name="prepare", rich_help_panel=DATA)
app.command("verify", rich_help_panel=DATA)(verify.verify)
app.command("show", rich_help_panel=DATA)(show.show)
app.command("push", rich_help_panel=DATA)(share.push)
app.command("pull", rich_help_panel=DATA)(share.pull)
app.add_typer(episodes.app, name="episodes", rich_help_panel=DATA)
app.command("train", rich_help_panel=MODELS)(train.train)
app.command("check-model", rich_help_panel=MODELS)(check_model.check_model)
app.command("profile", rich_help_panel=MODELS)(profile.profile)
app.command("convert", rich_help_panel=MODELS)(convert.convert)
app.command("eval", rich_help_panel=SCORES)(evaluate.evaluate)
app.command("score", rich_help_panel=SCORES)(score.score)
app.command("compare", rich_help_panel=SCORES)(compare.compare)
app.command("report", rich_help_panel=SCORES)(report.report)
app.command("curves", rich_help_panel=SCORES)(curves.curves)
app.command("stability", rich_help_panel=SCORES)(stability.stability)
app.add_typer(leaderboard.app, name="leaderboard", rich_help_panel=SHARE)
app.command("submit", rich_help_panel=SHARE)(submit.submit)
app.command("reproduce", rich_help_panel=SHARE)(reproduce.reproduce)
app.command("conformance", rich_help_panel=SHARE)(conformance.conformance)


BEFORE = {"prepare": "verify", "leaderboard": "submit"}
"""Groups of commands, which Typer puts last, and the commands before which they come in the order of work."""

BUILT_IN = {benchmark.alias: benchmark for benchmark in BENCHMARKS}
HIDDEN: dict[tuple[str, ...], set[str]] = {
    (command, name): prepare.without_meaning(BUILT_IN.get(name))
    for command in ("prepare", "episodes")
    for name in (*BUILT_IN, "folder")
}
"""What the help of a benchmark's commands leaves out."""


def _version(wanted: bool) -> None:
    if wanted:
        from fssbench.base.version import __version__

        print(f"fssbench {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, allow_from_autoenv=False, help="Print the version."
    ),
    quiet: bool = typer.Option(False, QUIET, help="Print only outcomes and errors; works anywhere on the line."),
    debug: bool = typer.Option(False, DEBUG, help="Show the traceback of an error; works anywhere on the line."),
) -> None:
    """Few-shot segmentation episodes that are files with a hash, and scores anyone can recompute."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exit code 0 is success, 2 a refusal with its reason, 1 a defect of fssbench."""
    # Read when torch is loaded. Threads that spin while they wait for each other crawl where other work has the cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    given = [home_in(word) for word in (sys.argv[1:] if arguments is None else arguments)]
    os.environ.update({name: home_in(value) for name, value in os.environ.items() if name.startswith("FSSBENCH_")})
    debug = DEBUG in given or bool(os.environ.get("FSSBENCH_DEBUG"))
    silent = QUIET in given or bool(os.environ.get("FSSBENCH_QUIET"))
    open_streams()
    with outcome_alone(silent):
        code = _run([word for word in given if word not in (DEBUG, QUIET)], debug=debug)
    if refused := end_output():
        code = _refuse(refused)
    if code == INTERRUPTED:
        fail("interrupted; what is finished is kept")
    raise SystemExit(code if isinstance(code, int) else 0)


def command_line() -> Any:
    """The parser of the whole command line."""
    parser = build_parser(app, hidden=HIDDEN)
    names = list(parser.commands)
    for group, next_one in BEFORE.items():
        names.remove(group)
        names.insert(names.index(next_one), group)
    parser.commands = {name: parser.commands[name] for name in names}
    return parser


def _run(words: Sequence[str], *, debug: bool) -> Any:
    """Run a command; returns its exit code."""
    try:
        parser = command_line()
        if COMPLETING not in os.environ:
            for unknown in unknown_variables(os.environ, variables(parser)):
                warn(unknown)
        return parser.main(args=words, prog_name="fssbench", complete_var=COMPLETING, standalone_mode=False)
    except typer.Exit as leaving:
        return leaving.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except SystemExit as leaving:  # the parser's own way out when the reader of our output went away, as head does
        return 0 if isinstance(leaving.__context__, BrokenPipeError) else leaving.code
    except Exception as error:
        if debug:
            raise
        return _refuse(error)


def _refuse(error: Exception) -> int:
    """Say in one line what went wrong; returns the exit code."""
    if isinstance(error, FssbenchError):
        fail(str(error))
        return 2
    if isinstance(error, PermissionError) and error.filename is not None:
        fail(f"{error.filename} cannot be used: {error.strerror}; check who may read and write it")
        return 2
    # The parser's own errors know how to say themselves; their base class moved between Typer's versions.
    if hasattr(error, "format_message"):
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "fssbench"
        if message := " ".join(error.format_message().split()):  # without arguments the help is printed already
            message = message.replace("Value error, ", "").removesuffix(".")
            fail(f"{message}{'' if message.endswith('?') else ';'} see {command} --help")
        return 2
    if isinstance(error, OSError) and error.strerror:
        where = "" if error.filename is None else f" {error.filename}"
        fail(f"the system refused{where}: {error.strerror}; fix that and run the same command again")
        return 2
    if isinstance(error, MemoryError) or (isinstance(error, ImportError) and "failed to map" in str(error)):
        fail("there is not enough memory; what is finished is kept")
        return 2
    fail(f"fssbench failed: {type(error).__name__}: {error}; run again with --debug and report what it shows")
    return 1

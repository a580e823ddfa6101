"""The command line: one file a command, nothing heavy imported until a command runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer

from fssbench.base.errors import FssbenchError
from fssbench.base.home import home_in
from fssbench.cli import (
    check_model,
    compare,
    conformance,
    convert,
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
    show,
    stability,
    submit,
    train,
    verify,
)
from fssbench.cli.console import fail

__all__ = ["app", "main"]

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 and the signal's number, as shells have it."""

app = typer.Typer(
    name="fssbench",
    help="Few-shot segmentation episodes that are files with a hash, and scores anyone can recompute.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"auto_envvar_prefix": "FSSBENCH", "help_option_names": ["-h", "--help"]},
)

app.command("demo")(demo.demo)
app.add_typer(prepare.app, name="prepare")
app.add_typer(episodes.app, name="episodes")
app.command("doctor")(doctor.doctor)
app.command("verify")(verify.verify)
app.command("show")(show.show)
app.command("info")(info.info)
app.command("train")(train.train)
app.command("eval")(evaluate.evaluate)
app.command("score")(score.score)
app.command("compare")(compare.compare)
app.command("report")(report.report)
app.command("stability")(stability.stability)
app.add_typer(leaderboard.app, name="leaderboard")
app.command("submit")(submit.submit)
app.command("check-model")(check_model.check_model)
app.command("profile")(profile.profile)
app.command("reproduce")(reproduce.reproduce)
app.command("convert")(convert.convert)
app.command("conformance")(conformance.conformance)
app.command("list")(listing.list_)


def _version(wanted: bool) -> None:
    if wanted:
        from fssbench.base.version import __version__

        print(f"fssbench {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error; may stand anywhere."),
) -> None:
    """Few-shot segmentation episodes that are files with a hash, and scores anyone can recompute."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exit code 0 is success, 2 a refusal with its reason, 1 a defect of fssbench."""
    # Read when torch is loaded. Threads that spin while they wait for each other crawl where other work has the cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    given = [home_in(word) for word in (sys.argv[1:] if arguments is None else arguments)]
    os.environ.update({name: home_in(value) for name, value in os.environ.items() if name.startswith("FSSBENCH_")})
    debug = "--debug" in given or bool(os.environ.get("FSSBENCH_DEBUG"))
    words = [word for word in given if word != "--debug"]
    try:
        code = app(args=words, prog_name="fssbench", standalone_mode=False)
    except typer.Exit as leaving:
        code = leaving.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except BrokenPipeError:  # the reader of our output went away, as head does
        sys.stderr.close()
        code = 0
    except Exception as error:
        if debug:
            raise
        code = _refuse(error)
    if code == INTERRUPTED:
        fail("interrupted; what is finished is kept")
    raise SystemExit(code if isinstance(code, int) else 0)


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
        fail(f"{' '.join(error.format_message().split())}; see {command} --help")
        return 2
    fail(f"fssbench failed: {type(error).__name__}: {error}; run again with --debug and report what it shows")
    return 1

"""Running a step: fssbench itself, in a process of its own, so that it can stop and go on as it always does."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any

from fssbench.base.errors import FssbenchError
from fssbench.leaderboard.reproduction.commands import Step

__all__ = ["execute", "execute_json"]

STDERR = 2
INTERRUPTED = 130
"""What fssbench ends with when it was interrupted."""


def execute(step: Step) -> None:
    """Run a step; all it prints goes to standard error. Ctrl-C waits until it has saved its work.

    Raises `FssbenchError` if it fails.
    """
    _run(step, stdout=STDERR)


def execute_json(step: Step) -> Any:
    """Run a step with ``--json`` and return what it prints."""
    return json.loads(_run(step, stdout=subprocess.PIPE, more=("--json",)))


def _run(step: Step, *, stdout: int, more: tuple[str, ...] = ()) -> bytes:
    command = [sys.executable, "-m", "fssbench", *step.arguments, *more]
    with subprocess.Popen(command, stdout=stdout) as process:
        stop = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        interrupted = False
        try:
            while True:
                try:
                    printed = process.communicate()[0] or b""
                    break
                except KeyboardInterrupt:  # the step was told as well, and saves its work
                    interrupted = True
        finally:
            signal.signal(signal.SIGTERM, stop)
    if interrupted or process.returncode == INTERRUPTED:
        raise KeyboardInterrupt
    if process.returncode:
        raise FssbenchError(
            f"'{step.command}' ended with exit code {process.returncode}",
            remedy="see above why; once that is mended, run this again: what is finished is kept",
        )
    return printed

"""A section in a process of its own: what it tells is kept as it comes, and it ends when its time is over."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Thread
from typing import IO

from on_gpu.report import Report

__all__ = ["run_section"]


def run_section(name: str, command: Sequence[str], *, seconds: float, report: Report, log: Path) -> None:
    """Run a command that prints figures as lines of JSON; whatever else it says goes to ``log``."""
    start = time.monotonic()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as errors:
        # In a group of its own, so that its own processes end with it.
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True)
        try:
            ended = _listen(name, process, start + seconds, report)
        finally:
            _end(process)
    if ended is None:
        ended = "done" if process.returncode == 0 else f"failed: {_last_line(log, process.returncode)}"
    report.end(name, ended, seconds=time.monotonic() - start)


def _listen(name: str, process: subprocess.Popen[str], deadline: float, report: Report) -> str | None:
    """Keep figures until the process has ended, or say that its time is over."""
    lines: queue.Queue[str | None] = queue.Queue()
    assert process.stdout is not None
    Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            return "out of time"
        if line is None:
            process.wait()
            return None
        if line.startswith('{"what"'):
            report.add(name, json.loads(line))
        else:
            sys.stderr.write(line)


def _read(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def _end(process: subprocess.Popen[str]) -> None:
    """Nothing of it goes on."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _last_line(log: Path, code: int) -> str:
    lines = log.read_text().strip().splitlines()
    return lines[-1] if lines else f"exit code {code}"

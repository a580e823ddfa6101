"""A section in a process of its own: what it tells is kept as it comes, and it ends when its time is over."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Thread
from typing import IO

from on_gpu.report import Report

__all__ = ["run_section"]


def run_section(
    name: str,
    command: Sequence[str],
    *,
    seconds: float,
    report: Report,
    log: Path,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Run a command that prints figures as lines of JSON; whatever else it says goes to ``log``."""
    start = clock()

    def left() -> float:
        return max(0.0, start + seconds - clock())

    log.parent.mkdir(parents=True, exist_ok=True)
    lines: queue.Queue[str | None] = queue.Queue()
    with log.open("w") as errors:
        # In a group of its own, so that its own processes end with it.
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True)
    assert process.stdout is not None
    reader = Thread(target=_read, args=(process.stdout, lines))
    reader.start()
    try:
        in_time = _listen(name, lines, report, left=left)
        process.wait(timeout=left() if in_time else 0)
    except subprocess.TimeoutExpired:
        in_time = False
    finally:
        _end(process)
        reader.join()
        process.stdout.close()
    ended = "done" if process.returncode == 0 else f"failed: {_last_line(log, process.returncode)}"
    report.end(name, ended if in_time else "out of time", seconds=clock() - start)


def _listen(name: str, lines: queue.Queue[str | None], report: Report, *, left: Callable[[], float]) -> bool:
    """Keep figures until there are no more, which is to be before the time is over."""
    while True:
        try:
            line = lines.get(timeout=left())
        except queue.Empty:
            return False
        if line is None:
            return True
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

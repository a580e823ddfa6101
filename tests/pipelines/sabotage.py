"""Runs a command again and again, each time with a fault at the next of its file-system operations.

Called as a program of its own, because a hook on Python's audit events sees every operation but can never be
taken away: every run is a forked child. The events are those of opening for writing, making, renaming and
removing below the output folder; ``fsync`` and the writing of shards, which have none, report themselves.
Arguments are a folder to work in, and as JSON a list of what to try: the arguments of an ``earlier`` run, if
any, and of the ``command``, the ``kind`` of the fault, and the ``step`` from one operation to the next tried.
Prints a JSON line a trial.
"""

from __future__ import annotations

import errno
import gc
import importlib
import itertools
import json
import os
import shutil
import signal
import sys
import tarfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import fssbench.pipelines.episode_sets.build_episode_set
from fssbench.cli import main
from fssbench.pipelines.episode_sets.check_episode_set import verify_set
from fssbench.pipelines.formats import shards

GROWING = {"open", "os.mkdir", "os.fsync", "write"}
"""What a full disk refuses; everything else still succeeds on it."""

CHANGING = {"os.rename", "os.remove", "os.rmdir", *GROWING}
HEAVY = ("datasets", "pyarrow.parquet", "webdataset", "pycocotools.mask", "fssbench.pipelines.sources.coco")
SET = Path("coco-20i/strict/fold0")


class Fault:
    """Lets operations below ``folder`` pass until the n-th, and strikes there: a kill, or an error that stays."""

    def __init__(self, folder: Path, kind: str, n: int, told: int) -> None:
        self.folder, self.kind, self.n, self.told, self.seen = f"{folder}{os.sep}", kind, n, told, 0

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in CHANGING or not self._concerns(event, arguments):
            return
        self.seen += 1
        if self.seen == self.n:
            os.write(self.told, " ".join(str(a) for a in (event, *arguments[:2])).replace(self.folder, "").encode())
        if self.seen >= self.n and self.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.seen == self.n or (self.seen > self.n and (self.kind == "EROFS" or event in GROWING)):
            code = getattr(errno, self.kind)
            raise OSError(code, os.strerror(code))

    def _concerns(self, event: str, arguments: tuple[Any, ...]) -> bool:
        if event in ("write", "os.fsync"):
            return True
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return False
        below_descriptor = event in ("os.remove", "os.rmdir") and arguments[1] >= 0
        return below_descriptor or str(arguments[0]).startswith(self.folder)


def sabotage(folder: Path, kind: str, n: int, told: int) -> None:
    """Let this process meet a fault at its n-th operation."""
    fault = Fault(folder, kind, n, told)
    sys.addaudithook(fault)
    write = shards._HashingWriter.write

    def reported_write(self: Any, data: bytes) -> int:
        if 0 < self.bytes <= tarfile.RECORDSIZE:  # the second block of a shard stands for all later ones
            fault("write", ())
        return write(self, data)

    vars(os)["fsync"] = lambda _: fault("os.fsync", ())
    shards._HashingWriter.write = reported_write  # type: ignore[method-assign]


def run(arguments: list[str], folder: Path, *, kind: str = "", n: int = 0) -> tuple[int, str, str]:
    """Run the command in a child: exit code (negative: the signal), standard error, and where the fault struck."""
    errors = folder.with_name("stderr")
    reader, told = os.pipe()
    child = os.fork()
    if child == 0:
        output = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if kind:
            sabotage(folder, kind, n, told)
        try:
            main(arguments)
        except SystemExit as leaving:
            sys.stderr.flush()
            os._exit(leaving.code if isinstance(leaving.code, int) else 99)
        finally:
            os._exit(98)
    os.close(told)
    _, status = os.waitpid(child, 0)
    struck = os.read(reader, 10_000).decode()
    os.close(reader)
    return os.waitstatus_to_exitcode(status), errors.read_text(), struck


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b"" for p in sorted(folder.rglob("*"))}


def trials(
    arguments: list[str], before: Path, folder: Path, reference: Path, kind: str, step: int
) -> Iterator[dict[str, Any]]:
    """A fault at every ``step``-th operation in turn, and then the command once more."""
    wanted = contents(reference)
    for n in itertools.count(1, step):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(before, folder)
        code, said, struck = run(arguments, folder, kind=kind, n=n)
        if not struck:
            return
        there = (folder / SET).exists()
        problems = verify_set(folder / SET).problems if there else []
        halves = [name for name in contents(folder / SET) if name.endswith(".partial")]
        again, said_again, _ = run(arguments, folder)
        yield {
            "struck": struck,
            "code": code,
            "said": said,
            "there": there,
            "problems": problems,
            "halves": halves,
            "again": again,
            "said_again": said_again,
            "same": contents(folder) == wanted,
        }


if __name__ == "__main__":
    for name in HEAVY:
        importlib.import_module(name)
    vars(fssbench.pipelines.episode_sets.build_episode_set)["build"] = partial(
        fssbench.pipelines.episode_sets.build_episode_set.build, images_per_shard=20
    )
    vars(os)["fsync"] = lambda _: None  # a kill loses nothing that was written; only the cut of the power would
    gc.freeze()
    for number, asked in enumerate(json.loads(sys.argv[2])):
        root = Path(sys.argv[1]) / str(number)
        before, folder, reference = root / "before", root / "folder", root / "reference"
        before.mkdir(parents=True)
        if asked["earlier"]:
            assert run([*asked["earlier"], "--output", str(before)], before)[0] == 0
        shutil.copytree(before, reference)
        assert run([*asked["command"], "--output", str(reference)], reference)[0] == 0
        command = [*asked["command"], "--output", str(folder)]
        for trial in trials(command, before, folder, reference, asked["kind"], asked["step"]):
            print(json.dumps({"number": number, **trial}), flush=True)

"""The law of the fuzzer, and commands under it.

Every command ends with exit code 0 or 2, says in one line what was wrong and what to do, leaves nothing half-written,
and what it accepts passes the checks of the commands after it.
"""

from __future__ import annotations

import io
import re
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from fssbench import cli
from fssbench.base.errors import StorageError

__all__ = ["Broke", "Command", "Ran", "faults_of", "run"]

KEPT = re.compile(r"fold\d+\.partial|train\.partial|\.counts(\.rank\d+)?\.partial$")
"""What a refused command leaves on purpose, for the next to go on with."""

LONGEST = 4_000
"""Characters of a message: whoever reads it has a terminal."""


@dataclass(frozen=True)
class Command:
    """One step of a world.

    Attributes:
        words: the command line.
        bound: by acceptance: once all commands before it ended well, it must too.
    """

    words: Sequence[str]
    bound: bool = False


@dataclass(frozen=True)
class Ran:
    """What a command left; ``crash`` has the traceback of what nobody caught."""

    code: object
    out: str
    err: str
    crash: str = ""


@dataclass(frozen=True)
class Broke:
    """A breach of the law: what was broken before, which command, and how it broke."""

    done: tuple[str, ...]
    words: tuple[str, ...]
    how: str

    @property
    def family(self) -> str:
        """Breaches of one cause, as far as that can be told: the last line of our own code, or the first words."""
        ours = re.findall(r'File "[^"]*fssbench/([\w/]+\.py)", line \d+, in (\w+)', self.how)
        kind = self.how.rstrip().rpartition("\n")[2].partition(":")[0]
        return f"{kind} in {ours[-1][0]}:{ours[-1][1]}" if ours else f"{self.words[0]}: {self.how[:80]}"


@contextmanager
def _captured() -> Iterator[tuple[io.TextIOWrapper, io.TextIOWrapper]]:
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2)]
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = streams
    try:
        yield streams[0], streams[1]
    finally:
        sys.stdout, sys.stderr = before


def run(words: Sequence[str]) -> Ran:
    """Run a command in this process."""
    code: object = None
    crash = ""

    def refuse(error: Exception) -> int:
        nonlocal crash
        found = said(error)
        if found == 1 or (isinstance(error, OSError) and not isinstance(error, StorageError)):
            crash = "".join(traceback.format_exception(error))  # a defect, or a refusal that nobody has put in words
        return found

    said = cli._refuse
    with _captured() as (out, err), warnings.catch_warnings():
        warnings.simplefilter("default")
        try:
            with mock.patch.object(cli, "_refuse", refuse):
                cli.main(words)
        except SystemExit as left:
            code = left.code
        told = [stream.buffer.getvalue().decode() for stream in (out, err)]  # type: ignore[attr-defined]
    return Ran(code, told[0], told[1], crash)


def _halves(folder: Path) -> list[str]:
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*.partial")) if folder.is_dir() else ()
    return [name for name in found if not KEPT.search(name)]


def _breach(ran: Ran, *, must: bool, halves: list[str]) -> str:
    """How a command broke the law, which left ``halves`` behind; empty if it kept it."""
    if ran.crash or ran.code not in (0, 2):
        return ran.crash or f"exit code {ran.code}: {ran.err[-300:]}"
    errors = [line for line in ran.err.splitlines() if not line.startswith("note: ")]
    if ran.code == 2 and (len(errors) != 1 or not errors[0].startswith("error: ")):
        return f"a refusal is one line, told were {len(errors)}: {' / '.join(errors)[:400]}"
    if ran.code == 0 and errors:
        return f"noise beside a success: {' / '.join(errors)[:400]}"
    if any(len(line) > LONGEST for line in errors):
        return f"a line of {max(map(len, errors))} characters: {max(errors, key=len)[:200]}"
    if strange := re.search(r"[\x00-\x08\x0b-\x1f\x7f]", ran.err):
        return f"a control character {strange.group()!r}: {ran.err[:300]!r}"
    if halves:
        return f"half-written: {', '.join(halves)}"
    # Files that begin and end well are stored as published, and decoded by whoever asks for pixels.
    if must and ran.code != 0 and "cannot be decoded" not in ran.err:
        return f"accepted before, refused now: {ran.err[-400:]} {ran.out[-400:]}"
    return ""


def faults_of(done: Sequence[str], commands: Sequence[Command], *, output: Path) -> list[Broke]:
    """Run the commands one after the other; returns all breaches of the law."""
    broken, well, halves = [], True, list[str]()
    for command in commands:
        if command.bound and not well:
            continue
        ran, before = run(command.words), halves
        halves = _halves(output)
        new = [name for name in halves if name not in before]
        if how := _breach(ran, must=command.bound, halves=new):
            broken.append(Broke(tuple(done), tuple(command.words), how))
        well = well and ran.code == 0
    return broken

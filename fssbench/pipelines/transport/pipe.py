"""Files that a command prints, such as one that fetches them over ssh."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable

from fssbench.base.errors import UsageError
from fssbench.pipelines.transport.attempts import AttemptError
from fssbench.pipelines.transport.remote import AbsentError, RefusedError

__all__ = ["Pipe"]

NAME = "{}"
NO_COMMAND = (126, 127)
"""What a shell ends with that finds no such command, or may not run it."""


class Pipe:
    """Files that a shell command prints, in which ``{}`` stands for a name such as ``coco-20i/strict/fold0/x.tar``.

    The command is the user's own and runs with the user's rights. Nothing a set says gets into it but file names,
    and those are letters, digits, and ``. _ - /`` (see `Remote`), which no shell takes for more.

    Raises:
        UsageError: the command has no ``{}``.
    """

    searchable = False

    def __init__(self, command: str) -> None:
        if NAME not in command or not command.strip():
            raise UsageError(
                f"pipe:{command} does not say where a file's name goes",
                remedy="write {} in its place, as in 'pipe:ssh host cat /sets/{}'",
            )
        self.command = command

    def address(self, name: str) -> str:
        """The command that prints the file; as it was given where no file is named."""
        return f"pipe:{self._of(name) if name else self.command}"

    def _of(self, name: str) -> str:
        return self.command.replace(NAME, shlex.quote(name))

    def attempts(self, name: str, *, silence: float) -> Callable[[], bytes]:
        """Runs of the command; how long to wait for one is its own to say."""

        def attempt() -> bytes:
            ran = subprocess.run(self._of(name), shell=True, stdin=subprocess.DEVNULL, capture_output=True)
            if ran.returncode == 0:
                return ran.stdout
            said = ran.stderr.decode(errors="replace").strip().splitlines()
            failure = f"the command failed with code {ran.returncode}" + (f" ({said[-1]})" if said else "")
            if ran.returncode in NO_COMMAND:
                raise RefusedError(failure)
            # Whether a file is missing or something else is the matter a code does not tell. A manifest may be missing.
            if name.endswith(".json"):
                raise AbsentError(failure)
            raise AttemptError(failure)

        return attempt

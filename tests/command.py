"""Running the command line inside the test's own process."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from fssbench.cli import main


@dataclass(frozen=True)
class Ran:
    """What a command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line that says what went wrong."""
        lines = [line for line in self.err.splitlines() if not line.startswith("note: ")]
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: ")
        return lines[0]


class Command:
    """Calls ``fssbench`` with arguments."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *arguments: object) -> Ran:
        """Run it; whatever it prints is taken."""
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        out, err = self.capsys.readouterr()
        assert isinstance(left.value.code, int)
        return Ran(left.value.code, out, err)

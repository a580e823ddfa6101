"""``benchmarks/growth.py``: the small form runs every command at every size, and its table says how both grow."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from command import Command

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import growth
from growth import Cost

COMMANDS = ["eval -m all-foreground --save-predictions", "score", "score --check", "leaderboard build", "report"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "commands"), [("track", COMMANDS), ("results", COMMANDS[2:]), ("classes", COMMANDS[2:])]
)
def test_the_small_form_runs_every_command(
    part: str, commands: Sequence[str], tmp_path: Path, fssbench: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process; what each takes is made up, and grows with the square root of the episodes beyond the tiny."""

    def run(words: growth.Words) -> Cost:
        folders = [part for word in words if isinstance(word, Path) for part in word.parts if part.isdigit()]
        ran = fssbench(*words)
        assert ran.code == 0, ran.err
        size = int(folders[-1])
        return Cost(memory=100 + (size > growth.TINY) * 100 * size**0.5, seconds=1.0)

    growth.main(["--part", part, "--episodes", "25,36", "--folder", str(tmp_path)], run=run)
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| `")]
    assert rows == [f"| `{command}` | 600 MB, 1.0 s | 700 MB, 1.0 s | n^0.50 | — |" for command in commands]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({20: 5.0, 100: 6.5, 1000: 20.0, 10000: 155.0}, "n^1.00"),
        ({20: 5.0, 100: 5.9, 1000: 20.0, 10000: 155.0}, "n^1.00"),  # the first has grown too little to say anything
        ({20: 5.0, 100: 5.0, 1000: 5.1, 10000: 5.2}, "—"),
        ({20: 0.0, 100: 10.0, 200: 40.0}, "n^2.00"),
    ],
)
def test_growth_is_a_power_of_what_comes_on_top(values: dict[int, float], said: str) -> None:
    assert growth.exponent(values) == said


@pytest.mark.slow
def test_a_command_is_measured_by_itself(tmp_path: Path) -> None:
    """Not with the memory of whoever starts it, which torch alone makes many times that."""
    filled = bytearray(b"\1") * 2**29
    cost = growth.run(["--version"])
    assert 0 < cost.memory < 200 < len(filled) / 1e6
    assert cost.seconds > 0
    with pytest.raises(SystemExit, match="there is no folder"):
        growth.run(["report", tmp_path / "nowhere"])

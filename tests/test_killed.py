"""Whatever change of the disk ``eval``, ``train`` and ``leaderboard add`` are killed at, the next run ends the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_after_a_kill_at_a_change_of_the_disk_the_next_run_gives_the_same_bytes(tmp_path: Path) -> None:
    """As of ``prepare`` in tests/pipelines/test_faults.py; ``train`` goes on with --resume where there is a state."""
    command = [sys.executable, str(Path(__file__).with_name("killed.py")), str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert ran.returncode == 0, ran.stderr
    kills = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    assert {kill["command"] for kill in kills} == {"eval", "train", "add"}
    assert len(kills) >= 15
    assert [kill for kill in kills if kill["again"] != 0 or kill["unlike"]] == []

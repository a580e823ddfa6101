"""The demo in its full size, as README shows it: a minute or two of training, by the command itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from command import Command

pytestmark = pytest.mark.slow


def test_what_the_demo_trained_beats_what_it_was_before_by_more_than_chance(tmp_path: Path, fssbench: Command) -> None:
    """On two hundred episodes of classes that it has not seen, by the paired interval."""
    ran = subprocess.run([sys.executable, "-m", "fssbench", "demo"], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    names = {}
    for path in (tmp_path / "fssbench-demo/results").rglob("*seed0.json"):
        result = json.loads(path.read_text())
        names[result["model"]["name"], result["model"]["training"]] = path
        assert result["episodes"]["n_episodes"] == 200
        trained = result["model"]["trained"]
        assert trained is None or not {*trained["classes"], *trained["held_out"]} & {*range(0, 80, 4)}
    after, before = names["hsnet", "trained"], names["hsnet", "untrained"]
    gain = json.loads(fssbench("compare", after, before, "--json").out)["miou"]
    assert gain["between"]["episodes"]["low"] > 0.5
    copied = json.loads(names["copy-support", "not needed"].read_text())["policies"][0]["miou"]["value"]
    assert json.loads(after.read_text())["policies"][0]["miou"]["value"] > copied

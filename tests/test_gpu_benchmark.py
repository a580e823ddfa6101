"""``benchmarks/gpu.py``: sections end apart from each other, and the small form runs them all on a CPU."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from on_gpu.report import Report, print_table
from on_gpu.sections import run_section

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
TELL = 'print(\'{"what": "speed", "case": "%s", "value": %d, "unit": "/s"}\', flush=True); '


@pytest.fixture
def report(tmp_path: Path) -> Report:
    return Report(tmp_path / "gpu.json", command=["gpu.py"])


def section(report: Report, code: str, **told: Any) -> Mapping[str, Any]:
    """What stands in the file of a section that runs some Python."""
    log = report.path.with_name("log")
    run_section("one", [sys.executable, "-c", code], seconds=60, report=report, log=log, **told)
    found: Mapping[str, Any] = json.loads(report.path.read_text())["sections"]["one"]
    return found


def test_figures_are_kept_and_a_later_one_of_the_same_case_replaces_an_earlier(report: Report) -> None:
    found = section(report, TELL % ("a", 1) + TELL % ("b", 2) + TELL % ("a", 3))
    assert found["ended"] == "done"
    assert [(one["case"], one["value"]) for one in found["figures"]] == [("b", 2), ("a", 3)]


def test_a_section_that_fails_is_reported_with_what_it_had_told(report: Report) -> None:
    found = section(report, TELL % ("a", 1) + "raise RuntimeError('no such kernel')")
    assert found["ended"] == "failed: RuntimeError: no such kernel"
    assert len(found["figures"]) == 1
    assert section(report, "import os; os._exit(3)")["ended"] == "failed: exit code 3"


def test_a_section_whose_time_is_over_is_ended_and_keeps_what_it_had_told(report: Report) -> None:
    class OneFigure(Report):
        """Its clock stands still until a figure is there."""

        def clock(self) -> float:
            return 1000.0 if json.loads(self.path.read_text())["sections"] else 0.0

    waiting = OneFigure(report.path, command=[])
    found = section(waiting, TELL % ("a", 1) + "import threading; threading.Event().wait()", clock=waiting.clock)
    assert found["ended"] == "out of time"
    assert len(found["figures"]) == 1


def test_the_table_has_the_cases_of_a_figure_side_by_side(report: Report, capsys: pytest.CaptureFixture[str]) -> None:
    for case, value in (("batch 1", 1234.5), ("batch 8", "failed: OutOfMemoryError: no")):
        report.add("speed", {"what": "HSNet", "case": case, "value": value, "unit": "episodes/s"})
    report.end("speed", "done", seconds=2.0)
    print_table(json.loads(report.path.read_text()))
    printed = " ".join(capsys.readouterr().out.split())
    assert "speed HSNet batch 1 1,234 · batch 8 failed: OutOfMemoryError: no episodes/s" in printed
    assert "speed done, 2.0 s" in printed


@pytest.mark.slow
def test_the_small_form_runs_every_section_on_a_cpu(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "gpu.py"), "--small", "--device", "cpu"]
    command += ["--output", str(tmp_path / "gpu.json"), "--folder", str(tmp_path / "work")]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    sections = json.loads((tmp_path / "gpu.json").read_text())["sections"]
    assert {name: one["ended"] for name, one in sections.items()} == dict.fromkeys(sections, "done")
    assert len(sections) == len([path for path in (BENCHMARKS / "on_gpu").glob("*.py") if measures(path)]) == 10
    figures = list(chain.from_iterable(zip(repeat(name), one["figures"]) for name, one in sections.items()))
    failed = [(name, one) for name, one in figures if str(one["value"]).startswith("failed")]
    assert failed == []
    met = [one["value"] for name, one in figures if one["what"].endswith(" met")]
    assert met == ["yes", "yes"]


def measures(path: Path) -> bool:
    return "def measure(" in path.read_text()

"""``benchmarks/gpu.py``: sections end apart from each other, and the small form runs them all on a CPU."""

from __future__ import annotations

import json
import subprocess
import sys
from argparse import Namespace
from collections.abc import Mapping
from contextlib import nullcontext
from itertools import chain, repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from fssbench.models.fast.hsnet import FastHSNet

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import gpu
from on_gpu import compiled, memory, stages
from on_gpu.bench import Bench
from on_gpu.chosen import MODELS
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


@pytest.mark.parametrize("minutes", [9.0, 3.0])
def test_a_section_has_its_own_share_and_what_others_left_and_nothing_of_those_to_come(
    minutes: float, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every third takes all that it may, the others half of their own."""
    now, allowed = 0.0, dict[str, float]()

    def run(name: str, command: list[str], *, seconds: float, report: Report, log: Path) -> None:
        nonlocal now
        own = float(command[command.index("--seconds") + 1])
        now += seconds if len(allowed) % 3 == 2 else own / 2
        allowed[name] = seconds - own
        report.end(name, "done", seconds=0.0)

    monkeypatch.setattr(gpu, "run_section", run)
    monkeypatch.setattr(gpu, "time", SimpleNamespace(monotonic=lambda: now))
    asked = Namespace(minutes=minutes, only=None, device="cuda:0", small=False)
    gpu.run_sections(asked, report.path.parent, report, 0.0)
    assert list(allowed) == list(gpu.SECTIONS)
    assert all(more > -1 for more in allowed.values())
    assert max(allowed.values()) > 10 * minutes / 9
    assert now <= 60 * minutes


def test_the_table_has_the_cases_of_a_figure_side_by_side(report: Report, capsys: pytest.CaptureFixture[str]) -> None:
    for case, value in (("batch 1", 1234.5), ("batch 8", "failed: OutOfMemoryError: no")):
        report.add("speed", {"what": "HSNet", "case": case, "value": value, "unit": "episodes/s"})
    report.end("speed", "done", seconds=2.0)
    print_table(json.loads(report.path.read_text()))
    printed = " ".join(capsys.readouterr().out.split())
    assert "speed HSNet batch 1 1,234 · batch 8 failed: OutOfMemoryError: no episodes/s" in printed
    assert "speed done, 2.0 s" in printed


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data that the small form drew, and ``gpu.json`` with what it told."""
    folder = tmp_path_factory.mktemp("gpu")
    command = [sys.executable, str(BENCHMARKS / "gpu.py"), "--small", "--device", "cpu", "--minutes", "120"]
    command += ["--output", str(folder / "gpu.json"), "--folder", str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return folder


@pytest.mark.slow
def test_the_small_form_runs_every_section_on_a_cpu(small: Path) -> None:
    sections = json.loads((small / "gpu.json").read_text())["sections"]
    assert {name: one["ended"] for name, one in sections.items()} == dict.fromkeys(sections, "done")
    assert len(sections) == len([path for path in (BENCHMARKS / "on_gpu").glob("*.py") if measures(path)]) == 10
    figures = list(chain.from_iterable(zip(repeat(name), one["figures"]) for name, one in sections.items()))
    failed = [(name, one) for name, one in figures if str(one["value"]).startswith("failed")]
    assert failed == []
    met = [one["value"] for name, one in figures if one["what"].endswith(" met")]
    assert met == ["yes", "yes"]


def measures(path: Path) -> bool:
    return "def measure(" in path.read_text()


# --- what a GPU alone can do, with stand-ins for it ---


@pytest.fixture
def bench(small: Path) -> Bench:
    return Bench(device="cpu", small=True, seconds=10, folder=small)


def told(capsys: pytest.CaptureFixture[str]) -> dict[tuple[str, str], Any]:
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    return {(one["what"], one["case"]): one["value"] for one in lines}


@pytest.mark.slow
def test_a_shortage_is_provoked_between_two_batches(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The stand-in has 10 bytes, and of them takes as many as images are encoded at a time."""
    shares, most = [1.0], 0
    encode = FastHSNet.encode

    def encoding(self: FastHSNet, images: Tensor) -> list[Tensor]:
        nonlocal most
        if len(images) > 10 * shares[-1]:
            raise torch.OutOfMemoryError("CUDA out of memory")
        most = max(most, len(images))
        return encode(self, images)

    def forget(device: str) -> None:
        nonlocal most
        most = 0

    monkeypatch.setattr(FastHSNet, "encode", encoding)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", forget)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: most)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=10))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda share, device: shares.append(share))
    monkeypatch.setattr(memory, "EPISODES", 4)
    monkeypatch.setattr(memory, "BATCHES", (1, 4))
    memory.shortage(bench)
    figures = told(capsys)
    assert shares == [1.0, 0.25, 1.0]
    assert figures["provoked shortage: halvings", ""] == 1
    assert figures["provoked shortage: batch at the end", ""] == 2
    assert figures["provoked shortage: episodes answered", ""] == 4


@pytest.mark.slow
def test_an_encoder_is_captured_and_replayed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stream, replays = SimpleNamespace(wait_stream=lambda other: None), []
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda one: nullcontext())
    monkeypatch.setattr(torch.cuda, "graph", lambda one, capture_error_mode: nullcontext())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: SimpleNamespace(replay=lambda: replays.append(1)))
    compiled.graphs(bench, MODELS[0], 1)
    figures = told(capsys)
    title = "encode by HSNet R50, batch of 1"
    assert figures[title, "launched"] > figures[title, "CUDA graph"]
    assert replays
    assert figures[f"{title}, largest difference by a CUDA graph", ""] > 0  # the stand-in replays nothing


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_profile_tells_what_the_device_was_busy_with(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stages, "PROFILED", 4)
    stages.busy(bench, MODELS[0], 2)
    assert set(told(capsys).values()) == {0.0}  # a CPU is not such a device

"""What fssbench does on one GPU: right, how fast, and where the time goes. One command, at most nine minutes.

    python benchmarks/gpu.py [--output gpu.json] [--minutes 9] [--device cuda] [--only goldens speed]
    python benchmarks/gpu.py --small --device cpu

Each section of `SECTIONS` runs in a process of its own, for as long as its budget and what others left over allow.
One that fails or runs out of time is reported, keeps the figures that it had told, and ends no other. The figures are
in the JSON file as soon as they are told, so a run that is cut keeps them; the table comes last. ``--small`` does the
same with tiny pictures and models, to see that all of it runs: its figures mean nothing.

It needs fssbench's own dependencies and this checkout (``tests/golden`` has the stored outputs), but no network, data
set or checkpoint: pictures are drawn at COCO's sizes, a few different ones under many names, and weights are random but
for those that it trains itself. A machine that has torch but no network may lack pycocotools, pydantic,
pydantic-core, annotated-types, typing-inspection, tomli-w, webdataset, braceexpand, datasets, dill, multiprocess and
xxhash; carry their wheels. 128 GiB of memory and 10 GB of disk are ample.
"""

from __future__ import annotations

import argparse
import importlib
import json
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # where fssbench is not installed

from on_gpu.bench import Bench
from on_gpu.report import Report, print_table
from on_gpu.sections import run_section

SECTIONS = {
    "device": 35.0,
    "goldens": 50.0,
    "data": 75.0,
    "track": 105.0,
    "trained": 45.0,
    "speed": 85.0,
    "stages": 35.0,
    "memory": 30.0,
    "training": 40.0,
    "compiled": 40.0,
}
"""Files of ``on_gpu`` in the order in which they run, and each one's seconds of the nine minutes. The first two need no
data."""

LEAST = 5.0
"""Seconds that must be left for a section to be begun."""


def main() -> None:
    """Run all sections, or within one's own process the one that is named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("gpu.json"), help="The JSON file.")
    parser.add_argument("--minutes", type=float, default=9.0, help="For all sections together.")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--small", action="store_true", help="Tiny pictures and models: does it run?")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, help="Some sections; data is drawn anyway.")
    parser.add_argument("--folder", type=Path, help="Draw the data there, and use what is there.")
    parser.add_argument("--section", choices=SECTIONS, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=60.0, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    asked.device = "cuda:0" if asked.device == "cuda" else asked.device
    if asked.section:
        bench = Bench(device=asked.device, small=asked.small, seconds=asked.seconds, folder=asked.folder)
        bench.begin()
        importlib.import_module(f"on_gpu.{asked.section}").measure(bench)
        return
    if asked.folder is not None:
        run_all(asked, asked.folder)
        return
    with tempfile.TemporaryDirectory(prefix="fssbench-gpu-") as folder:
        run_all(asked, Path(folder))


def run_all(asked: argparse.Namespace, folder: Path) -> None:
    """Every section in turn, then the table; also where the run is stopped before its end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    start = time.monotonic()
    report = Report(asked.output, command=sys.argv)
    try:
        run_sections(asked, folder, report, start)
    finally:
        report.note("seconds", round(time.monotonic() - start, 1))
        print_table(json.loads(asked.output.read_text()))


def run_sections(asked: argparse.Namespace, folder: Path, report: Report, start: float) -> None:
    """Those that are asked for, as far as the time goes."""
    chosen = {name: own for name, own in SECTIONS.items() if not asked.only or name in ("data", *asked.only)}
    share = min(1.0, 60 * asked.minutes / sum(chosen.values()))
    later = sum(chosen.values())
    for name, own in chosen.items():
        later -= own
        seconds = 60 * asked.minutes - (time.monotonic() - start) - share * later
        if seconds < LEAST:
            report.end(name, "left out: no time was left", seconds=0.0)
            continue
        budget = f"{share * own:.0f}"
        command = [sys.executable, __file__, "--section", name, "--seconds", budget, "--folder", str(folder)]
        command += ["--device", asked.device, *(["--small"] if asked.small else [])]
        run_section(name, command, seconds=seconds, report=report, log=folder / f"{name}.log")
        print(f"{time.monotonic() - start:6.1f} s  {name}: {report.ended(name)}", flush=True)


if __name__ == "__main__":
    main()

"""Kills commands at random moments, runs each again, and compares what lies there with an undisturbed run's files.

``python benchmarks/kill_trials.py`` tries ``prepare``, ``eval`` with predictions, ``train`` and ``leaderboard add`` on
the toy data, fifty times each. A trial is a forked child that gets SIGKILL; loading libraries is over before it begins,
so that kills meet the work. Of results, what tells of time is left out of the comparison.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fssbench.cli import main

HEAVY = (
    "datasets",
    "pyarrow.parquet",
    "webdataset",
    "pycocotools.mask",
    "scipy.stats",
    "safetensors.torch",
    "fssbench.api.prepare",
    "fssbench.api.evaluate",
    "fssbench.api.check",
    "fssbench.training.job",
    "fssbench.leaderboard.add",
    "fssbench.leaderboard.published",
)
OF_TIME = ("execution", "command")
"""What a result says of how long it took, and of the folder it was asked to go to."""


@dataclass(frozen=True)
class Trials:
    """What became of a command's trials.

    Attributes:
        ended: how many runs were over before the kill came.
        unlike: of the others, what differed afterwards.
    """

    command: str
    n: int
    ended: int
    unlike: Sequence[str]

    def __str__(self) -> str:
        killed = self.n - self.ended
        return f"{self.command}: {killed} kills, {len(self.unlike)} left other bytes; {self.ended} came too late"


def run(words: Sequence[object], *, kill_after: float | None = None) -> tuple[int, float]:
    """Run a command in a child, to its end or to a kill; returns its exit code (negative: the signal) and seconds."""
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        os.setsid()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        try:
            main([str(word) for word in words])
        except SystemExit as left:
            os._exit(left.code if isinstance(left.code, int) else 99)
        finally:
            os._exit(98)
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        seconds = time.monotonic() - start
        if done:
            return os.waitstatus_to_exitcode(status), seconds
        if kill_after is not None and seconds >= kill_after:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.001)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, of results without what tells of time."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "tensorboard" not in path.parts:
            found[path.relative_to(folder).as_posix()] = _timeless(path)
    return found


def _timeless(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".json" and b'"fssbench-result"' in data[:4096]:
        told = {name: value for name, value in json.loads(data).items() if name not in OF_TIME}
        return json.dumps(told).encode()
    if path.suffix == ".pt":
        return _told(path)
    return data


def _told(path: Path) -> bytes:
    """What a training's state holds: pickle writes a text twice or once, by whether it was one object or two."""
    import torch

    with zipfile.ZipFile(path) as archive:
        tensors = b"".join(archive.read(name) for name in sorted(archive.namelist()) if "/data/" in name)
    return repr(torch.load(path, map_location="cpu", weights_only=True)).encode() + tensors


def trials(name: str, words: Callable[[Path], list[object]], root: Path, *, n: int, draw: random.Random) -> Trials:
    """Kill the command that writes below a folder ``n`` times."""
    reference, folder = root / f"{name}-undisturbed", root / f"{name}-killed"
    for _ in range(2):  # the first finds nothing of what the system remembers of files
        shutil.rmtree(reference, ignore_errors=True)
        code, seconds = run(words(reference))
        assert code == 0, name
    wanted = contents(reference)
    ended, unlike = 0, []
    for number in range(n):
        shutil.rmtree(folder, ignore_errors=True)
        moment = draw.uniform(0, seconds)
        code, _ = run(words(folder), kill_after=moment)
        ended += code == 0
        again, _ = run(words(folder))
        there = contents(folder)
        if again != 0 or there != wanted:
            names = sorted(file for file in wanted.keys() | there.keys() if wanted.get(file) != there.get(file))
            unlike.append(f"trial {number}, after {moment:.3f} s: exit code {again}, {', '.join(names)}")
    return Trials(name, n, ended, unlike)


def commands_to_kill(root: Path) -> dict[str, Callable[[Path], list[object]]]:
    """Each command by its name, for the folder it writes below; what they read is made below ``root``."""
    raw, sets, results = root / "raw", root / "sets", root / "results"
    prepare: list[object] = ["prepare", "toy", "-s", raw, "-f", 0, "-n", 40, "--shots", "1,2"]
    evaluate: list[object] = ["eval", "-m", "copy-support", "-b", "toy", "-d", sets, "-f", 0, "--save-predictions"]
    learn: list[object] = ["train", "-m", "hsnet", "-b", "toy", "-d", sets, "-f", 0, "--device", "cpu"]
    learn += ["--backbone-weights", "none", "--option", "size=33", "--batch", 2, "--max-steps", 4]
    learn += ["--set", "run.validate_every=2", "--set", "run.validation_episodes=4"]
    submit: list[object] = ["submit", results, "-d", sets, "-o", root / "s.tar"]
    made = ([*prepare, "-o", sets], ["prepare", "toy", "--train", "-s", raw, "-o", sets])
    for words in (*made, [*evaluate, "-o", results], submit):
        assert run(words)[0] == 0, words

    def train(folder: Path) -> list[object]:
        begun = (folder / "run/state.pt").is_file()
        return [*learn, "-o", folder / "run", *(["--resume"] if begun else [])]

    def add(folder: Path) -> list[object]:
        return ["leaderboard", "add", root / "s.tar", "--to", folder / "r", "-d", sets, "-o", folder / "b.json"]

    return {
        "prepare": lambda folder: [*prepare, "-o", folder],
        "eval": lambda folder: [*evaluate, "-o", folder],
        "add": add,
        "train": train,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--command", action="append", choices=("prepare", "eval", "add", "train"), help="repeatable")
    asked = parser.parse_args()
    for module in HEAVY:
        importlib.import_module(module)
    with tempfile.TemporaryDirectory() as work:
        os.environ["FSSBENCH_HOME"] = f"{work}/home"
        moments, unlike = random.Random(asked.seed), 0
        for command, told in commands_to_kill(Path(work)).items():
            if command in (asked.command or (command,)):
                one = trials(command, told, Path(work), n=asked.trials, draw=moments)
                print(one, *one.unlike, sep="\n  ", flush=True)
                unlike += len(one.unlike)
    sys.exit(1 if unlike else 0)

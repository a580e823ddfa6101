"""Break worlds for a while and tell every breach of the law: ``python tests/fuzz/run.py --minutes 60``.

A process of its own tries the inputs. It may not take more than so much memory, and is ended and replaced when a
command takes minutes. Breaches are printed by their cause as they come, and counted in the end.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from breaking import break_something
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from law import faults_of
from worlds import WORLDS, sound_world

MEMORY = 12 << 30
"""Of address space: threads and libraries alone take a few."""
PATIENCE = 240.0
ROUND = 10
UNMINDFUL = settings(database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
SPAWN = multiprocessing.get_context("spawn")  # a fork of a process with threads may wait for ever


def tried(names: list[str], root: Path, first: int, told: Connection) -> None:
    """Try one round of each world after the other without end, and tell of each input what came of it."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    os.environ["FSSBENCH_HOME"] = str(root / "home")
    number = first
    while True:
        _round(names[number % len(names)], number, root, told)
        number += 1


def _round(name: str, number: int, root: Path, told: Connection) -> None:
    sound, work = sound_world(name, root / "sound"), root / "work"

    @seed(number)
    @settings(UNMINDFUL, max_examples=ROUND)
    @given(st.data())
    def one(data: st.DataObject) -> None:
        shutil.rmtree(work, ignore_errors=True)
        folder = shutil.copytree(sound, work, symlinks=True) / name
        done = [break_something(data.draw, folder) for _ in range(data.draw(st.integers(1, 3)))]
        told.send((name, number, done, None))
        (work / "out").mkdir()
        found = faults_of(done, WORLDS[name].commands(folder, work / "out"), output=work / "out")
        told.send((name, number, done, [(one.family, one.words, one.how) for one in found]))

    one()


class Tally:
    """What was tried and how it broke."""

    def __init__(self, log: Path | None) -> None:
        self.inputs: Counter[str] = Counter()
        self.families: Counter[str] = Counter()
        self.log = log

    def add(self, family: str, **facts: Any) -> None:
        """Count a breach, and tell the first of its cause."""
        self.families[family] += 1
        if self.families[family] == 1:
            print(f"{family}\n  {facts['done']}\n  {' '.join(facts['words'])}", flush=True)
        if self.log is not None and self.families[family] < 4:
            with self.log.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"family": family, **facts}, default=str) + "\n")


def watch(names: list[str], minutes: float, first: int, tally: Tally) -> int:
    """Have worlds broken until the time is up; returns the number of the next round."""
    root, end, number = Path(tempfile.mkdtemp(prefix="fuzz-")), time.monotonic() + 60 * minutes, first
    while time.monotonic() < end:
        here, there = SPAWN.Pipe(duplex=False)
        child = SPAWN.Process(target=tried, args=(names, root, number, there), daemon=True)
        child.start()
        there.close()
        name, done = "the beginning", list[str]()
        try:
            while time.monotonic() < end:
                if not here.poll(PATIENCE):
                    tally.add(f"{name}: no end in {PATIENCE:.0f} s", number=number, done=done, words=())
                    break
                name, number, done, found = here.recv()
                if found is not None:
                    tally.inputs[name] += 1
                    for family, words, how in found:
                        tally.add(family, name=name, number=number, done=done, words=words, how=how)
        except EOFError:
            tally.add(f"{name}: the process died", number=number, done=done, words=())
        child.kill()
        child.join()
        number += 1
    shutil.rmtree(root, ignore_errors=True)
    return number


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--first", type=int, default=0, help="number of the first round: another tries other inputs")
    parser.add_argument("--world", action="append", choices=sorted(WORLDS), help="only this one, repeatable")
    parser.add_argument("--log", type=Path, help="a file for breaches, a line of JSON each")
    asked = parser.parse_args()
    tally = Tally(asked.log)
    following = watch(asked.world or list(WORLDS), asked.minutes, asked.first, tally)
    tried_by_world = ", ".join(f"{n:,} {name}" for name, n in tally.inputs.items())
    print(f"{tally.inputs.total():,} inputs tried ({tried_by_world}); go on with --first {following}")
    for cause, times in tally.families.most_common():
        print(f"{times:5} {cause}")
    sys.exit(1 if tally.families else 0)

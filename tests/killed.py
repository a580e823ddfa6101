"""Kills ``eval``, ``train`` and ``leaderboard add`` at their n-th change of the disk, and runs each again.

A program of its own, as sabotage.py is, whose faults it uses. The argument is a folder to work in. Prints a JSON line a
kill: the command, where it struck, the exit code of the run after it, and the files that are not an undisturbed run's.
"""

from __future__ import annotations

import importlib
import itertools
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "pipelines"))
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from kill_trials import HEAVY, commands_to_kill, contents
from sabotage import run

STEP = {"eval": 5, "train": 9, "add": 4}
"""How many changes on the next kill comes."""


def kills(name: str, words: Callable[[Path], list[object]], root: Path) -> None:
    """A kill at every `STEP`-th change in turn, and then the command once more."""

    def ran(folder: Path, *, n: int = 0) -> tuple[int, str, str]:
        return run([str(word) for word in words(folder)], folder, kind="kill" if n else "", n=n)

    reference, folder = root / f"{name}-undisturbed", root / f"{name}-killed"
    code, said, _ = ran(reference)
    assert code == 0, said
    wanted = contents(reference)
    for n in itertools.count(1, STEP[name]):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        _, _, struck = ran(folder, n=n)
        if not struck:
            return
        again, said, _ = ran(folder)
        there = contents(folder)
        unlike = sorted(file for file in wanted.keys() | there.keys() if wanted.get(file) != there.get(file))
        print(json.dumps({"command": name, "struck": struck, "again": again, "said": said, "unlike": unlike}))


if __name__ == "__main__":
    for module in HEAVY:
        importlib.import_module(module)
    place = Path(sys.argv[1])
    for command, asked in commands_to_kill(place).items():
        if command in STEP:
            kills(command, asked, place)

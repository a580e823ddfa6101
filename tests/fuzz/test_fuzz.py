"""Whatever of a world is broken, the law of `law` holds. ``run.py`` tries the same for as long as one likes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from breaking import break_something
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from law import Command, faults_of, run
from worlds import WORLDS, sound_world

EXAMPLES = {"coco": 12, "voc": 12, "fss": 12, "folder": 12, "sets": 8, "results": 5, "weights": 4}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sound")


def a_copy(name: str, sound: Path, work: Path) -> tuple[Path, list[Command]]:
    """A sound world of its own, with an empty folder to write to, and the commands that meet it."""
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(sound_world(name, sound), work, symlinks=True)
    (work / "out").mkdir()
    return work / name, WORLDS[name].commands(work / name, work / "out")


@pytest.mark.slow
@pytest.mark.parametrize("name", WORLDS)
def test_a_sound_world_is_accepted_by_every_command(name: str, sound: Path, tmp_path: Path) -> None:
    """Or else nothing that is refused would say anything."""
    _, commands = a_copy(name, sound, tmp_path / "work")
    refused = {" ".join(command.words): ran.err for command in commands if (ran := run(command.words)).code != 0}
    assert refused == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", WORLDS)
def test_whatever_is_broken_is_refused_in_one_line_or_does_no_harm(name: str, sound: Path, tmp_path: Path) -> None:
    @settings(max_examples=EXAMPLES[name], suppress_health_check=list(HealthCheck))
    @given(st.data())
    def holds(data: st.DataObject) -> None:
        folder, commands = a_copy(name, sound, tmp_path / "work")
        done = [break_something(data.draw, folder) for _ in range(data.draw(st.integers(1, 3)))]
        assert faults_of(done, commands, output=tmp_path / "work" / "out") == []

    holds()

"""Options from the environment, several values of one, silence, and what a shell offers at the Tab key."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command import Command

from fssbench.cli import command_line
from fssbench.cli.parser import variables
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet

MANY = [("--shot", "1,2"), ("--shots", "1,2"), ("--shot", "1", "--shot", "2"), ("-k", "1", "--shots", "2,1")]


def shots(ran_out: str) -> list[int]:
    return [one["result"]["episodes"]["shot"] for one in json.loads(ran_out)]


@pytest.mark.parametrize("words", MANY, ids=" ".join)
def test_several_values_may_be_said_either_way(
    words: tuple[str, ...], fssbench: Command, toy_raw: Path, toy_set: EpisodeSet, tmp_path: Path
) -> None:
    """Of an option in the singular or the plural, joined by commas or one by one."""
    asked = ("-m", "copy-support", "-b", "toy", "-d", toy_set.path, "--folds", "0", "-n", 2, "--json")
    assert shots(fssbench("eval", *asked, "-o", tmp_path / "r", *words).out) == [1, 2]
    ran = fssbench("prepare", "toy", "-s", toy_raw, "-o", tmp_path / "s", "-f", 0, "-n", 20, "--json", *words)
    assert [track["shot"] for track in json.loads(ran.out)[0]["tracks"]] == [1, 2]


@pytest.mark.parametrize("name", ["FSSBENCH_EVAL_SHOT", "FSSBENCH_EVAL_SHOTS"])
@pytest.mark.parametrize("value", ["1,2", "1 2"])
def test_several_values_may_come_from_the_environment(
    name: str, value: str, fssbench: Command, toy_set: EpisodeSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("FSSBENCH_EVAL_JSON", "1")
    ran = fssbench(
        "eval", "-m", "copy-support", "-b", "toy", "-d", toy_set.path, "-f", 0, "-n", 2, "-o", tmp_path / "r"
    )
    assert (shots(ran.out), "FSSBENCH" in ran.err) == ([1, 2], False)


def test_a_value_that_is_not_a_number_is_refused_by_the_option_s_name(fssbench: Command, tmp_path: Path) -> None:
    assert (
        "--shots must be integers joined by commas, got '1;5'; as in 1,5"
        in fssbench("compare", "a", "b", "--shot", "1;5").error
    )
    assert "--within must be numbers joined by commas" in fssbench("stability", tmp_path, "--within", "x").error
    assert "--folds must be at least 0, got -1" in fssbench("prepare", "toy", "--fold=-1").error


def test_every_option_is_found_under_its_own_name() -> None:
    """Also where the code calls it otherwise: --json, --format, --set, --list."""
    known = variables(command_line())
    for name in ("EVAL_JSON", "LEADERBOARD_EXPORT_FORMAT", "TRAIN_SET", "TRAIN_LIST", "CHECK_MODEL_DEVICE"):
        assert f"FSSBENCH_{name}" in known
    assert "FSSBENCH_EVAL_AS_JSON" in known, "what was valid stays valid"


def test_a_variable_that_nothing_reads_is_told_with_what_may_have_been_meant(
    fssbench: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FSSBENCH_EVAL_SHOTZ", "FSSBENCH_NONSENSE", "FSSBENCH_TRAIN_HSNET_PASCAL_BATCH", "FSSBENCH_SPLITS"):
        monkeypatch.setenv(name, "1")
    ran = fssbench("list", "protocols")
    assert ran.code == 0
    assert ran.err.splitlines() == [
        "note: FSSBENCH_EVAL_SHOTZ is set, but fssbench reads no such variable; did you mean FSSBENCH_EVAL_SHOT?",
        "note: FSSBENCH_NONSENSE is set, but fssbench reads no such variable",
    ]


@pytest.mark.parametrize("flag", [True, False])
def test_quiet_leaves_outcomes_and_errors(
    flag: bool, fssbench: Command, toy_raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words: tuple[object, ...] = ("prepare", "toy", "-s", toy_raw, "-o", tmp_path, "-f", 0, "-n", 20)
    assert "note: " in fssbench(*words, "--shot", 1).err
    if flag:
        words = (*words[:2], "--quiet", *words[2:])
    else:
        monkeypatch.setenv("FSSBENCH_QUIET", "1")
    ran = fssbench(*words, "--shot", 2)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("extended: ")
    assert "error: " in fssbench("prepare", "toy", "--fold", 9, *(("--quiet",) if flag else ())).err


OFFER = """
import contextlib, io, json, os, sys
from fssbench.cli import main
offered = {}
for line in sys.argv[1:]:
    os.environ |= {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()) as out:
        main()
    offered[line] = out.getvalue().split()
print(json.dumps([offered, "torch" in sys.modules or "pandas" in sys.modules]))
"""


def test_a_shell_is_offered_names_without_loading_anything_heavy(toy_set: EpisodeSet, tmp_path: Path) -> None:
    """Models, benchmarks, folds, protocols, sets, tables and commands; torch takes seconds, and Tab should not."""
    (tmp_path / "episodes").symlink_to(toy_set.path.parents[2])
    inside = tmp_path / "episodes" / toy_set.path.relative_to(toy_set.path.parents[2])
    due = {
        "fssbench prep": ["prepare"],
        "fssbench eval --model h": ["hsnet", "hmfs", "hdmnet"],
        "fssbench eval --benchmark pas": ["pascal"],
        "fssbench train -b fss --fold ": ["0"],
        "fssbench prepare coco --fold ": ["0", "1", "2", "3"],
        "fssbench episodes coco --protocol h": ["hsnet", "hdmnet"],
        "fssbench reproduce hmfs-table5": ["hmfs-table5"],
        f"fssbench show {tmp_path}": [str(inside)],
    }
    environment = os.environ | {"FSSBENCH_HOME": str(tmp_path), "_FSSBENCH_COMPLETE": "complete_bash"}
    ran = subprocess.run([sys.executable, "-c", OFFER, *due], env=environment, capture_output=True, text=True)
    assert (ran.stderr, json.loads(ran.stdout)) == ("", [due, False])


def test_completion_can_be_installed(fssbench: Command) -> None:
    assert "--install-completion" in fssbench("--help").out

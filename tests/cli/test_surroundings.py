"""Whatever a machine is like: no home, another encoding, an output that is closed or full, a scheduler's leftovers."""

from __future__ import annotations

import io
import json
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest
from command import Command

from fssbench.cli import _refuse, main
from fssbench.cli.streams import open_streams
from fssbench.leaderboard.published import published_entries
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.schemas.result import read_result


@pytest.fixture
def no_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A user of a container: no HOME, and no line in the list of users. Returns the working folder."""

    def nobody(_: int) -> None:
        raise KeyError

    for name in ("FSSBENCH_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_folder_whose_name_is_no_text_takes_results(toy_set: EpisodeSet, tmp_path: Path, fssbench: Command) -> None:
    output = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    data = toy_set.path.parents[2]
    ran = fssbench("eval", "-m", "all-foreground", "-b", "toy", "-d", data, "-f", 0, "-n", 2, "-o", output)
    assert ran.code == 0, ran.err
    assert fssbench("score", "--check", output, "-d", data).code == 0
    result = read_result(next(output.rglob("*.json")))
    assert result.command.resolved["output"] == f"{tmp_path}/caf\\xe9"


def test_a_library_that_finds_no_memory_is_no_defect(capsys: pytest.CaptureFixture[str]) -> None:
    assert _refuse(ImportError("libtorch_cpu.so: failed to map segment from shared object")) == 2
    assert capsys.readouterr().err == "error: there is not enough memory; what is finished is kept\n"


def test_without_a_home_all_goes_that_names_its_places(
    fssbench: Command, no_home: Path, toy_raw: Path, toy_set: EpisodeSet
) -> None:
    """And nothing is made in a folder called ~."""
    data = toy_set.path.parents[2]
    for words in (
        ("list",),
        ("list", "--json"),
        ("info",),
        ("prepare", "toy", "-s", toy_raw, "-o", "sets", "-f", 0, "-n", 20),
        ("eval", "-m", "copy-support", "-b", "toy", "-d", data, "-f", 0, "-n", 2, "-o", "r"),
        ("score", "--check", "r", "-d", data),
        ("leaderboard", "build", "r", "-o", "b.json"),
        ("submit", "r", "-d", data, "-o", "s.tar"),
        ("leaderboard", "add", "s.tar", "--to", "more", "-d", data, "-o", "c.json"),
    ):
        ran = fssbench(*words)
        assert ran.code == 0, (words, ran.err)
    assert {path.name for path in no_home.iterdir()} == {"sets", "r", "b.json", "s.tar", "more", "c.json"}


@pytest.mark.parametrize(
    "words", [("eval", "-m", "copy-support", "-b", "toy"), ("prepare", "toy"), ("reproduce", "hsnet-table1")]
)
def test_without_a_home_what_is_looked_up_there_is_refused(
    fssbench: Command, no_home: Path, words: tuple[str, ...]
) -> None:
    ran = fssbench(*words)
    assert ran.code == 2
    assert (
        "this user has no home folder, where places that are not named are looked up; set FSSBENCH_HOME to a folder"
        in ran.error
    )
    assert list(no_home.iterdir()) == []


def printed(encoding: str, *arguments: object, monkeypatch: pytest.MonkeyPatch) -> tuple[object, str]:
    """Exit code and standard output of a command whose output has this encoding, as the parts that tell go."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    sys.stdout.flush()
    return left.value.code, raw.getvalue().decode(encoding)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-8"])
def test_any_encoding_of_the_output_takes_the_leaderboard(
    encoding: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "r").mkdir()
    board = tmp_path / "b.json"
    code, said = printed(encoding, "leaderboard", "build", tmp_path / "r", "-o", board, monkeypatch=monkeypatch)
    assert code == 0
    assert json.loads(board.read_text(encoding="utf-8"))["reported"]
    arrow = "→" if encoding == "utf-8" else "->"
    assert said.splitlines()[-1] == f"0 entries, {len(published_entries())} reported {arrow} {board}"
    assert "\\x" not in said


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_json_stays_json_where_its_characters_cannot_be_printed(
    encoding: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, toy_set: EpisodeSet
) -> None:
    data = tmp_path / "Grün 中"
    data.symlink_to(toy_set.path.parents[2])
    code, said = printed(encoding, "list", "sets", "-d", data, "--json", monkeypatch=monkeypatch)
    assert code == 0
    assert {Path(row["path"]).parents[2].name for row in json.loads(said)["sets"]} == {"Grün 中"}


def test_what_no_encoding_takes_is_told_as_it_is_written_in_code() -> None:
    """Such as a name of bytes that are not text."""
    open_streams()
    assert "\udcff→中".encode("ascii", "fssbench-plain") == b"\\udcff->\\u4e2d"


def shell(command: str) -> subprocess.CompletedProcess[str]:
    """A command line with FSS for ``fssbench``."""
    line = command.replace("FSS", f"{sys.executable} -m fssbench")
    return subprocess.run(["bash", "-c", f"set -o pipefail; {line}"], capture_output=True, text=True)


@pytest.mark.parametrize("words", ["leaderboard show", "list --json"])
@pytest.mark.parametrize("ending", [">&-", "2>&-", "<&- >&- 2>&-", "| head -1", "| true"])
def test_a_stream_that_is_closed_or_not_read_to_its_end_is_nothing_to_speak_of(words: str, ending: str) -> None:
    ran = shell(f"FSS {words} {ending}")
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_an_output_that_is_full_is_told_in_one_line() -> None:
    for words in ("list", "leaderboard show"):
        ran = shell(f"FSS {words} > /dev/full")
        assert ran.returncode == 2
        (line,) = ran.stderr.splitlines()
        assert "No space left on device; fix that" in line
    assert shell("FSS list nonsense 2> /dev/full").returncode == 2


@pytest.mark.parametrize("columns", ["0", "1", "7", "x"])
def test_any_width_of_the_terminal_takes_a_table(
    columns: str, fssbench: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert fssbench("leaderboard", "show").code == 0


@pytest.mark.parametrize(
    ("left", "said"),
    [
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE is 2, but RANK and MASTER_ADDR and MASTER_PORT are not set; start several"),
        ({"WORLD_SIZE": "2", "RANK": "1"}, "MASTER_ADDR and MASTER_PORT are not set; start several processes with"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE must be an integer, the environment has 'two'; start several processes"),
        (
            {"WORLD_SIZE": "2", "RANK": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"},
            "RANK is 2, of 2 processes it must be 0 to 1; start several",
        ),
        (
            {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "x"},
            "the 2 processes cannot find each other: ",
        ),
    ],
)
def test_processes_that_a_scheduler_tells_of_in_part_are_refused(
    left: dict[str, str],
    said: str,
    fssbench: Command,
    toy_set: EpisodeSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in left.items():
        monkeypatch.setenv(name, value)
    ran = fssbench("eval", "-m", "copy-support", "-b", "toy", "-d", toy_set.path, "-f", 0, "-o", tmp_path / "r")
    assert ran.code == 2
    assert said in ran.error
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    "left", [{"WORLD_SIZE": ""}, {"WORLD_SIZE": "1", "RANK": "7"}, {"RANK": "3", "LOCAL_RANK": ""}]
)
def test_what_a_scheduler_left_empty_or_of_one_process_does_not_matter(
    left: dict[str, str], fssbench: Command, toy_set: EpisodeSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in left.items():
        monkeypatch.setenv(name, value)
    words = ("eval", "-m", "copy-support", "-b", "toy", "-d", toy_set.path, "-f", 0, "-n", 2, "-o", tmp_path / "r")
    ran = fssbench(*words)
    assert ran.code == 0, ran.err
    assert "2 episodes" in ran.out


def test_a_folder_that_takes_no_files_is_told(fssbench: Command, toy_set: EpisodeSet, tmp_path: Path) -> None:
    """By a file in the way rather than by permissions, which some users need not obey."""
    (tmp_path / "file").touch()
    output = tmp_path / "file" / "r"
    ran = fssbench("eval", "-m", "copy-support", "-b", "toy", "-d", toy_set.path, "-f", 0, "-n", 2, "-o", output)
    assert ran.code == 2
    assert "part of the path is a file, not a folder; fix that" in ran.error
    ran = fssbench("leaderboard", "build", tmp_path, "-o", tmp_path)
    assert ran.code == 2
    assert "is there already, and this command did not write it; choose another --output" in ran.error
    assert [path.name for path in tmp_path.iterdir()] == ["file"]

"""Whatever happens to ``prepare``, the next run ends with the bytes of an undisturbed one."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Command
from raw_coco import content, file_name, jpeg, write_coco
from raw_voc_fss import fss, png, voc

from fssbench.base.errors import StorageError
from fssbench.episodes.benchmarks import COCO_20I, PASCAL_5I
from fssbench.episodes.protocols import STRICT
from fssbench.pipelines.episode_sets.build_episode_set import build
from fssbench.pipelines.episode_sets.check_episode_set import verify_set
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.episode_sets.plan import Request, plan_folds
from fssbench.pipelines.formats.shards import read_images
from fssbench.pipelines.sources.coco import CocoSource

HERE = Path(__file__).parent
SET = Path("coco-20i/strict/fold0")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All twenty classes of fold 0, with four images each. Not to be changed."""
    return write_coco(tmp_path_factory.mktemp("raw") / "coco", content(COCO_20I.novel_classes(0)))


@pytest.fixture
def own_raw(raw: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return Path(shutil.copytree(raw, tmp_path / "own"))


def asked(raw: Path, *more: object) -> list[str]:
    """The arguments of a small ``prepare`` of one fold."""
    words = ("prepare", "coco", "--source", raw, "--fold", 0, "--episodes", 20, "--min-pixels", 1, "--workers", 1)
    return [str(word) for word in (*words, *more)]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def errors(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("note: ")]


# --- a fault at every moment ----------------------------------------------------------------------------


SITUATIONS: dict[str, tuple[list[str], list[str]]] = {
    "new": ([], []),
    "extended": (["--seeds", "0"], ["--shots", "1,3"]),
    "overwritten": (["--seeds", "4"], ["--overwrite"]),
}
"""What a command meets: the arguments of an earlier run, if any, and its own."""


TRIED = {
    ("new", "kill"): 2,
    ("extended", "kill"): 1,
    ("overwritten", "kill"): 3,
    ("new", "EROFS"): 4,
    ("extended", "ENOSPC"): 5,
    ("overwritten", "ENOSPC"): 5,
}
"""Situation and fault, and how many operations on the next fault comes."""

AT_LENGTH = pytest.param(1, id="at length", marks=pytest.mark.slow)
IN_SMALL = pytest.param(4, id="in small")
"""How many times as many operations on it comes."""

Trial = dict[str, Any]


@pytest.fixture(scope="module")
def trials(
    request: pytest.FixtureRequest, raw: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], list[Trial]]:
    """What sabotage.py saw."""
    plans = []
    for (situation, kind), step in TRIED.items():
        earlier, now = SITUATIONS[situation]
        before = asked(raw, *earlier) if earlier else []
        plans.append({"earlier": before, "command": asked(raw, *now), "kind": kind, "step": step * request.param})
    folder = tmp_path_factory.mktemp("trials")
    command = [sys.executable, str(HERE / "sabotage.py"), str(folder), json.dumps(plans)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    seen = [json.loads(line) for line in ran.stdout.splitlines()]
    return {tried: [trial for trial in seen if trial["number"] == n] for n, tried in enumerate(TRIED)}


def check_whole(trial: Trial, *, extended: bool) -> None:
    """Law: under its final name stands the old set or the new one, if any, with every file it lists."""
    assert trial["halves"] == []
    if extended and "manifest.json coco-20i/strict/fold0/" in trial["struck"]:
        # Lock and manifest cannot be replaced in one step: between the two the set is refused.
        assert any("tracks.parquet: its SHA-256 is" in problem for problem in trial["problems"])
        return
    # Shards that were moved in already do no harm.
    assert all(problem.endswith("not listed in manifest.json") for problem in trial["problems"]), trial


@pytest.mark.parametrize("trials", [AT_LENGTH, IN_SMALL], indirect=True)
@pytest.mark.parametrize("situation", SITUATIONS)
def test_after_a_kill_at_any_operation_the_next_run_gives_the_same_bytes(
    trials: dict[tuple[str, str], list[Trial]], situation: str
) -> None:
    """SIGKILL of a real process before the n-th opening, write, fsync, renaming, making or removing."""
    killed = trials[situation, "kill"]
    assert len(killed) >= 3
    assert {trial["code"] for trial in killed} == {-signal.SIGKILL}
    for trial in killed:
        check_whole(trial, extended=situation == "extended")
        assert trial["again"] == 0, trial["said_again"]
        assert trial["same"], trial


@pytest.mark.parametrize("trials", [AT_LENGTH], indirect=True)
def test_every_kind_of_operation_was_met_with_a_kill(trials: dict[tuple[str, str], list[Trial]]) -> None:
    """And more than fifty moments."""
    killed = [trial["struck"] for (_, kind), tried in trials.items() if kind == "kill" for trial in tried]
    assert len(killed) > 50
    kinds = {"open", "write", "os.fsync", "os.rename", "os.mkdir", "os.remove", "os.rmdir"}
    assert {struck.split()[0] for struck in killed} == kinds
    assert {"manifest.json", "tracks.parquet"} < {
        Path(struck.split()[2]).name for struck in killed if struck.startswith("os.rename")
    }


@pytest.mark.parametrize("trials", [AT_LENGTH, IN_SMALL], indirect=True)
@pytest.mark.parametrize(
    ("situation", "kind", "reason"),
    [
        ("new", "EROFS", "the file system is read-only"),
        ("extended", "ENOSPC", "the disk is full"),
        ("overwritten", "ENOSPC", "the disk is full"),
    ],
)
def test_a_disk_that_refuses_is_said_so_in_one_line_and_the_next_run_completes(
    trials: dict[tuple[str, str], list[Trial]], situation: str, kind: str, reason: str
) -> None:
    """From the n-th operation on the disk is full, or read-only, until the next run."""
    refused = trials[situation, kind]
    assert len(refused) >= 2
    for trial in refused:
        check_whole(trial, extended=situation == "extended")
        assert trial["same"], trial
        # The old set's files are removed when the new set is complete: what cannot be removed then can wait.
        if trial["code"] != 0:
            assert trial["code"] == 2, trial
            (line,) = errors(trial["said"])
            assert f": {reason}; fix that and run the same command again" in line
        else:
            assert trial["struck"].startswith(("os.remove", "os.rmdir"))


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
from fssbench.cli import main
main(sys.argv[2:])
"""


def test_a_limit_of_the_systems_own_is_said_so(raw: Path, tmp_path: Path, fssbench: Command) -> None:
    """No simulation: the kernel refuses to let a shard grow beyond 20,000 bytes."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    output = tmp_path / "sets"
    command = [sys.executable, "-c", LIMITED, "20000", *asked(raw, "--output", output)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 2
    (line,) = errors(ran.stderr)
    assert "images-000000.tar.partial: the file size limit is reached; fix that" in line
    assert contents(output) == {}
    assert fssbench(*asked(raw, "--output", output)).code == 0
    assert fssbench(*asked(raw, "--output", tmp_path / "undisturbed")).code == 0
    assert contents(output) == contents(tmp_path / "undisturbed")


# --- several runs at once -------------------------------------------------------------------------------


SLOW = """
import sys, time
from pathlib import Path
from fssbench.cli import main
from fssbench.pipelines.episode_sets import build_episode_set
write = build_episode_set.write_images
def waiting(*asked):
    while Path(sys.argv[1]).exists():
        time.sleep(0.01)
    return write(*asked)
build_episode_set.write_images = waiting
main(sys.argv[2:])
"""


def test_of_several_runs_at_once_one_builds_and_the_others_say_so(raw: Path, tmp_path: Path, fssbench: Command) -> None:
    """Also the third: that one was refused takes nothing from the one that builds."""
    output, brake = tmp_path / "sets", tmp_path / "brake"
    brake.touch()
    command = [sys.executable, "-c", SLOW, str(brake), *asked(raw, "--output", output)]
    building = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 300
        while not (output / SET.parent / "fold0.partial").exists():
            assert time.monotonic() < deadline
            assert building.poll() is None, building.communicate()
            time.sleep(0.01)
        for _ in range(3):
            ran = fssbench(*asked(raw, "--output", output))
            assert ran.code == 2
            assert "another run is building" in ran.error
            assert ran.error.endswith("; wait for it to end")
    finally:
        brake.unlink()
        _, said = building.communicate()
    assert building.returncode == 0, said
    assert fssbench(*asked(raw, "--output", output)).out.startswith("up to date: ")
    assert fssbench(*asked(raw, "--output", tmp_path / "alone")).code == 0
    assert contents(output) == contents(tmp_path / "alone")


TOGETHER = """
import importlib, os, sys
from fssbench.cli import main
PIPELINES = "fssbench.pipelines"
for name in ("datasets", "webdataset", f"{PIPELINES}.sources.coco", f"{PIPELINES}.episode_sets.build_episode_set"):
    importlib.import_module(name)
for number, shots in enumerate(sys.argv[2].split(";")):
    if os.fork() == 0:
        os.dup2(os.open(f"{sys.argv[1]}/{number}", os.O_WRONLY | os.O_CREAT), 2)
        main([*sys.argv[3:], "--shots", shots])
codes = dict(os.wait() for _ in sys.argv[2].split(";"))
print(*(os.waitstatus_to_exitcode(codes[child]) for child in sorted(codes)))
"""


@pytest.mark.slow
def test_runs_started_together_end_with_one_whole_set(raw: Path, tmp_path: Path) -> None:
    """Each builds, finds the set finished, or says that another run is at it; none replaces another's work."""
    output, said = tmp_path / "sets", tmp_path / "said"
    said.mkdir()
    shots = ("1", "1,3", "3", "1")
    command = [sys.executable, "-c", TOGETHER, str(said), ";".join(shots), *asked(raw, "--output", output)]
    ran = subprocess.run(command, capture_output=True, text=True)
    codes = [int(code) for code in ran.stdout.splitlines()[-1].split()]
    done = {shot for asked_for, code in zip(shots, codes, strict=True) if code == 0 for shot in asked_for.split(",")}
    assert done
    for number, code in enumerate(codes):
        if code:
            assert code == 2
            (line,) = errors((said / str(number)).read_text())
            assert "another run" in line
    assert verify_set(output / SET).problems == []
    assert {str(track.shot) for track in EpisodeSet.open(output / SET).manifest.tracks} >= done
    assert [path.name for path in (output / SET).parent.iterdir()] == ["fold0"]


def test_a_set_that_another_run_finished_meanwhile_is_not_replaced(
    raw: Path, tmp_path: Path, fssbench: Command
) -> None:
    """Both found nothing there when they planned."""
    source, request = (
        CocoSource(raw),
        Request(benchmark=COCO_20I, protocol=STRICT, folds=(0,), shots=(3,), episodes=20, min_pixels=1),
    )
    (slow,) = plan_folds(source, request, tmp_path)
    assert fssbench(*asked(raw, "--output", tmp_path)).code == 0
    with pytest.raises(StorageError, match="was changed by another run meanwhile; run the command again"):
        build(slow, source)
    assert [track.shot for track in EpisodeSet.open(tmp_path / SET).manifest.tracks] == [1]


@pytest.mark.parametrize("name", ["fold0.replaced.partial/old.tar", "fold0.partial/plan.json", ".fold0.lock"])
def test_what_a_killed_run_left_of_no_use_is_removed(raw: Path, tmp_path: Path, fssbench: Command, name: str) -> None:
    """Also where the set is up to date and nothing is built."""
    assert fssbench(*asked(raw, "--output", tmp_path)).code == 0
    before = contents(tmp_path)
    left = tmp_path / SET.parent / name
    left.parent.mkdir(exist_ok=True)
    left.write_text("{}")
    assert fssbench(*asked(raw, "--output", tmp_path)).out.startswith("up to date: ")
    assert contents(tmp_path) == before


# --- a source that changes ------------------------------------------------------------------------------


def test_an_image_that_changed_stops_an_extension(own_raw: Path, tmp_path: Path, fssbench: Command) -> None:
    """Between 1-shot and 3-shot an image file becomes another of the same size; annotations stay."""
    output = tmp_path / "sets"
    assert fssbench(*asked(own_raw, "--output", output)).code == 0
    before = contents(output)
    image_id = EpisodeSet.open(output / SET).tracks["1shot-seed0"].episodes[0].query
    path = own_raw / "val2014" / file_name(int(image_id))
    original = path.read_bytes()
    path.write_bytes(jpeg(seed=1_000))
    ran = fssbench(*asked(own_raw, "--output", output, "--shots", "1,3"))
    assert ran.code == 2
    assert f"1 image files are not those that {output / SET} was built from: {image_id}; restore" in ran.error
    assert contents(output) == before
    path.write_bytes(original)
    assert fssbench(*asked(own_raw, "--output", output, "--shots", "1,3")).out.startswith("extended: ")
    path.write_bytes(jpeg(seed=1_000))
    assert fssbench(*asked(own_raw, "--output", output, "--shots", "1,3", "--overwrite")).code == 0
    assert fssbench(*asked(own_raw, "--output", tmp_path / "fresh", "--shots", "1,3")).code == 0
    assert contents(output) == contents(tmp_path / "fresh")


def test_an_image_that_changed_is_noticed_when_an_interrupted_run_goes_on(
    own_raw: Path, tmp_path: Path, fssbench: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its shard is written again, with a note; the set is the one of the images as they are now."""
    import fssbench.pipelines.episode_sets.build_episode_set as module

    monkeypatch.setitem(module.build.__kwdefaults__ or {}, "images_per_shard", 10)
    output = tmp_path / "sets"
    assert fssbench(*asked(own_raw, "--output", tmp_path / "first")).code == 0
    manifest = EpisodeSet.open(tmp_path / "first" / SET).manifest
    shards = [
        [sample.meta.image_id for sample in read_images(tmp_path / "first" / SET, record)]
        for record in manifest.shards
        if record.kind == "images"
    ]
    last = own_raw / "val2014" / file_name(int(shards[-1][-1]))
    original = last.read_bytes()
    last.write_bytes(b"")
    assert "is not a JPEG" in fssbench(*asked(own_raw, "--output", output)).error
    last.write_bytes(original)
    partial = output / SET.parent / "fold0.partial"
    stamps = {path.name: path.stat().st_mtime_ns for path in partial.glob("images-*.tar")}
    assert len(stamps) >= 3
    changed = shards[1][4]
    (own_raw / "val2014" / file_name(int(changed))).write_bytes(jpeg(seed=1_000))
    ran = fssbench(*asked(own_raw, "--output", output))
    assert ran.code == 0
    assert (
        f"note: fold 0: images-000001.tar of an interrupted run is written again: image {changed} has changed since"
        in ran.err
    )
    kept = {name for name, stamp in stamps.items() if (output / SET / name).stat().st_mtime_ns == stamp}
    assert kept == stamps.keys() - {"images-000001.tar"}
    assert fssbench(*asked(own_raw, "--output", tmp_path / "fresh")).code == 0
    assert contents(output) == contents(tmp_path / "fresh")


def test_a_finished_shard_that_the_disk_damaged_is_written_again(
    own_raw: Path, tmp_path: Path, fssbench: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fssbench.pipelines.episode_sets.build_episode_set as module

    monkeypatch.setitem(module.build.__kwdefaults__ or {}, "images_per_shard", 10)
    path = own_raw / "val2014" / file_name(80)
    original = path.read_bytes()
    path.write_bytes(b"")
    assert fssbench(*asked(own_raw, "--output", tmp_path / "sets", "--episodes", 80)).code == 2
    path.write_bytes(original)
    shard = tmp_path / "sets" / SET.parent / "fold0.partial/images-000000.tar"
    shard.write_bytes(shard.read_bytes()[:5_000])
    ran = fssbench(*asked(own_raw, "--output", tmp_path / "sets", "--episodes", 80))
    assert ran.code == 0
    assert "note: fold 0: images-000000.tar of an interrupted run is written again: images-000000.tar" in ran.err
    assert verify_set(tmp_path / "sets" / SET).problems == []


def test_masks_that_changed_are_another_source(tmp_path: Path, fssbench: Command) -> None:
    """VOC's masks and FSS-1000's images and masks are in the fingerprint."""
    masks = {f"2007_{n:06d}": np.full((24, 32), 1 + n % 5, np.uint8) for n in range(20)}
    source = voc(tmp_path / "voc", masks)
    command = ["prepare", "pascal", "--source", source, "--output", tmp_path / "sets", "--fold", 0]
    command += ["--episodes", 10, "--min-pixels", 1]
    assert PASCAL_5I.novel_classes(0) == (0, 1, 2, 3, 4)
    assert fssbench(*command).code == 0
    png(source / "SegmentationClassAug/2007_000000.png", np.full((24, 32), 2, np.uint8), mode="P")
    assert "was built with another source" in fssbench(*command, "--shots", "1,2").error


# --- names and folders ----------------------------------------------------------------------------------


def test_names_with_spaces_apostrophes_and_other_alphabets(
    tmp_path: Path, fssbench: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``abe's_flyingfish`` is a class of FSS-1000; folders may be called anything."""
    monkeypatch.chdir(tmp_path)
    names = ["abe's_flyingfish", "big ben", "крест", "a.b.c", '"quoted" 100%']
    source = fss(tmp_path / "raw 'data' für FSS", names)
    target = tmp_path / "my sets/épisodes & [co] #1%20"
    command = ["prepare", "fss", "--source", source, "--output", target, "--episodes", 20, "--min-pixels", 1]
    assert fssbench(*command, "--allow-missing-classes").code == 0
    assert fssbench(*command, "--allow-missing-classes", "--shots", "1,5").out.startswith("extended: ")
    assert fssbench("verify", target).code == 0
    path = target / "fss-1000/strict/fold0"
    ids = {image_id for e in EpisodeSet.open(path).tracks["5shot-seed0"].episodes for image_id in e.supports}
    assert {image_id.split("/")[0] for image_id in ids} == set(names)
    shown = fssbench("info", path).out
    assert all(name in shown for name in names)
    assert fssbench("show", path, "--class", "abe's_flyingfish", "-o", "bilder ü/it's.png").code == 0
    assert (tmp_path / "bilder ü/it's.png").is_file()
    results = tmp_path / "it's results"
    ran = fssbench("eval", "-m", "copy-support", "-b", "fss", "-d", target, "-n", 20, "-o", results)
    assert ran.code == 0, ran.err


def test_what_is_no_set_is_not_replaced_unasked(raw: Path, tmp_path: Path, fssbench: Command) -> None:
    """A folder of the user's own where the set would go stays, unless --overwrite is given."""
    path = tmp_path / SET
    (tmp_path / "empty" / SET).mkdir(parents=True)
    assert fssbench(*asked(raw, "--output", tmp_path / "empty")).code == 0
    path.mkdir(parents=True)
    (path / "notes.txt").write_text("mine")
    ran = fssbench(*asked(raw, "--output", tmp_path))
    assert ran.code == 2
    assert f"{path} is in the way: it is not an episode set, it has no manifest.json; move it away" in ran.error
    assert (path / "notes.txt").read_text() == "mine"
    assert fssbench(*asked(raw, "--output", tmp_path, "--overwrite")).code == 0
    assert verify_set(path).problems == []

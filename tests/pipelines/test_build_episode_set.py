"""Building sets: the same bytes every time, nothing lost, nothing half-written under its final name."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from raw_coco import content, file_name, write_coco

from fssbench.base.errors import EpisodeSetError, PoolError, SourceError, StorageError, UsageError
from fssbench.base.locking import exclusive
from fssbench.episodes.benchmarks import COCO_20I
from fssbench.episodes.protocols import STRICT
from fssbench.pipelines.episode_sets.build_episode_set import Built, build
from fssbench.pipelines.episode_sets.check_episode_set import verify_set
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.episode_sets.plan import Request, draw_one, plan_folds
from fssbench.pipelines.formats import shards
from fssbench.pipelines.sources.coco import CocoSource


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """All twenty classes of fold 0, with four images each."""
    return write_coco(tmp_path / "coco", content(COCO_20I.novel_classes(0)))


def request(**changes: Any) -> Request:
    asked: dict[str, Any] = {"folds": (0,), "episodes": 40, "min_pixels": 1, **changes}
    return Request(benchmark=COCO_20I, protocol=STRICT, **asked)


def prepare(raw: Path, output: Path, *, overwrite: bool = False, workers: int = 1, **changes: Any) -> Built:
    source = CocoSource(raw)
    (plan,) = plan_folds(source, request(**changes), output, overwrite=overwrite)
    return build(plan, source, workers=workers, images_per_shard=25)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def leftovers(folder: Path) -> list[str]:
    return [str(p.relative_to(folder)) for p in sorted(folder.rglob("*")) if p.is_file()]


# --- the same bytes -------------------------------------------------------------------------------------


def test_a_set_is_the_same_bytes_with_any_number_of_workers_and_at_any_time(raw: Path, tmp_path: Path) -> None:
    prepare(raw, tmp_path / "one", workers=1)
    for file in raw.rglob("*.jpg"):
        os.utime(file, (0, 0))
    prepare(raw, tmp_path / "many", workers=5)
    assert len(contents(tmp_path / "one")) > 5
    assert contents(tmp_path / "one") == contents(tmp_path / "many")


def test_members_carry_no_time_owner_or_name_of_this_machine(raw: Path, tmp_path: Path) -> None:
    built = prepare(raw, tmp_path)
    for record in built.manifest.shards:
        with tarfile.open(built.path / record.name) as tar:
            for member in tar:
                assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")


def test_images_go_in_as_they_came(raw: Path, tmp_path: Path) -> None:
    built = prepare(raw, tmp_path)
    for record in EpisodeSet.open(built.path).shards("images"):
        for sample in shards.read_images(built.path, record):
            assert sample.jpeg == (raw / "val2014" / file_name(int(sample.meta.image_id))).read_bytes()


def test_shards_are_class_major_and_an_image_stands_once_for_its_class(raw: Path, tmp_path: Path) -> None:
    built = prepare(raw, tmp_path, shots=(1, 3))
    episode_set = EpisodeSet.open(built.path)
    samples = [s for record in episode_set.shards("images") for s in shards.read_images(built.path, record)]
    order = [(s.meta.class_id, s.meta.image_id) for s in samples]
    assert order == sorted(set(order))
    episodes = [
        e for r in episode_set.shards("episodes", track="3shot-seed0") for e in shards.read_episodes(built.path, r)
    ]
    assert [(e.class_id, e.index) for e in episodes] == sorted((e.class_id, e.index) for e in episodes)


def test_no_json_in_a_set_holds_a_time_or_a_path_of_this_machine(raw: Path, tmp_path: Path) -> None:
    built = prepare(raw, tmp_path / "sets")
    text = (built.path / "manifest.json").read_text()
    assert str(tmp_path) not in text
    assert "date" not in text


# --- again, more, other ---------------------------------------------------------------------------------


def test_a_finished_set_is_left_alone(raw: Path, tmp_path: Path) -> None:
    built = prepare(raw, tmp_path)
    before = {p: p.stat().st_mtime_ns for p in built.path.iterdir()}
    assert prepare(raw, tmp_path).outcome == "up to date"
    assert {p: p.stat().st_mtime_ns for p in built.path.iterdir()} == before


def test_a_later_track_adds_shards_and_rewrites_none(raw: Path, tmp_path: Path) -> None:
    first = prepare(raw, tmp_path, episodes=20)
    before = contents(first.path)
    second = prepare(raw, tmp_path, episodes=20, shots=(1, 3))
    after = contents(second.path)
    assert second.outcome == "extended"
    assert {n for n in before if n.endswith(".tar")} < {n for n in after if n.endswith(".tar")}
    assert all(after[name] == data for name, data in before.items() if name.endswith(".tar"))
    assert second.manifest.tracks[0] == first.manifest.tracks[0]
    assert verify_set(second.path).problems == []


def test_a_track_of_another_length_is_not_replaced_unasked(raw: Path, tmp_path: Path) -> None:
    prepare(raw, tmp_path, episodes=20)
    with pytest.raises(EpisodeSetError, match=r"has 20 1-shot episodes of seed 0, not the 40 asked for; .*--overwrite"):
        prepare(raw, tmp_path, episodes=40)
    built = prepare(raw, tmp_path, episodes=40, overwrite=True)
    assert built.manifest.tracks[0].episodes == 40
    assert verify_set(built.path).problems == []


def test_a_set_of_other_data_is_not_extended(raw: Path, tmp_path: Path) -> None:
    prepare(raw, tmp_path / "sets")
    with pytest.raises(EpisodeSetError, match="built with another protocol"):
        prepare(raw, tmp_path / "sets", min_pixels=2)
    annotations = raw / "annotations" / "instances_val2014.json"
    annotations.write_text(annotations.read_text() + " ")
    with pytest.raises(
        EpisodeSetError, match=r"built with another source .* choose another --output, or pass --overwrite"
    ):
        prepare(raw, tmp_path / "sets")


def test_an_overwritten_set_is_the_set_built_in_an_empty_folder(raw: Path, tmp_path: Path) -> None:
    prepare(raw, tmp_path / "a", episodes=20, shots=(1, 2))
    prepare(raw, tmp_path / "a", overwrite=True)
    prepare(raw, tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


# --- what is refused, before anything is written --------------------------------------------------------


def test_classes_with_too_few_images_are_all_listed(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(
        PoolError,
        match=r"20 classes have fewer than the 6 images .* fold 0: person \(4\), .*scissors \(4\); add images",
    ):
        prepare(raw, tmp_path / "sets", shots=(1, 5))
    assert not (tmp_path / "sets").exists()


def test_classes_of_all_folds_are_listed_at_once(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(PoolError, match=r"60 classes have fewer .*fold 1: bicycle \(0\).*fold 3: motorcycle \(0\)"):
        plan_folds(CocoSource(raw), request(folds=(0, 1, 2, 3)), tmp_path)


def test_missing_classes_may_be_left_out_and_are_recorded(tmp_path: Path) -> None:
    raw = write_coco(tmp_path / "coco", content((0, 4, 8)))
    built = prepare(raw, tmp_path / "sets", allow_missing_classes=True)
    (track,) = built.manifest.tracks
    assert track.absent_classes == COCO_20I.novel_classes(0)[3:]
    assert "17 of 20 classes are absent for want of images" in track.unofficial
    assert {e.class_id for e in EpisodeSet.open(built.path).tracks["1shot-seed0"].episodes} == {0, 4, 8}
    assert verify_set(built.path).problems == []
    with pytest.raises(PoolError, match="17 classes have fewer"):  # who does not allow it does not get it
        prepare(raw, tmp_path / "sets")


def test_not_even_missing_classes_allow_a_fold_without_any(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(PoolError, match="fold 1 has no class with the 2 images"):
        prepare(raw, tmp_path, folds=(1,), allow_missing_classes=True)


def test_missing_image_files_are_counted_and_named(raw: Path, tmp_path: Path) -> None:
    for n in (1, 2):
        (raw / "val2014" / file_name(n)).unlink()
    with pytest.raises(SourceError, match=r"2 of the \d+ image files needed are missing: 000000000001, 000000000002;"):
        prepare(raw, tmp_path / "sets", episodes=80)
    assert not (tmp_path / "sets").exists()


def test_a_fold_that_does_not_exist_is_refused(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="COCO-20i has no fold 4; folds are 0 to 3"):
        prepare(raw, tmp_path, folds=(4,))


@pytest.mark.parametrize("fault", [b"", b"\xff\xd8\xff", b"<html>not found</html>"])
def test_a_damaged_image_is_named_and_leaves_nothing(raw: Path, tmp_path: Path, fault: bytes) -> None:
    (raw / "val2014" / file_name(3)).write_bytes(fault)
    source = CocoSource(raw)
    (plan,) = plan_folds(source, request(), tmp_path / "sets")
    with pytest.raises(SourceError, match=r"000000000003.jpg is (not a JPEG|damaged)"):
        build(plan, source)
    assert leftovers(tmp_path / "sets") == []


def test_what_was_finished_before_a_damaged_image_is_kept_and_used(raw: Path, tmp_path: Path) -> None:
    """The next run, with the image mended, writes only the shards that were not complete."""
    path = raw / "val2014" / file_name(80)
    whole = path.read_bytes()
    path.write_bytes(whole[:200])
    with pytest.raises(SourceError, match="000000000080"):
        prepare(raw, tmp_path / "sets")
    kept = leftovers(tmp_path / "sets")
    assert any(name.endswith("fold0.partial/images-000000.tar") for name in kept)
    assert not any(name.endswith("manifest.json") for name in kept)
    stamp = (tmp_path / "sets/coco-20i/strict/fold0.partial/images-000000.tar").stat().st_mtime_ns
    path.write_bytes(whole)
    built = prepare(raw, tmp_path / "sets")
    assert (built.path / "images-000000.tar").stat().st_mtime_ns == stamp
    prepare(raw, tmp_path / "fresh")
    assert contents(tmp_path / "sets") == contents(tmp_path / "fresh")


def test_shards_of_another_plan_are_not_taken_over(raw: Path, tmp_path: Path) -> None:
    (raw / "val2014" / file_name(80)).rename(raw / "aside.jpg")
    (raw / "val2014" / file_name(80)).write_bytes(b"")
    with pytest.raises(SourceError):
        prepare(raw, tmp_path / "sets")
    (raw / "aside.jpg").replace(raw / "val2014" / file_name(80))
    prepare(raw, tmp_path / "sets", seeds=(3,))
    prepare(raw, tmp_path / "fresh", seeds=(3,))
    assert contents(tmp_path / "sets") == contents(tmp_path / "fresh")


# --- the disk and the kill ------------------------------------------------------------------------------


def test_a_full_disk_is_said_so_and_leaves_no_set(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match=r"cannot write .*: the disk is full; .*run the same command again"):
            prepare(raw, tmp_path / "sets")
    assert leftovers(tmp_path / "sets") == []
    assert prepare(raw, tmp_path / "sets").outcome == "built"


def test_a_folder_that_cannot_be_written_is_said_so(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "sets").write_text("a file where a folder must go")
    with pytest.raises(StorageError, match=r"cannot write .*: (part of the path is a file|a file is in the way)"):
        prepare(raw, tmp_path / "sets")


def test_two_runs_do_not_write_the_same_set(raw: Path, tmp_path: Path) -> None:
    source = CocoSource(raw)
    (plan,) = plan_folds(source, request(), tmp_path / "sets")
    with (
        exclusive(plan.path),
        pytest.raises(StorageError, match=r"another run is building .*fold0 \(it holds .*lock\); wait"),
    ):
        build(plan, source)


def test_a_plan_that_another_run_overtook_is_refused(raw: Path, tmp_path: Path) -> None:
    source = CocoSource(raw)
    prepare(raw, tmp_path, episodes=20)
    (slow,) = plan_folds(source, request(episodes=20, shots=(1, 3)), tmp_path)
    prepare(raw, tmp_path, episodes=20, shots=(1, 2))
    with pytest.raises(StorageError, match="was changed by another run meanwhile; run the command again"):
        build(slow, source)


KILLED = """
import sys
from pathlib import Path
from fssbench.cli import main
from fssbench.pipelines.sources.coco import CocoSource
read = CocoSource.read
def slow(self, image_id, class_id):
    import time
    time.sleep(0.05)
    return read(self, image_id, class_id)
CocoSource.read = slow
import fssbench.pipelines.episode_sets.build_episode_set as prepare
prepare.build.__kwdefaults__["images_per_shard"] = 10
main(sys.argv[1:])
"""


def test_a_killed_prepare_leaves_no_set_and_the_next_run_completes_it(raw: Path, tmp_path: Path) -> None:
    """SIGKILL in the middle of writing shards: what was complete is taken over, the rest is written."""
    arguments = ["prepare", "coco", "--source", str(raw), "--output", str(tmp_path / "sets"), "--fold", "0"]
    arguments += ["--episodes", "40", "--min-pixels", "1", "--workers", "1"]
    running = subprocess.Popen(
        [sys.executable, "-c", KILLED, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    partial = tmp_path / "sets/coco-20i/strict/fold0.partial"
    deadline = time.monotonic() + 300
    while not (partial / "images-000001.tar").exists():
        assert time.monotonic() < deadline, "no shard was ever written"
        assert running.poll() is None, running.communicate()
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    assert not (tmp_path / "sets/coco-20i/strict/fold0").exists()
    stamp = (partial / "images-000000.tar").stat().st_mtime_ns
    source = CocoSource(raw)
    (plan,) = plan_folds(source, request(), tmp_path / "sets")
    built = build(plan, source, images_per_shard=10)
    assert (built.path / "images-000000.tar").stat().st_mtime_ns == stamp
    assert verify_set(built.path).problems == []
    assert not partial.exists()


def test_a_kill_while_an_extension_is_moved_in_is_finished_by_the_next_run(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(raw, tmp_path / "sets", episodes=20)
    replaced: list[Path] = []
    replace = Path.replace

    def killed(self: Path, target: Path) -> Path:
        if self.parent.name.endswith(".partial") and target.parent.name == "fold0":
            replaced.append(target)
            if len(replaced) == 3:
                raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            prepare(raw, tmp_path / "sets", episodes=20, shots=(1, 3))
    built = prepare(raw, tmp_path / "sets", episodes=20, shots=(1, 3))
    assert built.outcome == "up to date"
    assert verify_set(built.path).problems == []
    assert not built.path.with_name("fold0.partial").exists()


# --- episodes without a set -----------------------------------------------------------------------------


def test_a_track_drawn_alone_is_the_track_of_the_set(raw: Path, tmp_path: Path) -> None:
    """Drawing needs annotations only: with every image gone the digest is the same."""
    built = prepare(raw, tmp_path, shots=(3,), seeds=(5,))
    shutil.rmtree(raw / "val2014")
    track, record = draw_one(CocoSource(raw), request(shots=(3,), seeds=(5,)))
    there = built.manifest.tracks[0]
    assert record == there.model_copy(update={"truth_digest": None})  # which takes the images
    assert track.digest == record.digest


def test_the_lock_opens_as_a_hugging_face_dataset(raw: Path, tmp_path: Path) -> None:
    import datasets

    built = prepare(raw, tmp_path / "sets", shots=(1, 3))
    lock = datasets.Dataset.from_parquet(str(built.path / "tracks.parquet"), cache_dir=str(tmp_path / "cache"))
    assert isinstance(lock, datasets.Dataset)
    assert lock.column_names == ["seed", "shot", "index", "class_id", "query", "supports", "truth"]
    three = [row for row in lock if row["shot"] == 3]
    track = EpisodeSet.open(built.path).tracks["3shot-seed0"]
    assert [(r["class_id"], r["query"], *r["supports"]) for r in three] == [
        (e.class_id, e.query, *e.supports) for e in track.episodes
    ]


def test_the_manifest_is_readable_json(raw: Path, tmp_path: Path) -> None:
    built = prepare(raw, tmp_path)
    stored = json.loads((built.path / "manifest.json").read_text())
    assert stored["benchmark"] == "coco-20i"
    assert stored["protocol"] == {
        "name": "strict",
        "version": 1,
        "min_pixels": 1,
        "lists": "pools",
        "loader_workers": None,
    }
    assert stored["classes"][0]["name"] == "person"
    assert stored["unofficial"] == [
        "val2014 has 40,504 images, this annotation file 80",
        "images need 1 mask pixels, the protocol's need 2,048",
    ]

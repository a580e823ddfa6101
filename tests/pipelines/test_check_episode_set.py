"""Whatever is changed in a set, `verify` says so, names the file, and goes on to the rest."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fssbench.base.errors import EpisodeSetError
from fssbench.base.files import sha256_bytes
from fssbench.pipelines.episode_sets.check_episode_set import verify_set
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.episode_sets.stream import as_frame, stream
from fssbench.pipelines.formats import locks, masks, shards

Member = tuple[tarfile.TarInfo, bytes]


@pytest.fixture
def copy(toy_set: EpisodeSet, tmp_path: Path) -> Path:
    """A set to damage."""
    return Path(shutil.copytree(toy_set.path, tmp_path / "set"))


def problems(path: Path) -> str:
    return "\n".join(verify_set(path).problems)


def read_all(path: Path) -> None:
    """Stream the set to its end, as an evaluation does."""
    for _ in stream(EpisodeSet.open(path), shot=2, seed=0, transform=as_frame):
        pass


def members(path: Path) -> list[Member]:
    with tarfile.open(path) as tar:
        return [(info, file.read()) for info in tar if (file := tar.extractfile(info))]


def rewrite(path: Path, changed: list[Member]) -> None:
    """Write a shard with other members and let the manifest agree with its new hash."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for info, data in changed:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    pin(path, buffer.getvalue())


def pin(path: Path, data: bytes) -> None:
    """Replace a file and let the manifest agree: what a careless or malicious hand could do."""
    path.write_bytes(data)
    manifest = json.loads((path.parent / "manifest.json").read_text())
    for record in (manifest["lock"], *manifest["shards"]):
        if record["name"] == path.name:
            record |= {"sha256": sha256_bytes(data), "bytes": len(data)}
    (path.parent / "manifest.json").write_text(json.dumps(manifest))


def edit_json(path: Path, key: str, change: Callable[[dict[str, object]], object]) -> None:
    """Change the JSON of one sample."""

    def edited(info: tarfile.TarInfo, data: bytes) -> bytes:
        if info.name != f"{key}.json":
            return data
        value = json.loads(data)
        change(value)
        return json.dumps(value).encode()

    rewrite(path, [(info, edited(info, data)) for info, data in members(path)])


def blank(height: int, width: int) -> dict[str, object]:
    return dict(masks.encode(np.zeros((height, width), bool)))


def test_a_sound_set_has_no_problems_and_is_drawn_again(toy_set: EpisodeSet) -> None:
    verdict = verify_set(toy_set.path)
    assert verdict.problems == []
    assert verdict.episodes == 80
    assert verdict.files == len(toy_set.manifest.shards) + 1
    read_all(toy_set.path)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.data())
def test_no_byte_of_any_shard_can_be_flipped_unnoticed(
    toy_set: EpisodeSet, tmp_path: Path, data: st.DataObject
) -> None:
    copy = tmp_path / "flipped"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(toy_set.path, copy)
    name = data.draw(st.sampled_from([s.name for s in toy_set.manifest.shards] + ["tracks.parquet"]))
    content = bytearray((copy / name).read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    (copy / name).write_bytes(content)
    assert f"{name}: its SHA-256 is" in problems(copy)


@pytest.mark.parametrize("name", ["images-000001.tar", "episodes-2shot-seed0-000000.tar", "tracks.parquet"])
def test_a_flipped_byte_stops_reading_with_the_files_name(copy: Path, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(EpisodeSetError, match=rf"{name} is damaged: its SHA-256 is"):
        read_all(copy)


def test_a_shard_cut_at_a_member_boundary_is_noticed(copy: Path) -> None:
    """Such a file reads as a complete tar file with fewer samples."""
    path = copy / "images-000001.tar"
    with tarfile.open(path) as tar:
        boundary = tar.getmembers()[-2].offset
    path.write_bytes(path.read_bytes()[:boundary])
    found = problems(copy)
    assert "images-000001.tar: has " in found
    assert "images-000001.tar: has 29 samples, the manifest says 30" in found
    with pytest.raises(EpisodeSetError, match=r"images-000001.tar has .* bytes, the manifest says"):
        read_all(copy)


def test_a_cut_shard_is_noticed_even_if_the_manifest_was_made_to_agree(copy: Path) -> None:
    path = copy / "images-000001.tar"
    rewrite(path, members(path)[:-2])
    assert "images-000001.tar: has 29 samples, the manifest says 30" in problems(copy)
    with pytest.raises(EpisodeSetError, match=r"images-000001\.tar has 29 samples, the manifest says 30"):
        read_all(copy)


def test_everything_wrong_is_listed_not_the_first_thing(copy: Path) -> None:
    (copy / "images-000000.tar").unlink()
    (copy / "episodes-1shot-seed0-000000.tar").write_bytes(b"")
    (copy / "stray.txt").write_text("?")
    found = problems(copy)
    assert "images-000000.tar: cannot be read (No such file or directory)" in found
    assert "episodes-1shot-seed0-000000.tar: has 0 bytes" in found
    assert "stray.txt: not listed in manifest.json" in found
    assert "names i0000029, which no image shard has" in found
    assert "1shot-seed0: 40 episodes of the lock are in no shard, the first is 0" in found


def test_a_manifest_that_is_missing_or_no_manifest_is_said_so(copy: Path) -> None:
    (copy / "manifest.json").write_text('{"schema_version": 1}')
    assert "manifest.json is damaged: benchmark: Field required" in problems(copy)
    (copy / "manifest.json").unlink()
    assert "is not an episode set: it has no manifest.json" in problems(copy)


def test_a_manifest_of_another_fold_or_benchmark_is_noticed(copy: Path) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | {"fold": 1}))
    assert "its classes are not the novel classes of fold 1" in problems(copy)
    (copy / "manifest.json").write_text(json.dumps(manifest | {"benchmark": "ade"}))
    assert "there is no benchmark 'ade'" in problems(copy)


def test_a_lock_of_other_episodes_is_noticed(copy: Path) -> None:
    tracks = EpisodeSet.open(copy).tracks
    one, two = tracks["1shot-seed0"], tracks["2shot-seed0"]
    pin(copy / "tracks.parquet", locks.to_bytes([one.first(39), two]))
    found = problems(copy)
    assert "tracks.parquet: 1shot-seed0 has 39 episodes, the manifest says 40" in found
    assert "tracks.parquet: the digest of 1shot-seed0 is" in found
    with pytest.raises(EpisodeSetError, match="track 1shot-seed0 is not the one the manifest pins"):
        _ = EpisodeSet.open(copy).tracks
    pin(copy / "tracks.parquet", locks.to_bytes([two]))
    assert "track 1shot-seed0 is in the manifest but not in the lock" in problems(copy)
    pin(copy / "tracks.parquet", b"PAR1 not")
    assert "is not a lock of episodes" in problems(copy)


def test_shards_and_lock_must_tell_the_same_episodes(copy: Path) -> None:
    path = copy / "episodes-2shot-seed0-000000.tar"
    edit_json(path, "e0000005", lambda e: e.update(supports=list(reversed(e["supports"]))))  # type: ignore[call-overload]
    assert "episodes-2shot-seed0-000000.tar: episode 5 is (" in problems(copy)
    with pytest.raises(EpisodeSetError, match=r"episode 5 is .* in the shards, the lock says"):
        read_all(copy)


def test_an_image_that_is_not_there_is_noticed(copy: Path) -> None:
    path = copy / "episodes-2shot-seed0-000000.tar"
    edit_json(path, "e0000005", lambda e: e.update(query="i9999999"))
    assert "episode 5 names i9999999, which no image shard has" in problems(copy)
    with pytest.raises(EpisodeSetError, match="no image shard has i9999999"):
        read_all(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(height=m["height"] + 1), "pixels, its annotation says"),
        (lambda m: m.update(class_id=1), "class 1 is not a class of this fold"),
        (lambda m: m.update(mask=blank(m["height"], m["width"])), "its mask has 0 pixels, fewer than"),
        (lambda m: m.update(mask={"size": m["mask"]["size"], "counts": "4"}), "a mask's runs cover 4 pixels"),
        (lambda m: m.update(mask={"size": [2, 2], "counts": "04"}), "its mask has size [2, 2], the image"),
        (lambda m: m.update(ignore={"size": [2, 2], "counts": "04"}), "its ignore region has size [2, 2]"),
        (lambda m: m.update(orientation=6), "has EXIF orientation 1, its sample says 6"),
        (lambda m: m.pop("image_id"), "image i0000003 is malformed: image_id: Field required"),
        (lambda m: m.update(image_id="000000000999"), "the lock says"),
    ],
)
def test_a_changed_image_sample_is_noticed(
    copy: Path, change: Callable[[dict[str, object]], object], message: str
) -> None:
    edit_json(copy / "images-000000.tar", "i0000003", change)
    assert message in problems(copy)


def test_a_cut_jpeg_is_noticed(copy: Path) -> None:
    path = copy / "images-000000.tar"
    rewrite(path, [(info, data[:-100] if info.name == "i0000003.jpg" else data) for info, data in members(path)])
    assert "image i0000003" in problems(copy)
    assert "is damaged: image file is truncated" in problems(copy)


def test_samples_torn_apart_are_noticed(copy: Path) -> None:
    """WebDataset would make two samples of members that do not stand together, and merge two of one key."""
    path = copy / "images-000000.tar"
    first, *rest = members(path)
    rewrite(path, [*rest, first])
    assert "image i0000000 is malformed: it has no" in problems(copy)
    with pytest.raises(EpisodeSetError, match="image i0000000 is malformed"):
        read_all(copy)
    rewrite(path, [first, *rest, *[(info, data) for info, data in (first, rest[0])]])
    assert "sample i0000000 stands in two places" in problems(copy)


def test_an_image_no_episode_uses_is_noticed(copy: Path) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["tracks"] = [t for t in manifest["tracks"] if t["shot"] == 1]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    assert "images are used by no episode" in problems(copy)


def test_an_episode_that_shows_the_query_as_support_is_noticed(copy: Path) -> None:
    episode_set = EpisodeSet.open(copy)
    sample = next(
        s
        for record in episode_set.shards("episodes", track="1shot-seed0")
        for s in shards.read_episodes(copy, record)
        if s.index == 7
    )
    edit_json(copy / "episodes-1shot-seed0-000000.tar", "e0000007", lambda e: e.update(supports=[sample.query]))
    assert "episode 7" in problems(copy)


def test_a_track_that_the_protocol_would_not_draw_is_noticed(copy: Path, toy_set: EpisodeSet) -> None:
    """With lock, shards and manifest all made to agree, drawing again still tells."""
    manifest = json.loads((copy / "manifest.json").read_text())
    used: dict[int, set[str]] = {}
    for track in toy_set.tracks.values():
        for e in track.episodes:
            used.setdefault(e.class_id, set()).update((e.query, *e.supports))
    for pool in manifest["classes"]:  # pretend that the pools are what the set holds
        ids = sorted(used[pool["id"]])
        pool |= {"images": len(ids), "sha256": sha256_bytes("".join(f"{i}\n" for i in ids).encode())}
    (copy / "manifest.json").write_text(json.dumps(manifest))
    assert "drawn again from the set's own images it is another track" in problems(copy)

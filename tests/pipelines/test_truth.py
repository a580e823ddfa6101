"""The truth digest: the same for the same masks and images, whatever else differs, and another for any others."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from raw_coco import content, file_name, write_coco

from fssbench.api.prepare import prepare
from fssbench.base.errors import EpisodeSetError
from fssbench.episodes.benchmarks import COCO_20I
from fssbench.episodes.protocols import STRICT
from fssbench.pipelines.episode_sets.build_episode_set import build
from fssbench.pipelines.episode_sets.check_episode_set import verify_set
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.episode_sets.plan import Request, plan_folds
from fssbench.pipelines.formats import locks
from fssbench.pipelines.formats.shards import read_images
from fssbench.pipelines.sources.coco import CocoSource
from fssbench.schemas.samples import ImageSample


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """All twenty classes of fold 0, with four images each."""
    return write_coco(tmp_path / "coco", content(COCO_20I.novel_classes(0)))


def built(raw: Path, output: Path, *, per_shard: int = 25, **changes: Any) -> EpisodeSet:
    source = CocoSource(raw)
    asked: dict[str, Any] = {"folds": (0,), "episodes": 40, "min_pixels": 1, **changes}
    (plan,) = plan_folds(source, Request(benchmark=COCO_20I, protocol=STRICT, **asked), output)
    return EpisodeSet.open(build(plan, source, images_per_shard=per_shard).path)


def digests(episode_set: EpisodeSet) -> dict[str, str | None]:
    return {track.label: track.truth_digest for track in episode_set.manifest.tracks}


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def by_hand(episode_set: EpisodeSet, name: str, n: int) -> str:
    """The digest of a track's first ``n`` episodes, word by word as the specification has it."""
    samples: dict[tuple[int, str], ImageSample] = {}
    for shard in episode_set.shards("images"):
        for one in read_images(episode_set.path, shard):
            samples[one.meta.class_id, one.meta.image_id] = one

    def image(class_id: int, image_id: str) -> str:
        one = samples[class_id, image_id]
        ignore = one.meta.ignore["counts"] if one.meta.ignore else "-"
        file = hashlib.sha256(one.jpeg).hexdigest()
        return sha(
            f"{file}\t{one.meta.orientation}\t{one.meta.height}\t{one.meta.width}\t{one.meta.mask['counts']}\t{ignore}\n"
        )

    text = ""
    for episode in episode_set.tracks[name].episodes[:n]:
        c = episode.class_id
        images = "\t".join(f"{i}\t{image(c, i)}" for i in (episode.query, *episode.supports))
        text += sha(f"{c}\t{images}\n") + "\n"
    return sha(text)


def test_it_is_what_the_specification_says_of_a_track_and_of_its_first_episodes(raw: Path, tmp_path: Path) -> None:
    found = built(raw, tmp_path, shots=(1, 3))
    for name, digest in digests(found).items():
        track = found.tracks[name]
        assert digest == found.truth_digest(track) == by_hand(found, name, 40)
        assert found.truth_digest(track.first(7)) == by_hand(found, name, 7)


def test_it_depends_neither_on_shards_nor_on_other_tracks(raw: Path, tmp_path: Path) -> None:
    alone = digests(built(raw, tmp_path / "alone"))
    assert digests(built(raw, tmp_path / "small", per_shard=7)) == alone
    first = built(raw, tmp_path / "extended", shots=(3,))
    both = digests(built(raw, tmp_path / "extended", shots=(1, 3)))
    assert both == alone | digests(first)


def test_one_byte_of_one_image_makes_another(raw: Path, tmp_path: Path) -> None:
    before = built(raw, tmp_path / "before")
    support = before.tracks["1shot-seed0"].episodes[5].supports[0]
    file = raw / "val2014" / file_name(int(support))
    file.write_bytes(file.read_bytes() + b"\0")
    after = built(raw, tmp_path / "after")
    assert after.manifest.tracks[0].digest == before.manifest.tracks[0].digest
    assert digests(after) != digests(before)


def test_every_way_to_treat_crowds_is_another(toy_raw: Path, tmp_path: Path) -> None:
    found = {}
    for crowds in ("exclude", "paint", "ignore"):
        (one,) = prepare("toy", source=toy_raw, folds=[1], episodes=20, crowds=crowds, output=tmp_path / crowds)
        found[crowds] = one.manifest.tracks[0]
    assert len({track.digest for track in found.values()}) == 1
    assert len({track.truth_digest for track in found.values()}) == 3


# --- sets of old, which do not say ----------------------------------------------------------------------


def aged(episode_set: EpisodeSet) -> EpisodeSet:
    """The set as it was written before there were truth digests."""
    lock = episode_set.path / "tracks.parquet"
    lock.write_bytes(locks.to_bytes(list(episode_set.tracks.values())))
    stored = json.loads((episode_set.path / "manifest.json").read_text())
    for track in stored["tracks"]:
        del track["truth_digest"]
    stored["lock"] |= {"sha256": hashlib.sha256(lock.read_bytes()).hexdigest(), "bytes": lock.stat().st_size}
    (episode_set.path / "manifest.json").write_text(json.dumps(stored))
    return EpisodeSet.open(episode_set.path)


def test_a_set_of_old_is_sound_and_its_truth_is_computed(raw: Path, tmp_path: Path) -> None:
    new = built(raw, tmp_path)
    told = digests(new)
    old = aged(new)
    assert digests(old) == {"1shot-seed0": None}
    assert verify_set(old.path).problems == []
    assert old.truth_digest(old.tracks["1shot-seed0"]) == told["1shot-seed0"]


def test_a_set_of_old_that_is_extended_says_it_of_all_tracks(raw: Path, tmp_path: Path) -> None:
    there = digests(built(raw, tmp_path / "new", shots=(1, 3)))
    aged(built(raw, tmp_path / "old"))
    assert digests(built(raw, tmp_path / "old", shots=(1, 3))) == there


# --- sets that lie --------------------------------------------------------------------------------------


def repinned(episode_set: EpisodeSet, **changes: object) -> Path:
    """The set with another entry of its first track in the manifest."""
    path = episode_set.path / "manifest.json"
    stored = json.loads(path.read_text())
    stored["tracks"][0] |= changes
    path.write_text(json.dumps(stored))
    return episode_set.path


def test_a_manifest_that_states_another_is_refused_and_named(raw: Path, tmp_path: Path) -> None:
    path = repinned(built(raw, tmp_path), truth_digest="0" * 64)
    (problem,) = verify_set(path).problems
    assert problem.startswith("tracks.parquet: the truth digest of 1shot-seed0 is ")
    assert problem.endswith(f"the manifest says {'0' * 64}")
    lying = EpisodeSet.open(path)
    with pytest.raises(EpisodeSetError, match="the truth of track 1shot-seed0 is not the one the manifest pins"):
        lying.truth_digest(lying.tracks["1shot-seed0"])


def test_a_lock_that_pins_other_masks_is_named(raw: Path, tmp_path: Path) -> None:
    found = built(raw, tmp_path)
    truths = list(found._truths["1shot-seed0"])
    truths[3], truths[9] = truths[9], truths[3]
    data = locks.to_bytes(list(found.tracks.values()), {"1shot-seed0": truths})
    (found.path / "tracks.parquet").write_bytes(data)
    path = repinned(found, truth_digest=sha("".join(f"{one}\n" for one in truths)))
    stored = json.loads((path / "manifest.json").read_text())
    stored["lock"] |= {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (path / "manifest.json").write_text(json.dumps(stored))
    assert verify_set(path).problems == [
        "1shot-seed0: masks or images of 2 episodes are not those that the lock pins, the first is 3"
    ]

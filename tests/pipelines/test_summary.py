"""The summary of a set: counted by hand, and held to what the set's own images and episodes say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command import Command
from hypothesis import given
from hypothesis import strategies as st

from fssbench.base.errors import EpisodeSetError
from fssbench.episodes.episodes import Episode, Track
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.episode_sets.stream import as_frame, stream
from fssbench.pipelines.episode_sets.summary import ImageFacts, SetSummary, image_facts, summarise, summarise_set
from fssbench.schemas.manifest import ClassPool


def pool(class_id: int, images: int) -> ClassPool:
    return ClassPool(id=class_id, name=f"class {class_id}", images=images, sha256="0" * 64)


def track(*episodes: tuple[int, str], seed: int = 0) -> Track:
    """Episodes of a class, with the query and then the supports as one letter each."""
    drawn = tuple(Episode(class_id, images[0], tuple(images[1:])) for class_id, images in episodes)
    return Track(benchmark="toy-20i", protocol="", fold=0, shot=len(drawn[0].supports), seed=seed, episodes=drawn)


def facts(share: float, *, n_classes: int | None = 1, ignored: int = 0) -> ImageFacts:
    return ImageFacts(pixels=1_000, object_pixels=int(1_000 * share), ignored_pixels=ignored, n_classes=n_classes)


KNOWN = {
    (3, "a"): facts(0.05, n_classes=2),
    (3, "b"): facts(0.10),
    (3, "c"): facts(0.30, ignored=50),
    (3, "d"): facts(0.40),
    (7, "a"): facts(0.60, n_classes=2),
    (7, "e"): facts(0.20, n_classes=4),
    (7, "z"): facts(0.99),
}


def counted() -> SetSummary:
    tracks = {
        "2shot-seed0": track((3, "abc"), (3, "abb"), (7, "aea")),
        "2shot-seed1": track((3, "dab"), (7, "eaa"), seed=1),
    }
    return summarise([pool(3, 9), pool(7, 5), pool(8, 1)], tracks, KNOWN)


def test_a_class_is_counted_as_by_hand() -> None:
    one = counted().classes[0]
    assert (one.id, one.name, one.eligible) == (3, "class 3", 9)
    assert one.episodes == {"2shot-seed0": 2, "2shot-seed1": 1}
    assert (one.images, one.queries, one.supports) == (4, 2, 3)  # abcd, ad, abc
    assert one.reused_supports == 1  # b, in three episodes; twice in one of them counts once
    assert one.repeated_supports == 1  # bb
    assert one.object_share == pytest.approx((0.0875, 0.2, 0.325))
    assert (one.small, one.alone) == (1, 3)  # a share of exactly 10 % is large
    assert one.ignored_share == 50 / 4_000


def test_a_class_without_episodes_has_no_sizes() -> None:
    one = counted().classes[2]
    assert (one.eligible, one.images, one.object_share, one.ignored_share) == (1, 0, None, 0)


def test_the_total_counts_an_image_once_a_class_and_the_different_images_once() -> None:
    summary = counted()
    assert summary.total.eligible == 15
    assert summary.total.episodes == {"2shot-seed0": 3, "2shot-seed1": 2}
    assert summary.total.images == 6
    assert summary.total.repeated_supports == 2
    assert summary.different_images == 5  # a serves both
    assert summary.classes_in_image == {1: 3, 2: 1, 4: 1}


def test_what_the_data_does_not_say_is_not_made_up() -> None:
    summary = summarise([pool(3, 9)], {"1shot-seed0": track((3, "ab"))}, KNOWN | {(3, "b"): facts(0.2, n_classes=None)})
    assert summary.classes_in_image is None
    assert summary.classes[0].alone is None


def test_an_image_that_no_shard_has_is_named() -> None:
    with pytest.raises(EpisodeSetError, match="no image shard has y of class 3, which an episode uses; prepare"):
        summarise([pool(3, 9)], {"1shot-seed0": track((3, "ay"))}, KNOWN)


PAIRS = st.sampled_from([(c, q + s) for c, ids in ((3, "abcd"), (7, "aez")) for q in ids for s in ids])


@given(st.lists(PAIRS, min_size=1, max_size=12))
def test_what_can_be_added_adds_up(episodes: list[tuple[int, str]]) -> None:
    """Law: the total is the sum of the classes in everything that is a number of pairs or episodes."""
    summary = summarise([pool(3, 9), pool(7, 5)], {"1shot-seed0": track(*episodes)}, KNOWN)
    for name in ("eligible", "images", "queries", "supports", "reused_supports", "repeated_supports", "small"):
        assert getattr(summary.total, name) == sum(getattr(one, name) for one in summary.classes)
    assert summary.classes_in_image is not None
    assert sum(summary.classes_in_image.values()) == summary.different_images <= summary.total.images


def test_a_set_is_summarised_as_its_decoded_images_say(toy_set: EpisodeSet) -> None:
    """Every figure that pixels decide, against masks decoded frame by frame."""
    seen = {}
    for shot in (1, 2):
        for episode in stream(toy_set, shot=shot, seed=0, transform=as_frame):
            for frame in (episode.query, *episode.supports):
                seen[frame.class_id, frame.image_id] = frame
    read: list[int] = []
    summary = summarise_set(toy_set, advance=read.append)
    assert sum(read) == sum(shard.bytes for shard in toy_set.shards("images"))
    assert summary.total.images == len(seen) == toy_set.manifest.n_images
    assert summary.different_images == len({image_id for _, image_id in seen})
    for one in summary.classes:
        frames = [frame for (class_id, _), frame in seen.items() if class_id == one.id]
        shares = [frame.mask.mean() for frame in frames]
        assert one.object_share == pytest.approx(np.percentile(shares, [25, 50, 75]))
        assert one.small == sum(share < 0.1 for share in shares)
        assert one.alone == sum(frame.n_classes == 1 for frame in frames)
        assert one.episodes == {"1shot-seed0": 2, "2shot-seed0": 2}


# --- the command ----------------------------------------------------------------------------------------


def test_info_shows_what_the_summary_says(fssbench: Command, toy_set: EpisodeSet) -> None:
    facts, shown = fssbench("info", toy_set.path).out.split("Episodes", 1)
    assert "red disc (8 images)" in facts
    summary = summarise_set(toy_set)
    for one in (*summary.classes, summary.total):
        name = "all " if one is summary.total else f"{one.id} {one.name} "
        rows = [line.split() for line in shown.splitlines() if line.strip().startswith(name)]
        numbers = [one.eligible, 40 if one is summary.total else 2, 40 if one is summary.total else 2]
        numbers += [one.queries, one.supports, one.reused_supports, one.repeated_supports]
        episodes, images = rows
        assert episodes[-len(numbers) :] == [str(n) for n in numbers]
        assert one.object_share is not None
        assert one.alone is not None
        shares = [*one.object_share, one.small / one.images, one.alone / one.images, one.ignored_share]
        assert images[-7:] == [str(one.images), *(f"{100 * share:.1f}" for share in shares)]
    assert f"{summary.different_images} different images" in shown


def test_info_as_json_is_the_manifest_and_the_summary(fssbench: Command, toy_set: EpisodeSet) -> None:
    found = json.loads(fssbench("info", toy_set.path, "--json").out)
    summary = found.pop("summary")
    assert found == toy_set.manifest.model_dump(mode="json")
    assert [one["name"] for one in summary["classes"]] == [one.name for one in toy_set.manifest.classes]
    assert summary["total"]["images"] == toy_set.manifest.n_images
    brief = json.loads(fssbench("info", toy_set.path, "--json", "--brief").out)
    assert brief == found


def test_info_of_a_damaged_set_says_what_the_manifest_does_and_what_is_wrong(
    fssbench: Command, toy_set: EpisodeSet, tmp_path: Path
) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(toy_set.path, copy)
    (copy / "images-000001.tar").write_bytes(b"")
    ran = fssbench("info", copy)
    assert ran.code == 2
    assert "red disc (8 images)" in ran.out
    assert "images-000001.tar has 0 bytes, the manifest says" in ran.error
    assert fssbench("info", copy, "--brief").code == 0


def test_facts_are_those_of_every_sample(toy_set: EpisodeSet) -> None:
    found = image_facts(toy_set)
    assert len(found) == toy_set.manifest.n_images
    assert all(0 < one.object_pixels < one.pixels and one.ignored_pixels == 0 for one in found.values())

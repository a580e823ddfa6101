"""Streaming: the plan's order, the right pixels, and every frame decoded once."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fssbench.base.errors import EpisodeSetError, UsageError
from fssbench.episodes.benchmarks import TOY_20I
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.episode_sets.stream import Frame, as_frame, stream
from fssbench.pipelines.formats import images, masks
from fssbench.pipelines.formats.lookahead import Lookahead
from fssbench.pipelines.sources import open_source
from fssbench.schemas.samples import EpisodeSample


def test_every_episode_comes_once_in_the_order_of_the_plan(toy_set: EpisodeSet) -> None:
    """Classes ascending, and within a class by index; each is the lock's episode of that index."""
    track = toy_set.tracks["2shot-seed0"]
    streamed = list(stream(toy_set, shot=2, seed=0, transform=as_frame))
    assert [(s.episode.class_id, s.index) for s in streamed] == sorted(
        (e.class_id, i) for i, e in enumerate(track.episodes)
    )
    for s in streamed:
        assert s.episode == track.episodes[s.index]
        assert s.query.image_id == s.episode.query
        assert tuple(f.image_id for f in s.supports) == s.episode.supports


def test_pixels_and_masks_are_the_sources(toy_set: EpisodeSet, toy_raw: Path) -> None:
    source = open_source(TOY_20I, toy_raw)
    for s in stream(toy_set, shot=1, seed=0, transform=as_frame, episodes=10):
        with Image.open(toy_raw / "val2014" / f"COCO_val2014_{s.query.image_id}.jpg") as image:
            assert (np.asarray(image.convert("RGB")) == s.query.image).all()
        assert (masks.decode(source.read(s.query.image_id, s.query.class_id).mask) == s.query.mask).all()
        assert s.query.ignore is None


def test_episodes_share_the_frames_of_an_image(toy_set: EpisodeSet) -> None:
    """Each image is decoded once for its class, and everyone who uses it gets the same object."""
    decoded: Counter[str] = Counter()

    def remember(frame: Frame) -> Frame:
        decoded[frame.key] += 1
        return frame

    seen: dict[str, Frame] = {}
    uses = 0
    for s in stream(toy_set, shot=2, seed=0, transform=remember):
        for frame in (s.query, *s.supports):
            uses += 1
            assert seen.setdefault(frame.key, frame) is frame
    assert set(decoded.values()) == {1}
    assert uses == 120 > len(decoded)


@pytest.mark.parametrize(("workers", "resident"), [(1, 1 << 30), (7, 1 << 30), (2, 1)])
def test_neither_threads_nor_memory_change_what_is_streamed(toy_set: EpisodeSet, workers: int, resident: int) -> None:
    def what(workers: int, resident: int) -> list[tuple[int, bytes, tuple[bytes, ...]]]:
        return [
            (s.index, s.query.image.tobytes(), tuple(f.mask.tobytes() for f in s.supports))
            for s in stream(toy_set, shot=2, seed=0, transform=as_frame, workers=workers, resident=resident)
        ]

    assert what(workers, resident) == what(4, 1 << 20)


def test_the_first_episodes_are_a_part_of_all(toy_set: EpisodeSet) -> None:
    few = {s.index: s.episode for s in stream(toy_set, shot=1, seed=0, transform=as_frame, episodes=7)}
    assert few == dict(enumerate(toy_set.tracks["1shot-seed0"].episodes[:7]))
    with pytest.raises(UsageError, match="41 episodes were asked of a track of 40"):
        list(stream(toy_set, shot=1, seed=0, transform=as_frame, episodes=41))


def test_an_order_of_ones_own_changes_the_order_alone(toy_set: EpisodeSet) -> None:
    """Within a class episodes come as they were put; classes stay in the order of the plan."""

    def backwards(samples: list[EpisodeSample]) -> list[EpisodeSample]:
        return samples[::-1]

    plan = list(stream(toy_set, shot=1, seed=0, transform=as_frame))
    turned = list(stream(toy_set, shot=1, seed=0, transform=as_frame, arrange=backwards))
    assert [s.index for s in turned] == [s.index for s in sorted(plan, key=lambda s: (s.episode.class_id, -s.index))]
    pixels = {s.index: s.query.image.tobytes() for s in plan}
    assert all(s.query.image.tobytes() == pixels[s.index] for s in turned)


def test_a_track_that_is_not_there_is_refused_with_those_that_are(toy_set: EpisodeSet) -> None:
    with pytest.raises(EpisodeSetError, match="has no 5-shot track of seed 0, it has 1-shot seed 0, 2-shot seed 0"):
        list(stream(toy_set, shot=5, seed=0, transform=as_frame))


def test_an_error_while_decoding_reaches_the_caller(toy_set: EpisodeSet) -> None:
    def fail(frame: Frame) -> Frame:
        raise ValueError(f"no {frame.key}")

    with pytest.raises(ValueError, match="no i00"):
        list(stream(toy_set, shot=1, seed=0, transform=fail))


def test_a_caller_may_stop_early(toy_set: EpisodeSet) -> None:
    streamed = stream(toy_set, shot=1, seed=0, transform=as_frame)
    assert next(streamed).index == 0
    streamed.close()  # type: ignore[attr-defined]


def test_a_decoded_image_must_have_the_size_of_its_mask(toy_set: EpisodeSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "decode", lambda *_, **__: np.zeros((3, 3, 3), np.uint8))
    with pytest.raises(EpisodeSetError, match="decodes to 3×3 pixels, its mask has"):
        list(stream(toy_set, shot=1, seed=0, transform=as_frame))


# --- looking ahead --------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 9), max_size=60), st.integers(1, 12), st.integers(0, 8))
def test_looking_ahead_gives_every_value_in_order_whatever_it_may_hold(
    keys: list[int], capacity: int, ahead: int
) -> None:
    made: Counter[int] = Counter()

    def make(key: int) -> int:
        made[key] += 1
        return key * key

    with ThreadPoolExecutor(2) as executor:
        upcoming = Lookahead(keys, make, executor=executor, capacity=capacity, ahead=ahead)
        assert [upcoming.take() for _ in keys] == [key * key for key in keys]
    if capacity >= len(set(keys)):
        assert all(times == 1 for times in made.values())


@given(st.lists(st.integers(0, 6), min_size=1, max_size=40), st.integers(1, 15), st.booleans())
def test_nothing_is_held_longer_or_more_of_it_than_allowed(keys: list[int], capacity: int, sized: bool) -> None:
    """What is held comes again, and its sizes fit, unless it is the one thing there is."""

    def size(key: int) -> int:
        return key + 1 if sized else 1

    with ThreadPoolExecutor(1) as executor:
        upcoming = Lookahead(keys, str, executor=executor, capacity=capacity, ahead=2, size=size)
        for place, key in enumerate(keys):
            assert upcoming.take() == str(key)
            held = [key for key, _ in upcoming._held.sizes()]
            assert sum(map(size, held)) <= capacity or len(held) == 1
            assert set(held) <= set(keys[place + 1 :])


def test_what_is_needed_furthest_in_the_future_is_dropped_first() -> None:
    """With room for two, 1 (next used at once) stays and 2 (used last) is made again."""
    made: list[int] = []
    with ThreadPoolExecutor(1) as executor:
        upcoming = Lookahead([1, 2, 3, 1, 2], made.append, executor=executor, capacity=2, ahead=0)
        for _ in range(5):
            upcoming.take()
    assert made == [1, 2, 3, 2]

"""A track from Python: by index, in order, as tensors and as a WebDataset stream, always the same episodes."""

from __future__ import annotations

import gc
import pickle
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset
from torch.utils.data import DataLoader

import fssbench
from fssbench import LoadedEpisode, LoadedTrack
from fssbench.base.errors import EpisodeIndexError, EpisodeSetError, UsageError
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.episode_sets.stream import Frame, stream
from fssbench.pipelines.formats.shards import read_episodes, read_images


@pytest.fixture(params=[1, 2], ids=["1-shot", "2-shot"])
def track(toy_set: EpisodeSet, request: pytest.FixtureRequest) -> LoadedTrack:
    return fssbench.load("toy", data=toy_set.path, fold=0, shot=request.param)


def same_frame(a: Frame, b: Frame) -> bool:
    ignores = np.array_equal(a.ignore if a.ignore is not None else 0, b.ignore if b.ignore is not None else 0)
    return (
        (a.key, a.image_id) == (b.key, b.image_id)
        and ignores
        and all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("image", "mask"))
    )


def same_episode(a: LoadedEpisode, b: LoadedEpisode) -> bool:
    pairs = zip((a.query, *a.supports), (b.query, *b.supports), strict=True)
    return (a.index, a.class_id, a.class_name) == (b.index, b.class_id, b.class_name) and all(
        same_frame(*pair) for pair in pairs
    )


def test_a_track_says_what_it_is(track: LoadedTrack, toy_set: EpisodeSet) -> None:
    record = toy_set.record(shot=track.shot, seed=0)
    assert len(track) == record.episodes == 40
    assert track.digest == record.digest
    assert (track.benchmark.name, track.protocol, track.fold, track.seed) == ("toy-20i", "strict", 0, 0)
    assert track.classes == {pool.id: pool.name for pool in toy_set.manifest.classes}
    assert f"40 {track.shot}-shot episodes, seed 0, digest {record.digest[:12]}…" in repr(track)


def test_an_episode_has_its_images_as_arrays(track: LoadedTrack) -> None:
    episode = track[17]
    assert episode.index == 17
    assert episode.class_name == track.classes[episode.class_id]
    assert len(episode.supports) == track.shot
    for frame in (episode.query, *episode.supports):
        assert frame.image.dtype == np.uint8
        assert frame.image.shape == (*frame.mask.shape, 3)
        assert frame.mask.dtype == bool
        assert frame.mask.any()


def test_going_through_a_track_gives_what_asking_for_each_gives(track: LoadedTrack) -> None:
    gone_through = list(track)
    assert [episode.index for episode in gone_through] == list(range(40))
    assert all(same_episode(episode, track[episode.index]) for episode in gone_through)
    assert same_episode(track[-1], gone_through[-1])


def test_the_engine_streams_the_same_episodes(track: LoadedTrack, toy_set: EpisodeSet) -> None:
    streamed = list(stream(toy_set, shot=track.shot, seed=0, transform=lambda frame: frame))
    assert sorted(item.index for item in streamed) == list(range(40))
    for item in streamed:
        given = LoadedEpisode(
            item.index, item.episode.class_id, track.classes[item.episode.class_id], item.query, item.supports
        )
        assert same_episode(given, track[item.index])


def test_a_track_is_cut_to_its_first_episodes(track: LoadedTrack) -> None:
    first = track.first(7)
    assert [episode.index for episode in first] == list(range(7))
    assert first.digest == track.track.first(7).digest != track.digest
    with pytest.raises(UsageError, match="41 episodes were asked of a track of 40"):
        track.first(41)


@pytest.mark.parametrize("index", [40, -41, 10**9])
def test_an_episode_that_is_not_there_is_refused_as_an_index(track: LoadedTrack, index: int) -> None:
    with pytest.raises(IndexError, match=f"the track has 40 episodes, and episode {index} was asked for"):
        track[index]
    assert issubclass(EpisodeIndexError, fssbench.FssbenchError)


def test_a_track_survives_a_pickle(track: LoadedTrack) -> None:
    assert same_episode(pickle.loads(pickle.dumps(track))[3], track[3])


# --- what is wrong is said before it is used ---


@pytest.fixture
def copied(toy_set: EpisodeSet, tmp_path: Path) -> Path:
    shutil.copytree(toy_set.path, tmp_path / "set")
    return tmp_path / "set"


def test_a_damaged_shard_is_refused_when_it_is_first_needed(copied: Path) -> None:
    track = fssbench.load("toy", data=copied)
    shard = copied / track.episode_set.shards("images")[0].name
    data = bytearray(shard.read_bytes())
    data[5000] ^= 1
    shard.write_bytes(data)
    with pytest.raises(EpisodeSetError, match=r"images-000000\.tar is damaged"):
        list(track)


def test_a_shard_that_changes_while_it_is_read_is_noticed(copied: Path) -> None:
    track = fssbench.load("toy", data=copied)
    track.images.check()
    for record in track.episode_set.shards("images"):
        shard = copied / record.name
        shard.write_bytes(bytes(byte ^ 1 for byte in shard.read_bytes()))
    with pytest.raises(EpisodeSetError, match="has changed while it was in use"):
        track[0]


def test_shards_that_hold_other_episodes_than_the_lock_are_refused(toy_set: EpisodeSet) -> None:
    track = fssbench.load("toy", data=toy_set.path)
    one, other = track.samples[0], track.samples[1]
    track.samples = [one.model_copy(update={"query": other.query}), *track.samples[1:]]
    with pytest.raises(EpisodeSetError, match=r"episode 0 is .* in the shards"):
        track[0]


def test_what_cannot_be_loaded_is_refused(toy_set: EpisodeSet, tmp_path: Path) -> None:
    for asked, message in (
        ({"benchmark": "cocoa"}, "there is no benchmark 'cocoa'"),
        ({"benchmark": "toy", "fold": 4}, "Toy-20i has no fold 4"),
        ({"benchmark": "toy", "protocol": "loose"}, "there is no protocol 'loose'"),
        ({"benchmark": "toy", "shot": 3}, "has no 3-shot track of seed 0, it has 1-shot seed 0"),
        ({"benchmark": "toy", "data": tmp_path}, "there is no episode set"),
    ):
        arguments: dict[str, Any] = {"data": toy_set.path, **asked}
        with pytest.raises(fssbench.FssbenchError, match=message):
            fssbench.load(**arguments)


# --- tensors ---


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # where there are fewer cores
def test_workers_share_the_episodes_without_repeats(track: LoadedTrack) -> None:
    loader = DataLoader(track.torch(size=48), batch_size=7, num_workers=2, shuffle=True)
    batches = list(loader)
    seen = [index for batch in batches for index in batch["index"].tolist()]
    assert sorted(seen) == list(range(40))
    shapes = {name: tuple(batches[0][name].shape) for name in ("query", "query_mask", "supports", "support_masks")}
    k = track.shot
    assert shapes == {
        "query": (7, 3, 48, 48),
        "query_mask": (7, 48, 48),
        "supports": (7, k, 3, 48, 48),
        "support_masks": (7, k, 48, 48),
    }


def test_tensors_are_what_models_are_given(track: LoadedTrack) -> None:
    """The very preprocessing of the engine."""
    tensors = track.torch(size=48)
    item, episode, preprocess = tensors[5], track[5], tensors.preprocess
    assert item["query"].equal(preprocess.normalise(preprocess.image(episode.query.image)))
    assert item["query_mask"].equal(preprocess.mask(episode.query.mask))
    assert item["support_masks"][0].equal(preprocess.mask(episode.supports[0].mask))
    assert not item["query_ignore"].any()
    assert (item["class_id"], item["class_name"]) == (episode.class_id, episode.class_name)


# --- WebDataset ---


def test_a_webdataset_pipeline_gives_the_same_episodes(track: LoadedTrack) -> None:
    pipeline = track.webdataset()
    assert isinstance(pipeline, webdataset.WebDataset)
    samples = list(pipeline)
    assert [sample["__key__"] for sample in samples] == [f"e{index:07d}" for index in range(40)]
    for sample in samples[::9]:
        episode = track[sample["index"]]
        assert np.array_equal(sample["query.image"], episode.query.image)
        assert np.array_equal(sample["query.mask"], episode.query.mask)
        assert np.array_equal(sample["support0.mask"], episode.supports[0].mask)


def test_its_stages_can_follow(track: LoadedTrack) -> None:
    pairs = list(track.webdataset().to_tuple("index", "query.mask").map_tuple(int, np.mean).batched(8))
    assert [len(batch[0]) for batch in pairs] == [8] * 5
    assert sorted(index for batch in pairs for index in batch[0]) == list(range(40))


def test_its_raw_samples_are_decoded_by_webdatasets_own_decoder(track: LoadedTrack) -> None:
    raw = next(iter(track.webdataset(decode=False).decode("rgb8")))
    episode = track[0]
    assert np.array_equal(raw["query.jpg"], episode.query.image)  # the toy has no image on its side
    assert raw["json"]["index"] == 0


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # where there are fewer cores
def test_its_workers_share_the_episodes_without_repeats(track: LoadedTrack) -> None:
    loader = DataLoader(track.webdataset().to_tuple("index"), batch_size=None, num_workers=3)
    assert sorted(int(index) for (index,) in loader) == list(range(40))


def test_stock_webdataset_reads_every_shard(toy_set: EpisodeSet) -> None:
    """The very samples that fssbench reads, image and JSON, byte for byte."""
    for shard in toy_set.shards("images"):
        stock = stock_samples(toy_set.path / shard.name)
        ours = read_images(toy_set.path, shard)
        assert list(stock) == [sample.key for sample in ours]
        assert all(stock[sample.key]["jpg"] == sample.jpeg for sample in ours)
        assert all(stock[s.key]["json"] == s.meta.model_dump_json().encode() for s in ours)
    for shard in toy_set.shards("episodes"):
        stock = stock_samples(toy_set.path / shard.name)
        assert [sample["json"] for sample in stock.values()] == [
            sample.model_dump_json().encode() for sample in read_episodes(toy_set.path, shard)
        ]


def stock_samples(path: Path) -> dict[str, Mapping[str, bytes]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves files to be closed by the garbage collector
        samples = {sample["__key__"]: sample for sample in webdataset.WebDataset(str(path), shardshuffle=False)}
        gc.collect()
    return samples

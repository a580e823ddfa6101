"""Predictions on disk: the masks that were given, always with the same bytes, refused when they were changed."""

from __future__ import annotations

import errno
import json
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from toys import Mask, copy_support, masks_folder, run_with_masks, strangers_model

from fssbench.base.errors import ResultError, StorageError
from fssbench.base.files import sha256_file
from fssbench.engine.evaluate import Answer, answers
from fssbench.engine.job import Job
from fssbench.engine.run import run
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.formats.masks import decode, encode
from fssbench.pipelines.formats.shards import prediction_samples, write_predictions
from fssbench.results import predictions as module
from fssbench.results.evaluation import Evaluation
from fssbench.results.outcome import episodes_record
from fssbench.results.predictions import INDEX, StoredPredictions, store_predictions
from fssbench.schemas.predictions import PredictionsManifest
from fssbench.schemas.result import PredictionsFolder
from fssbench.schemas.rle import Rle
from fssbench.schemas.samples import MaskSize, PredictionSample


@pytest.fixture(scope="module")
def finished(toy_set: EpisodeSet, tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    """A result of all 40 1-shot episodes with its masks. Not to be changed."""
    return run_with_masks(toy_set, tmp_path_factory.mktemp("finished"))


@pytest.fixture
def folder(finished: Evaluation, tmp_path: Path) -> Path:
    """A copy of its masks to change."""
    return Path(shutil.copytree(masks_folder(finished), tmp_path / "x.predictions"))


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def some(n: int) -> list[PredictionSample]:
    """Masks of ``n`` episodes, no two alike."""
    random = np.random.default_rng(n)
    drawn = [random.integers(0, 2, (2, 9, 7)).astype(bool) for _ in range(n)]
    return [
        PredictionSample(index=i, masks={"original": encode(a), "model": encode(b)}) for i, (a, b) in enumerate(drawn)
    ]


def store(toy_set: EpisodeSet, folder: Path, samples: Sequence[PredictionSample]) -> PredictionsFolder:
    episodes = episodes_record(toy_set, shot=1, seed=0, n_episodes=len(samples))
    return store_predictions(folder, samples, model=strangers_model(), episodes=episodes)


# --- what is kept ---------------------------------------------------------------------------------------


def test_masks_that_are_kept_are_those_the_model_gave(toy_set: EpisodeSet, finished: Evaluation) -> None:
    there = StoredPredictions.open(masks_folder(finished))
    kept = {sample.index: sample.masks for sample in there.samples()}
    given_masks = {answer.index: answer.masks for answer in answers(copy_support().model, toy_set, shot=1, seed=0)}
    assert list(kept) == list(range(40)) == sorted(given_masks)
    for index, masks in kept.items():
        assert list(masks) == ["original", "model"]
        for size, rle in masks.items():
            assert (decode(rle) == given_masks[index][size].numpy().astype(bool)).all()
    assert any(decode(masks["original"]).any() for masks in kept.values())


def test_the_manifest_says_what_the_result_says(finished: Evaluation) -> None:
    folder, result = masks_folder(finished), finished.record
    manifest = StoredPredictions.open(folder).manifest
    assert (manifest.model, manifest.episodes) == (result.model, result.episodes)
    assert manifest.sizes == ("original", "model")
    assert result.predictions == PredictionsFolder(folder=folder.name, sha256=sha256_file(folder / INDEX))
    assert folder.name == "fold0-1shot-seed0.predictions"
    (shard,) = manifest.shards
    assert shard.samples == 40
    assert (shard.sha256, shard.bytes) == (sha256_file(folder / shard.name), (folder / shard.name).stat().st_size)
    assert sorted(content(folder)) == [shard.name, INDEX]


def test_masks_are_kept_only_when_that_is_asked_for(toy_set: EpisodeSet, tmp_path: Path) -> None:
    done = run(copy_support(), Job(episode_set=toy_set, shot=1, seed=0, episodes=5, output=tmp_path))
    assert done.record.predictions is None
    assert not list(tmp_path.rglob("*.predictions"))


def test_a_result_without_masks_is_not_enough_where_they_are_to_be_kept(toy_set: EpisodeSet, tmp_path: Path) -> None:
    run(copy_support(), Job(episode_set=toy_set, shot=1, seed=0, episodes=5, output=tmp_path))
    with pytest.raises(ResultError, match=r"seed0\.json is there without its predictions; pass --overwrite"):
        run_with_masks(toy_set, tmp_path, episodes=5)
    assert run_with_masks(toy_set, tmp_path / "other", episodes=5).record.predictions is not None


# --- the same bytes -------------------------------------------------------------------------------------


def test_the_same_run_keeps_the_same_bytes(toy_set: EpisodeSet, finished: Evaluation, tmp_path: Path) -> None:
    assert content(masks_folder(run_with_masks(toy_set, tmp_path))) == content(masks_folder(finished))


@settings(max_examples=20)
@given(st.permutations(range(11)), st.booleans())
def test_the_order_in_which_masks_come_does_not_matter(order: list[int], turned: bool) -> None:
    """Neither that of episodes nor that of the sizes of one episode."""
    samples = some(11)
    shuffled = [samples[i] for i in order]
    if turned:
        shuffled = [s.model_copy(update={"masks": dict(reversed(list(s.masks.items())))}) for s in shuffled]
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "EPISODES_PER_SHARD", 4)
        stored = [content_of(Path(name) / side, part) for side, part in (("straight", samples), ("shuffled", shuffled))]
    assert stored[0] == stored[1]
    assert sorted(stored[0]) == [*(f"predictions-{n:06d}.tar" for n in range(3)), INDEX]


def content_of(folder: Path, samples: Sequence[PredictionSample]) -> dict[str, bytes]:
    """What storing leaves, with an episodes record that does not matter."""
    manifest = PredictionsManifest.model_validate_json(MANIFEST)
    store_predictions(folder, samples, model=manifest.model, episodes=manifest.episodes)
    return content(folder)


MANIFEST = json.dumps(
    {
        "schema_version": 1,
        "kind": "fssbench-predictions",
        "model": strangers_model().model_dump(),
        "episodes": {
            **{"benchmark": "toy-20i", "protocol": "strict", "protocol_version": 1, "fold": 0, "shot": 1, "seed": 0},
            **{"n_episodes": 11, "digest": "0" * 64, "track_digest": "1" * 64, "pools": {}},
        },
        "sizes": ["original"],
        "shards": [],
    }
)


class InterruptionError(Exception):
    """Stands for whatever ends a run halfway."""


@pytest.mark.parametrize("cuts", [(1,), (15,), (7, 20, 3)])
def test_masks_of_interrupted_runs_have_the_bytes_of_an_uninterrupted_one(
    toy_set: EpisodeSet, finished: Evaluation, tmp_path: Path, cuts: tuple[int, ...]
) -> None:
    job = Job(episode_set=toy_set, shot=1, seed=0, episodes=None, output=tmp_path, save_predictions=True)
    for n in cuts:
        with pytest.raises(InterruptionError):
            run(copy_support(), job, look=after(n))
        assert not list(tmp_path.rglob("*.predictions"))
    resumed = run(copy_support(), job)
    assert resumed.record.execution is not None
    assert resumed.record.execution.resumed_episodes == sum(cuts)
    assert content(masks_folder(resumed)) == content(masks_folder(finished))
    assert resumed.record.counts == finished.record.counts


def after(n: int) -> Callable[[Answer], None]:
    """Interrupt once ``n`` answers were given."""
    seen: list[int] = []

    def look(answer: Answer) -> None:
        seen.append(answer.index)
        if len(seen) == n:
            raise InterruptionError

    return look


def test_counts_without_masks_are_not_taken_over_by_a_run_that_keeps_masks(toy_set: EpisodeSet, tmp_path: Path) -> None:
    job = Job(episode_set=toy_set, shot=1, seed=0, episodes=None, output=tmp_path)
    with pytest.raises(InterruptionError):
        run(copy_support(), job, look=after(10))
    done = run_with_masks(toy_set, tmp_path)
    assert done.record.execution is not None
    assert done.record.execution.resumed_episodes == 0
    assert len(list(StoredPredictions.open(masks_folder(done)).samples())) == 40


# --- shards ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("per_shard", "sizes"), [(7, [7, 7, 7, 7, 7, 5]), (40, [40]), (39, [39, 1]), (20, [20, 20])])
def test_shards_hold_so_many_episodes_each_in_index_order(
    toy_set: EpisodeSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, per_shard: int, sizes: list[int]
) -> None:
    monkeypatch.setattr(module, "EPISODES_PER_SHARD", per_shard)
    folder = tmp_path / "x.predictions"
    store(toy_set, folder, list(reversed(some(40))))
    there = StoredPredictions.open(folder)
    assert [shard.samples for shard in there.manifest.shards] == sizes
    assert [shard.name for shard in there.manifest.shards] == [f"predictions-{n:06d}.tar" for n in range(len(sizes))]
    assert list(there.samples()) == some(40)


def test_a_shard_holds_a_thousand_episodes() -> None:
    """The number is part of the bytes, so it is not to change unnoticed."""
    assert module.EPISODES_PER_SHARD == 1_000


def test_a_shard_is_a_tar_file_that_any_tool_reads(finished: Evaluation) -> None:
    with tarfile.open(masks_folder(finished) / "predictions-000000.tar") as tar:
        members = tar.getmembers()
        assert [member.name for member in members] == [f"e{n:07d}.json" for n in range(40)]
        assert {(m.mtime, m.uname, m.gname, m.mode) for m in members} == {(0, "", "", 0o644)}
        file = tar.extractfile(members[17])
        assert file is not None
        row = json.load(file)
    assert row["index"] == 17
    assert sorted(row["masks"]["original"]) == ["counts", "size"]


# --- what is there already ------------------------------------------------------------------------------


def test_masks_that_are_there_already_are_not_written_again(toy_set: EpisodeSet, tmp_path: Path) -> None:
    folder = tmp_path / "x.predictions"
    first = store(toy_set, folder, some(9))
    before = {file: (file.stat().st_mtime_ns, file.stat().st_ino) for file in folder.iterdir()}
    assert store(toy_set, folder, some(9)) == first
    assert {file: (file.stat().st_mtime_ns, file.stat().st_ino) for file in folder.iterdir()} == before
    assert list(tmp_path.iterdir()) == [folder]


def test_other_masks_take_their_place_and_nothing_of_the_old_stays(
    toy_set: EpisodeSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EPISODES_PER_SHARD", 4)
    folder = tmp_path / "x.predictions"
    store(toy_set, folder, some(11))
    (tmp_path / "x.predictions.partial").mkdir()
    (tmp_path / "x.predictions.partial" / "left.tar").write_bytes(b"of an interrupted run")
    store(toy_set, folder, some(3))
    assert sorted(content(folder)) == ["predictions-000000.tar", INDEX]
    assert list(StoredPredictions.open(folder).samples()) == some(3)
    assert list(tmp_path.iterdir()) == [folder]


def test_masks_that_are_there_stay_if_the_disk_is_full(
    toy_set: EpisodeSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "x.predictions"
    store(toy_set, folder, some(3))

    def full(path: Path, samples: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(module, "write_predictions", full)
    with pytest.raises(StorageError, match=r"cannot write .*predictions-000000\.tar: the disk is full"):
        store(toy_set, folder, some(5))
    assert list(StoredPredictions.open(folder).samples()) == some(3)


# --- what was changed -----------------------------------------------------------------------------------


def edit(folder: Path, change: Callable[[Any], object]) -> None:
    """Change the manifest by hand."""
    manifest = json.loads((folder / INDEX).read_text())
    change(manifest)
    (folder / INDEX).write_text(json.dumps(manifest))


def read(folder: Path) -> list[PredictionSample]:
    return list(StoredPredictions.open(folder).samples())


def shard_of(folder: Path) -> Path:
    return folder / "predictions-000000.tar"


def vouch(folder: Path) -> None:
    """Let the manifest say of the shard what it now is."""
    shard = shard_of(folder)
    edit(folder, lambda m: m["shards"][0].update(sha256=sha256_file(shard), bytes=shard.stat().st_size))


def test_a_flipped_bit_anywhere_is_found(folder: Path) -> None:
    data = shard_of(folder).read_bytes()
    for position in (0, 600, len(data) // 2, len(data) - 1):
        changed = bytearray(data)
        changed[position] ^= 1
        shard_of(folder).write_bytes(changed)
        with pytest.raises(
            ResultError, match=r"predictions-000000\.tar is damaged: its SHA-256 is \w+, pred.*says \w+; "
        ):
            read(folder)


def test_a_shard_that_is_not_there_is_named(folder: Path) -> None:
    shard_of(folder).unlink()
    with pytest.raises(
        ResultError, match=r"predictions-000000\.tar cannot be read: No such file or directory; evaluate"
    ):
        read(folder)


@pytest.mark.parametrize("size", [0, 100, 512, 600, 5_000])
def test_a_shard_that_was_cut_and_vouched_for_is_found(folder: Path, size: int) -> None:
    """With a manifest that names the hash of the cut file, only its samples can tell."""
    shard_of(folder).write_bytes(shard_of(folder).read_bytes()[:size])
    with pytest.raises(ResultError, match=r"predictions-000000\.tar is damaged"):
        read(folder)
    vouch(folder)
    with pytest.raises(
        ResultError, match=r"predictions-000000\.tar (has \d+ samples, .* says 40|cannot be read as a tar)"
    ):
        read(folder)


@pytest.mark.parametrize("n", [1, 39, 41])
def test_another_number_of_samples_is_found(folder: Path, n: int) -> None:
    edit(folder, lambda m: m["shards"][0].update(samples=n))
    with pytest.raises(ResultError, match=rf"predictions-000000\.tar has 40 samples, predictions\.json says {n};"):
        read(folder)


def test_everything_that_is_wrong_is_noted_and_the_rest_is_read(
    toy_set: EpisodeSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One shard is missing, one is damaged but whole, one says another number; what can be read is read."""
    monkeypatch.setattr(module, "EPISODES_PER_SHARD", 10)
    folder = tmp_path / "x.predictions"
    store(toy_set, folder, some(40))
    (folder / "predictions-000000.tar").unlink()
    with (folder / "predictions-000001.tar").open("ab") as file:
        file.write(bytes(512))
    edit(folder, lambda m: m["shards"][2].update(samples=12))
    problems: list[str] = []
    samples = list(StoredPredictions.open(folder).samples(problems))
    assert samples == some(40)[10:]
    assert [problem.removeprefix(f"{folder}/predictions-00000")[:26] for problem in problems] == [
        "0.tar cannot be read: No s",
        "1.tar is damaged: its SHA-",
        "2.tar has 10 samples, pred",
    ]


def test_a_sample_that_is_malformed_is_named(folder: Path) -> None:
    samples = list(prediction_samples(shard_of(folder).read_bytes(), where="here"))
    data = shard_of(folder).read_bytes().replace(b'"index":17,', b'"index":18,')
    shard_of(folder).write_bytes(data)
    vouch(folder)
    problems: list[str] = []
    assert list(StoredPredictions.open(folder).samples(problems)) == samples[:17]
    assert problems[0] == f"{shard_of(folder)}: episode 18 stands under key e0000017"
    assert problems[1] == f"{shard_of(folder)} has 17 samples, predictions.json says 40"
    with pytest.raises(ResultError, match="episode 18 stands under key e0000017"):
        read(folder)


def test_an_episode_twice_in_one_shard_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = read(folder)
    write_predictions(shard_of(folder), [*samples[:20], samples[3], *samples[21:]])
    vouch(folder)
    with pytest.raises(ResultError, match="sample e0000003 stands in two places"):
        read(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m.update(kind="fssbench-result"), "kind: Input should be 'fssbench-predictions'"),
        (lambda m: m.update(schema_version=2), "schema_version: Input should be 1"),
        (lambda m: m.pop("shards"), "shards: Field required"),
        (lambda m: m.update(surprise=1), "surprise: Extra inputs are not permitted"),
        (lambda m: m.update(sizes=["huge"]), r"sizes\.0: Input should be 'original' or 'model'"),
        (lambda m: m["shards"][0].update(sha256="x"), r"shards\.0\.sha256: String should match pattern"),
        (lambda m: m["shards"][0].update(samples=0), r"shards\.0\.samples: Input should be greater than or equal to 1"),
        (lambda m: m["episodes"].pop("fold"), r"episodes\.fold: Field required"),
    ],
)
def test_a_manifest_that_is_none_is_refused(folder: Path, change: Callable[[Any], object], said: str) -> None:
    edit(folder, change)
    with pytest.raises(ResultError, match=rf"predictions\.json is not a list of predictions: {said}.*; evaluate again"):
        StoredPredictions.open(folder)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_a_manifest_that_is_no_json_is_refused(folder: Path, data: bytes) -> None:
    (folder / INDEX).write_bytes(data)
    with pytest.raises(ResultError, match=r"predictions\.json is not a list of predictions: .*; evaluate again"):
        StoredPredictions.open(folder)


def test_a_folder_without_a_manifest_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(
            ResultError, match=r"predictions\.json cannot be read: No such file or directory; check the"
        ):
            StoredPredictions.open(path)


# --- what masks can be ----------------------------------------------------------------------------------

SIZES = st.sampled_from([(1, 1), (1, 9), (9, 1), (5, 8)])
drawn_masks = SIZES.flatmap(lambda shape: hnp.arrays(np.bool_, shape))


@settings(max_examples=30)
@given(st.lists(st.tuples(drawn_masks, drawn_masks), min_size=1, max_size=5))
def test_masks_come_back_as_they_went_in(pairs: list[tuple[Mask, Mask]]) -> None:
    """Whatever their sizes, also all black and all white."""
    samples = []
    for index, (original, model) in enumerate(pairs):
        masks: dict[MaskSize, Rle] = {"original": encode(original), "model": encode(model)}
        samples.append(PredictionSample(index=index, masks=masks))
    with tempfile.TemporaryDirectory() as name:
        content_of(Path(name) / "x", samples)
        back = read(Path(name) / "x")
    for sample, (original, model) in zip(back, pairs, strict=True):
        assert (decode(sample.masks["original"]) == original).all()
        assert (decode(sample.masks["model"]) == model).all()

"""Scores from masks alone: the counts that asking the model gave, to the byte, or a refusal that names why."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from toys import COMMAND, build_toy_sets, compressed, masks_folder, run_with_masks, strangers_model

from fssbench.base.errors import EpisodeIndexError, EpisodeSetError, FssbenchError, MaskShapeError, ResultError
from fssbench.base.files import sha256_file
from fssbench.episodes.episodes import Track
from fssbench.episodes.protocols import ScoringPolicy
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.formats.masks import decode, encode
from fssbench.results.counts_file import from_bytes, to_bytes
from fssbench.results.evaluation import Evaluation
from fssbench.results.outcome import Outcome, episodes_record
from fssbench.results.predictions import StoredPredictions, store_predictions
from fssbench.results.rescore import Predictions, recount, rescore, settle
from fssbench.schemas.result import EpisodesRecord, read_result
from fssbench.schemas.rle import Rle
from fssbench.schemas.samples import ImageMeta, MaskSize, PredictionSample
from fssbench.scoring.counts import EpisodeCounts, QueryFacts

HANDED_IN = "the masks were handed in, and which model made them is not known"


@pytest.fixture(scope="module", params=[1, 2], ids=["1-shot", "2-shot"])
def finished(
    request: pytest.FixtureRequest, toy_set: EpisodeSet, tmp_path_factory: pytest.TempPathFactory
) -> Evaluation:
    """A result of all 40 episodes with its masks. Not to be changed."""
    return run_with_masks(toy_set, tmp_path_factory.mktemp("finished"), shot=request.param)


@pytest.fixture(scope="module")
def one_shot(toy_set: EpisodeSet, tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    """Likewise, 1-shot alone. Not to be changed."""
    return run_with_masks(toy_set, tmp_path_factory.mktemp("one"))


@pytest.fixture
def result(one_shot: Evaluation, tmp_path: Path) -> Path:
    """A copy of it with all it rests on, to change."""
    folder = Path(shutil.copytree(one_shot.path.parent, tmp_path / "copy"))
    return folder / one_shot.path.name


def samples_of(finished: Evaluation) -> list[PredictionSample]:
    return list(StoredPredictions.open(masks_folder(finished)).samples())


def track_of(episode_set: EpisodeSet, asked: EpisodesRecord) -> Track:
    record = episode_set.record(shot=asked.shot, seed=asked.seed)
    return episode_set.tracks[record.label].first(asked.n_episodes)


def score(predictions: Predictions, episode_set: EpisodeSet) -> Outcome:
    track = track_of(episode_set, predictions.episodes)
    queries = episode_set.queries(track)
    return rescore(predictions, episode_set, track, queries, command=COMMAND, advance=lambda _: None)


def foreign(path: Path, episode_set: EpisodeSet, *, n: int = 40) -> Predictions:
    """Another tool's masks of the 1-shot track."""
    asked = episodes_record(episode_set, shot=1, seed=0, n_episodes=n)
    queries = episode_set.queries(track_of(episode_set, asked))
    return Predictions.foreign(path, episode_set, queries, name="stranger", episodes=asked, advance=lambda _: None)


def dump(folder: Path, samples: Sequence[PredictionSample], size: MaskSize) -> Path:
    """Masks at one size as another tool would leave them."""
    folder.mkdir()
    for sample in samples:
        Image.fromarray(decode(sample.masks[size]).astype(np.uint8) * 255).save(folder / f"{sample.index}.png")
    return folder


def counts_bytes(finished: Evaluation) -> bytes:
    return (finished.path.parent / finished.record.counts.file).read_bytes()


# --- masks that eval kept -------------------------------------------------------------------------------


def test_counts_of_kept_masks_are_those_of_the_model_to_the_byte(toy_set: EpisodeSet, finished: Evaluation) -> None:
    outcome = score(Predictions.stored(masks_folder(finished), toy_set), toy_set)
    assert to_bytes(outcome.table) == counts_bytes(finished)
    assert outcome.model == finished.record.model
    assert (outcome.source, outcome.execution) == ("recomputed", None)


def test_a_result_of_kept_masks_says_what_eval_said(toy_set: EpisodeSet, finished: Evaluation, tmp_path: Path) -> None:
    """All but how it came about."""
    path = tmp_path / finished.path.name
    again = score(Predictions.stored(masks_folder(finished), toy_set), toy_set).write(path)
    differing = {"source", "execution", "command", "environment"}
    assert again.model_dump(exclude=differing) == finished.record.model_dump(exclude=differing)
    assert (again.source, again.execution, again.command) == ("recomputed", None, COMMAND)
    assert read_result(path) == again
    kept = path.with_suffix(".predictions")
    assert {f.name: f.read_bytes() for f in kept.iterdir()} == {
        f.name: f.read_bytes() for f in masks_folder(finished).iterdir()
    }


def test_the_first_episodes_are_scored_by_themselves(toy_set: EpisodeSet, tmp_path: Path) -> None:
    done = run_with_masks(toy_set, tmp_path, episodes=13)
    outcome = score(Predictions.stored(masks_folder(done), toy_set), toy_set)
    assert to_bytes(outcome.table) == counts_bytes(done)
    assert outcome.table.counts.shape == (13, 2, 5)


def test_progress_is_told_episode_by_episode(toy_set: EpisodeSet, one_shot: Evaluation) -> None:
    predictions = Predictions.stored(masks_folder(one_shot), toy_set)
    track, told = track_of(toy_set, predictions.episodes), list[int]()
    rescore(predictions, toy_set, track, toy_set.queries(track), command=COMMAND, advance=told.append)
    assert told == [1] * 40


@settings(max_examples=15)
@given(order=st.permutations(range(40)))
def test_the_order_of_masks_never_matters_to_the_bytes(
    toy_set: EpisodeSet, one_shot: Evaluation, order: list[int]
) -> None:
    """Counts are put in index order, whatever order the masks came in."""
    samples = samples_of(one_shot)
    shuffled = Predictions(
        model=one_shot.record.model, episodes=one_shot.record.episodes, samples=[samples[i] for i in order]
    )
    assert to_bytes(score(shuffled, toy_set).table) == counts_bytes(one_shot)


# --- masks that another tool left -----------------------------------------------------------------------


def test_masks_at_their_queries_sizes_have_the_counts_at_original_size(
    toy_set: EpisodeSet, one_shot: Evaluation, tmp_path: Path
) -> None:
    outcome = score(foreign(dump(tmp_path / "masks", samples_of(one_shot), "original"), toy_set), toy_set)
    table = from_bytes(counts_bytes(one_shot), where="eval's")
    assert outcome.table.policies == ("original/ignore",)
    assert (outcome.table.under("original/ignore") == table.under("original/ignore")).all()
    assert outcome.table.queries == table.queries
    done = outcome.write(tmp_path / "x.json")
    assert done.headline == "original/ignore"
    assert done.policies == one_shot.record.policies[:1]
    assert (done.model.training, done.model.input_size, done.source) == ("unknown", None, "recomputed")
    assert set(done.unofficial) - set(one_shot.record.unofficial) == {HANDED_IN}


def test_masks_at_one_square_size_have_the_counts_at_the_models_size_and_another_headline(
    toy_set: EpisodeSet, one_shot: Evaluation, tmp_path: Path
) -> None:
    outcome = score(foreign(dump(tmp_path / "masks", samples_of(one_shot), "model"), toy_set), toy_set)
    table = from_bytes(counts_bytes(one_shot), where="eval's")
    assert outcome.table.policies == ("model/ignore",)
    assert (outcome.table.under("model/ignore") == table.under("model/ignore")).all()
    done = outcome.write(tmp_path / "x.json")
    assert done.headline == "model/ignore"
    assert done.model.input_size == 32
    assert set(done.unofficial) - set(one_shot.record.unofficial) == {
        HANDED_IN,
        "the headline is model/ignore, which is not the protocol's",
    }


def test_masks_of_mixed_sizes_are_refused(toy_set: EpisodeSet, one_shot: Evaluation, tmp_path: Path) -> None:
    folder = dump(tmp_path / "masks", samples_of(one_shot), "original")
    Image.fromarray(np.zeros((32, 32), dtype=np.uint8)).save(folder / "7.png")
    query = track_of(toy_set, one_shot.record.episodes).episodes[7].query
    said = (
        rf"masks: the mask of episode 7 is 32×32 \(height × width\), its query {query} is \d+×\d+; give every mask its"
        r" query's size, or all one square size that the model works at"
    )
    with pytest.raises(MaskShapeError, match=said):
        foreign(folder, toy_set)


@pytest.mark.parametrize("shape", [(32, 31), (40, 20)])
def test_masks_at_one_size_that_is_not_square_are_refused(
    toy_set: EpisodeSet, tmp_path: Path, shape: tuple[int, int]
) -> None:
    (tmp_path / "masks").mkdir()
    for index in range(40):
        Image.fromarray(np.zeros(shape, dtype=np.uint8)).save(tmp_path / "masks" / f"{index}.png")
    with pytest.raises(MaskShapeError, match=rf"the mask of episode 0 is {shape[0]}×{shape[1]} \(height × width\)"):
        foreign(tmp_path / "masks", toy_set)


def test_masks_of_two_square_sizes_are_refused(toy_set: EpisodeSet, tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    for index in range(40):
        side = 32 if index else 33
        Image.fromarray(np.zeros((side, side), dtype=np.uint8)).save(tmp_path / "masks" / f"{index}.png")
    with pytest.raises(MaskShapeError, match=r"the mask of episode 0 is 33×33"):
        foreign(tmp_path / "masks", toy_set)


def test_masks_of_a_part_of_the_track_are_scored_if_that_was_said(
    toy_set: EpisodeSet, one_shot: Evaluation, tmp_path: Path
) -> None:
    folder = dump(tmp_path / "masks", samples_of(one_shot)[:12], "original")
    with pytest.raises(EpisodeIndexError, match=r"has no mask of 28 of 40 episodes: 12, 13, 14, 15, 16, …"):
        foreign(folder, toy_set)
    outcome = score(foreign(folder, toy_set, n=12), toy_set)
    assert (outcome.table.counts[:, 0] == from_bytes(counts_bytes(one_shot), where="").counts[:12, 0]).all()


# --- masks of other episodes ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def others(toy_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> list[EpisodeSet]:
    """Folds 0 and 1 with 20 episodes only, of 1 shot only."""
    return build_toy_sets(toy_raw, tmp_path_factory.mktemp("others"), folds=(0, 1), episodes=20)


def test_masks_of_another_set_are_refused_and_what_differs_is_named(
    toy_set: EpisodeSet, others: list[EpisodeSet], tmp_path: Path
) -> None:
    folder = masks_folder(run_with_masks(toy_set, tmp_path, episodes=20))
    said = r"predictions\.json is about other episodes than .*fold1: fold is 0, the set's is 1; pass the set they were"
    with pytest.raises(ResultError, match=said):
        Predictions.stored(folder, others[1])
    # The first 20 episodes are the same, but they are the first of another track.
    with pytest.raises(
        ResultError, match=r"is about other episodes than .*: track_digest is \w{64}, the set's is \w{64};"
    ):
        Predictions.stored(folder, others[0])


def test_masks_of_other_images_are_refused(toy_set: EpisodeSet, one_shot: Evaluation) -> None:
    """Even if the episodes are the same: another pool is another data set."""
    pools = list(toy_set.manifest.classes)
    pools[3] = pools[3].model_copy(update={"sha256": "0" * 64})
    other = EpisodeSet(toy_set.path, toy_set.manifest.model_copy(update={"classes": tuple(pools)}))
    with pytest.raises(ResultError, match=r"is about other episodes than .*: pools is "):
        Predictions.stored(masks_folder(one_shot), other)


def edit(path: Path, change: Callable[[Any], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("field", "value"),
    [("benchmark", "coco-20i"), ("protocol", "loose"), ("protocol_version", 2), ("fold", 3), ("digest", "0" * 64)],
)
def test_masks_that_say_they_are_of_other_episodes_are_refused(
    toy_set: EpisodeSet, result: Path, field: str, value: object
) -> None:
    folder = result.with_suffix(".predictions")
    edit(folder / "predictions.json", lambda m: m["episodes"].update({field: value}))
    with pytest.raises(ResultError, match=rf"is about other episodes than .*: {field} is {value}, the set's is "):
        Predictions.stored(folder, toy_set)


@pytest.mark.parametrize(("field", "value"), [("shot", 5), ("seed", 9), ("n_episodes", 41), ("n_episodes", 0)])
def test_masks_of_a_track_that_is_not_there_are_refused(
    toy_set: EpisodeSet, result: Path, field: str, value: int
) -> None:
    folder = result.with_suffix(".predictions")
    edit(folder / "predictions.json", lambda m: m["episodes"].update({field: value}))
    with pytest.raises(
        FssbenchError, match=f"{value}-shot track of seed 0|1-shot track of seed {value}|{value} episodes"
    ):
        Predictions.stored(folder, toy_set)


# --- masks that cannot be counted -----------------------------------------------------------------------

POLICIES = (ScoringPolicy(size="original", exclude_ignored=True), ScoringPolicy(size="model", exclude_ignored=True))


def counted(toy_set: EpisodeSet, sample: PredictionSample, *, side: int | None = 32) -> list[EpisodeCounts]:
    queries = toy_set.queries(toy_set.tracks["1shot-seed0"])
    return list(recount([sample], queries, POLICIES, model=strangers_model(input_size=side)))


def changed(one_shot: Evaluation, size: MaskSize, mask: Rle | None) -> PredictionSample:
    """The masks of episode 5 with one of them replaced, or left out."""
    sample = samples_of(one_shot)[5]
    masks = {name: rle for name, rle in sample.masks.items() if name != size}
    return sample.model_copy(update={"masks": masks | ({} if mask is None else {size: mask})})


@pytest.mark.parametrize(
    ("size", "shape", "expected"),
    [("original", (5, 7), r"\(\d+, \d+\)"), ("model", (32, 31), r"\(32, 32\)"), ("model", (33, 33), r"\(32, 32\)")],
)
def test_a_mask_of_another_size_is_refused(
    toy_set: EpisodeSet, one_shot: Evaluation, size: MaskSize, shape: tuple[int, int], expected: str
) -> None:
    sample = changed(one_shot, size, encode(np.zeros(shape, dtype=bool)))
    said = rf"the mask of episode 5 at {size} size is \({shape[0]}, {shape[1]}\), expected {expected}"
    with pytest.raises(MaskShapeError, match=said):
        counted(toy_set, sample)


def test_a_mask_turned_on_its_side_is_refused() -> None:
    """It has the right number of pixels."""
    truth = encode(np.eye(3, 5, dtype=bool))
    query = ImageMeta(image_id="a", class_id=0, height=3, width=5, orientation=1, mask=truth, ignore=None)
    lying, standing = (
        PredictionSample(index=0, masks={"original": encode(np.zeros(shape, dtype=bool))}) for shape in ((3, 5), (5, 3))
    )
    (row,) = list(recount([lying], {0: query}, POLICIES[:1], model=strangers_model()))
    assert row.counts.tolist() == [[0, 3, 12, 15, 15]]
    assert row.query == QueryFacts(object_pixels=3, image_pixels=15, n_classes=None)
    with pytest.raises(MaskShapeError, match=r"the mask of episode 0 at original size is \(5, 3\), expected \(3, 5\)"):
        list(recount([standing], {0: query}, POLICIES[:1], model=strangers_model()))


def test_ignored_pixels_are_left_out_or_are_background() -> None:
    """At the model's size they are ignored where they are ignored at the original one."""
    truth, ignore = np.zeros((4, 4), dtype=bool), np.zeros((4, 4), dtype=bool)
    truth[:2, :2], ignore[2:, 2:] = True, True
    query = ImageMeta(
        image_id="a",
        class_id=0,
        height=4,
        width=4,
        orientation=1,
        n_classes=2,
        mask=encode(truth),
        ignore=encode(ignore),
    )
    policies = [ScoringPolicy(size=s, exclude_ignored=e) for s in ("original", "model") for e in (True, False)]
    full: dict[MaskSize, Rle] = {"original": encode(np.ones((4, 4), bool)), "model": encode(np.ones((2, 2), bool))}
    (row,) = recount([PredictionSample(index=0, masks=full)], {0: query}, policies, model=strangers_model(input_size=2))
    assert row.counts.tolist() == [[4, 12, 0, 8, 12], [4, 16, 0, 12, 16], [1, 3, 0, 2, 3], [1, 4, 0, 3, 4]]
    assert row.query.n_classes == 2


@pytest.mark.parametrize("size", ["original", "model"])
def test_a_mask_that_is_missing_at_one_size_is_refused(
    toy_set: EpisodeSet, one_shot: Evaluation, size: MaskSize
) -> None:
    with pytest.raises(MaskShapeError, match=f"episode 5 has no mask at {size} size"):
        counted(toy_set, changed(one_shot, size, None))


def test_a_mask_whose_runs_do_not_fill_it_is_refused(toy_set: EpisodeSet, one_shot: Evaluation) -> None:
    rle = Rle(size=[32, 32], counts="0")
    with pytest.raises(
        MaskShapeError, match="the mask of episode 5 at model size is not an encoding: a mask's runs cover 0"
    ):
        counted(toy_set, changed(one_shot, "model", rle))


@pytest.mark.parametrize(
    "rle",
    [
        Rle(size=[32, 32], counts=compressed([-24, 1048])),
        Rle(size=[32], counts=compressed([1024])),
        Rle(size=[1, 32, 32], counts=compressed([1024])),
    ],
    ids=["a negative run", "one side", "three sides"],
)
def test_a_mask_that_is_no_encoding_is_refused(toy_set: EpisodeSet, one_shot: Evaluation, rle: Rle) -> None:
    with pytest.raises(MaskShapeError) as caught:
        counted(toy_set, changed(one_shot, "model", rle))
    assert "the mask of episode 5 at model size is not an encoding" in str(caught.value)


def test_a_mask_of_no_episode_is_refused(toy_set: EpisodeSet, one_shot: Evaluation) -> None:
    sample = samples_of(one_shot)[5].model_copy(update={"index": 40})
    with pytest.raises(EpisodeIndexError, match="there is a mask of episode 40, the track has 40 episodes"):
        counted(toy_set, sample)


def test_an_episode_without_a_mask_and_one_with_two_are_refused(toy_set: EpisodeSet, one_shot: Evaluation) -> None:
    samples = samples_of(one_shot)
    for wrong, said in (
        (samples[:-1], "1 of 40 episodes are missing, the first is 39"),
        ([*samples, samples[4]], "episode 4 is there twice"),
    ):
        predictions = Predictions(
            model=strangers_model(input_size=32), episodes=one_shot.record.episodes, samples=wrong
        )
        with pytest.raises(EpisodeIndexError, match=said):
            score(predictions, toy_set)


# --- where a result is there already --------------------------------------------------------------------


def outcome_of(toy_set: EpisodeSet, result: Path) -> Outcome:
    return score(Predictions.stored(result.with_suffix(".predictions"), toy_set), toy_set)


def state(folder: Path) -> dict[Path, tuple[int, bytes]]:
    return {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in folder.rglob("*") if file.is_file()}


def test_a_result_that_is_not_there_is_written(toy_set: EpisodeSet, result: Path) -> None:
    result.unlink()
    written, what = settle(outcome_of(toy_set, result), result, overwrite=False)
    assert what == "written"
    assert read_result(result) == written
    assert written.source == "recomputed"


def test_a_result_that_says_the_same_stays_and_keeps_what_it_knows(
    toy_set: EpisodeSet, result: Path, one_shot: Evaluation
) -> None:
    """That the model was asked, when, and on what."""
    before = state(result.parent)
    there, what = settle(outcome_of(toy_set, result), result, overwrite=False)
    assert what == "agrees"
    assert there == one_shot.record
    assert there.source == "measured"
    assert state(result.parent) == before


@pytest.mark.parametrize("damage", ["missing", "cut", "changed"])
def test_counts_that_are_lost_are_restored_and_nothing_else(toy_set: EpisodeSet, result: Path, damage: str) -> None:
    counts = result.with_suffix(".counts.parquet")
    before = state(result.parent)
    outcome = outcome_of(toy_set, result)
    if damage == "missing":
        counts.unlink()
    else:
        data = counts.read_bytes()
        counts.write_bytes(data[:50] if damage == "cut" else data[:-9] + b"x" + data[-8:])
    assert settle(outcome, result, overwrite=False)[1] == "restored"
    after = state(result.parent)
    assert after[counts][1] == before.pop(counts)[1]
    assert {file: after[file] for file in before} == before
    assert settle(outcome, result, overwrite=False)[1] == "agrees"


def flip(result: Path) -> None:
    """Change one pixel of one mask, and everything up to its manifest that vouches for it."""
    folder = result.with_suffix(".predictions")
    there = StoredPredictions.open(folder)
    samples = list(there.samples())
    mask = decode(samples[11].masks["original"])
    mask[0, 0] ^= True
    samples[11] = samples[11].model_copy(update={"masks": samples[11].masks | {"original": encode(mask)}})
    store_predictions(folder, samples, model=there.manifest.model, episodes=there.manifest.episodes)


def test_a_result_with_other_counts_is_not_replaced_unasked(toy_set: EpisodeSet, result: Path) -> None:
    flip(result)
    before = state(result.parent)
    said = r"seed0\.json was computed from other counts than these masks give; see what differs with"
    with pytest.raises(ResultError, match=said):
        settle(outcome_of(toy_set, result), result, overwrite=False)
    assert state(result.parent) == before


def test_overwriting_replaces_it_with_all_it_rests_on(toy_set: EpisodeSet, result: Path, one_shot: Evaluation) -> None:
    flip(result)
    written, what = settle(outcome_of(toy_set, result), result, overwrite=True)
    assert what == "written"
    assert read_result(result) == written
    assert written.counts.sha256 == sha256_file(result.with_suffix(".counts.parquet")) != one_shot.record.counts.sha256
    assert written.predictions is not None
    assert written.predictions.sha256 == sha256_file(result.with_suffix(".predictions") / "predictions.json")


def test_a_damaged_result_in_the_way_is_named(toy_set: EpisodeSet, result: Path) -> None:
    outcome = outcome_of(toy_set, result)
    result.write_text("{}")
    with pytest.raises(ResultError, match=r"seed0\.json is not a result of this version"):
        settle(outcome, result, overwrite=False)
    assert settle(outcome, result, overwrite=True)[1] == "written"


def test_a_result_whose_counts_do_not_lie_beside_it_is_refused(toy_set: EpisodeSet, result: Path) -> None:
    edit(result, lambda r: r["counts"].update(file="../elsewhere.parquet"))
    with pytest.raises(ResultError) as caught:
        settle(outcome_of(toy_set, result), result, overwrite=False)
    assert "../elsewhere.parquet" in str(caught.value)


def test_truths_that_cannot_be_read_are_named(toy_set: EpisodeSet, one_shot: Evaluation, tmp_path: Path) -> None:
    """Scoring rests on the set as much as on the masks."""
    copy = EpisodeSet.open(Path(shutil.copytree(toy_set.path, tmp_path / "set")))
    shard = copy.path / copy.shards("images")[0].name
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(EpisodeSetError, match=rf"{shard.name} has [\d,]+ bytes, the manifest says"):
        score(Predictions.stored(masks_folder(one_shot), copy), copy)

"""Checking a result: nothing is said of a sound one, and whatever was changed is found, all of it in one pass."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import COMMAND, build_toy_sets, compressed, copy_support, masks_folder, run_with_masks

from fssbench.base import parquet
from fssbench.base.errors import EpisodeSetError, ResultError
from fssbench.base.files import sha256_file
from fssbench.engine.job import Job
from fssbench.engine.run import run
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.formats.masks import decode, encode
from fssbench.pipelines.formats.shards import write_predictions
from fssbench.results.check import Checked, check_result
from fssbench.results.evaluation import Evaluation
from fssbench.results.predictions import StoredPredictions, store_predictions
from fssbench.results.rescore import Predictions, rescore
from fssbench.schemas.result import EpisodesRecord, read_result
from fssbench.schemas.rle import Rle
from fssbench.schemas.samples import PredictionSample

Edit = Callable[[Any], object]
Columns = dict[str, list[Any]]


@pytest.fixture(scope="module")
def finished(toy_set: EpisodeSet, tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    """A result of all 40 1-shot episodes with its masks. Not to be changed."""
    return run_with_masks(toy_set, tmp_path_factory.mktemp("finished"))


@pytest.fixture
def result(finished: Evaluation, tmp_path: Path) -> Path:
    """A copy of it with all it rests on, to change."""
    return Path(shutil.copytree(finished.path.parent, tmp_path / "copy")) / finished.path.name


def check(path: Path, episode_set: EpisodeSet | None) -> Checked:
    return check_result(path, find_set=None if episode_set is None else lambda _: episode_set)


def problems(path: Path, episode_set: EpisodeSet | None) -> list[str]:
    return check(path, episode_set).problems


def found(path: Path, episode_set: EpisodeSet | None, said: str) -> bool:
    """Whether a pattern is a whole line of what is wrong."""
    return any(re.fullmatch(said, problem) for problem in problems(path, episode_set))


# --- ways to change a result ----------------------------------------------------------------------------


def edit(path: Path, change: Edit) -> None:
    """Change a JSON file by hand."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def counts_of(result: Path) -> Path:
    return result.with_suffix(".counts.parquet")


def folder_of(result: Path) -> Path:
    return result.with_suffix(".predictions")


def vouch(result: Path) -> None:
    """Let the result name the hashes of what now lies beside it."""
    edit(result, lambda r: r["counts"].update(sha256=sha256_file(counts_of(result))))
    index = folder_of(result) / "predictions.json"
    edit(result, lambda r: r["predictions"].update(sha256=sha256_file(index)))


def retable(result: Path, change: Callable[[Columns], object]) -> None:
    """Change the table of counts."""
    table = parquet.read(counts_of(result).read_bytes())
    columns: Columns = table.to_pydict()
    change(columns)
    counts_of(result).write_bytes(parquet.encode(pa.table(columns, schema=table.schema)))


def cell(column: str, row: int, add: int) -> Callable[[Columns], object]:
    def change(columns: Columns) -> None:
        columns[column][row] += add

    return change


def miss(row: int, pixels: int) -> Callable[[Columns], object]:
    """Let a row's mask find so many pixels of the object less; still counts that masks can have."""

    def change(columns: Columns) -> None:
        columns["inter_f"][row] -= pixels
        columns["union_b"][row] += pixels

    return change


def remask(result: Path, change: Callable[[list[PredictionSample]], object]) -> None:
    """Change masks, and the hashes up to the manifest's."""
    there = StoredPredictions.open(folder_of(result))
    samples = list(there.samples())
    change(samples)
    store_predictions(folder_of(result), samples, model=there.manifest.model, episodes=there.manifest.episodes)


def flip(index: int) -> Callable[[list[PredictionSample]], object]:
    """Turn one pixel of one mask at original size."""

    def change(samples: list[PredictionSample]) -> None:
        mask = decode(samples[index].masks["original"])
        mask[0, 0] ^= True
        samples[index] = samples[index].model_copy(update={"masks": samples[index].masks | {"original": encode(mask)}})

    return change


def put(samples: list[PredictionSample], index: int, rle: Rle) -> None:
    """Put another encoding in place of one mask at the model's size."""
    samples[index] = samples[index].model_copy(update={"masks": samples[index].masks | {"model": rle}})


def headline(content: Any) -> Any:
    return next(policy for policy in content["policies"] if policy["policy"] == content["headline"])


# --- sound results --------------------------------------------------------------------------------------


def test_nothing_is_wrong_with_a_sound_result(toy_set: EpisodeSet, finished: Evaluation) -> None:
    checked = check(finished.path, toy_set)
    assert (checked.problems, checked.unchecked) == ([], [])
    assert checked.result == finished.record
    assert checked.path == finished.path


def test_the_ways_to_change_a_result_leave_it_sound_if_nothing_is_changed(toy_set: EpisodeSet, result: Path) -> None:
    """The tests below fail for their change, not for how it was made."""
    edit(result, lambda _: None)
    retable(result, lambda _: None)
    remask(result, lambda _: None)
    vouch(result)
    assert problems(result, toy_set) == []


@pytest.mark.parametrize(("shot", "episodes"), [(2, None), (1, 10), (1, 1)])
def test_nothing_is_wrong_with_other_tracks_and_parts_of_them(
    toy_set: EpisodeSet, tmp_path: Path, shot: int, episodes: int | None
) -> None:
    """Also where figures are undefined because classes were not asked."""
    done = run_with_masks(toy_set, tmp_path, shot=shot, episodes=episodes)
    assert problems(done.path, toy_set) == []


def test_nothing_is_wrong_with_a_longer_track_until_a_group_is_changed(toy_raw: Path, tmp_path: Path) -> None:
    """It has intervals, and classes that occur with other classes and alone."""
    (episode_set,) = build_toy_sets(toy_raw, tmp_path / "sets", folds=(2,), episodes=200)
    done = run_with_masks(episode_set, tmp_path / "results", seed=1)
    assert done.record.score.miou.other_episodes is not None
    assert problems(done.path, episode_set) == []
    by_classes = done.record.score.splits[0]
    assert [group.name for group in by_classes.groups] == ["one", "several"]
    edit(done.path, lambda r: headline(r)["splits"][0]["groups"][1]["miou"].update(value=0.99))
    assert found(done.path, None, r"original/ignore\.splits\.classes\.groups\.several\.miou\.value: .* 0\.99, .*")
    edit(done.path, lambda r: headline(r)["splits"][0]["groups"].pop(1))
    assert found(done.path, None, r"original/ignore\.splits\.classes\.groups\.several: the result says null, .*")


def test_nothing_is_wrong_with_a_result_of_masks_alone(
    toy_set: EpisodeSet, finished: Evaluation, tmp_path: Path
) -> None:
    predictions = Predictions.stored(masks_folder(finished), toy_set)
    track = toy_set.tracks["1shot-seed0"]
    outcome = rescore(predictions, toy_set, track, toy_set.queries(track), command=COMMAND, advance=lambda _: None)
    outcome.write(tmp_path / "x.json")
    assert problems(tmp_path / "x.json", toy_set) == []


# --- what cannot be checked -----------------------------------------------------------------------------

NEEDS_SET = "the pools and the track's digest, the facts of each query, and the counts of each mask"


def test_without_the_set_it_is_said_what_is_left_unchecked(finished: Evaluation) -> None:
    checked = check(finished.path, None)
    assert checked.problems == []
    assert checked.unchecked == [f"{NEEDS_SET}, which need the episode set"]


def test_a_set_that_is_not_there_is_no_fault_of_the_result(finished: Evaluation) -> None:
    def absent(_: EpisodesRecord) -> EpisodeSet:
        raise EpisodeSetError("there is no such set", remedy="build it")

    checked = check_result(finished.path, find_set=absent)
    assert checked.problems == []
    assert checked.unchecked == [f"{NEEDS_SET}: there is no such set"]


def test_masks_that_were_not_kept_are_unchecked(toy_set: EpisodeSet, tmp_path: Path) -> None:
    done = run(copy_support(), Job(episode_set=toy_set, shot=1, seed=0, episodes=None, output=tmp_path))
    checked = check(done.path, toy_set)
    assert checked.problems == []
    assert checked.unchecked == ["the masks, which were not kept"]


# --- counts ---------------------------------------------------------------------------------------------


def test_a_count_that_was_changed_is_found_by_its_hash_its_figures_and_its_mask(
    toy_set: EpisodeSet, result: Path
) -> None:
    retable(result, miss(8, 5))
    said = problems(result, toy_set)
    assert said[0] == (
        f"counts.sha256: the result says {json.loads(result.read_text())['counts']['sha256']}, "
        f"{counts_of(result).name} has {sha256_file(counts_of(result))}"
    )
    assert any(
        re.match(r"original/ignore\.miou\.value: the result says 0\.\d+, its counts give 0\.\d+$", s) for s in said
    )
    assert any(re.match(r"original/ignore\.fb_iou\.value: ", s) for s in said)
    assert any(re.match(r"original/ignore\.episode_iou\.value: ", s) for s in said)
    assert any(re.match(r"original/ignore\.per_class\..+\.iou\.value: ", s) for s in said)
    assert any(re.match(r"episode 4 under original/ignore: counted \[.*\], its mask gives \[.*\]$", s) for s in said)
    assert not any("model/ignore" in s for s in said)


def test_with_its_hash_changed_too_it_is_still_found(toy_set: EpisodeSet, result: Path) -> None:
    retable(result, miss(8, 5))
    vouch(result)
    assert not any("sha256" in s for s in problems(result, toy_set))
    assert found(result, None, r"original/ignore\.miou\.value: the result says .*, its counts give .*")
    assert found(result, toy_set, r"episode 4 under original/ignore: counted \[.*\], its mask gives \[.*\]")


@pytest.mark.parametrize(
    ("column", "add"), [("inter_f", 10**6), ("inter_f", -(10**6)), ("union_f", 1), ("inter_b", -1), ("valid", 7)]
)
def test_impossible_counts_are_listed_row_by_row_and_hide_nothing(
    toy_set: EpisodeSet, result: Path, column: str, add: int
) -> None:
    """With a digest, a figure and a mask that are wrong as well."""
    for row in (4, 9, 31):
        retable(result, cell(column, row, add))
    remask(result, flip(30))
    vouch(result)
    edit(result, lambda r: r["episodes"].update(track_digest="0" * 64))
    edit(result, lambda r: r["policies"][1]["fb_iou"].update(n_episodes=39))
    said = problems(result, toy_set)
    rows = [s for s in said if "no masks have the counts {'inter_f': " in s]
    assert [s.partition(":")[0] for s in rows] == [
        "episode 2 under original/ignore",
        "episode 4 under model/ignore",
        "episode 15 under model/ignore",
    ]
    for index in (2, 30):
        assert any(s.startswith(f"episode {index} under original/ignore: counted [") for s in said)
    assert any(s.startswith("model/ignore.fb_iou.n_episodes: the result says 39, its counts give 40") for s in said)
    assert any(s.startswith('episodes.track_digest: the result says "000') for s in said)


def test_more_pixels_than_the_query_has_are_found_without_the_set(result: Path) -> None:
    """IoU stays the same when everything is doubled, and no count contradicts another."""

    def double(columns: Columns) -> None:
        for name in ("inter_f", "union_f", "inter_b", "union_b", "valid"):
            columns[name] = [2 * value if i % 2 == 0 else value for i, value in enumerate(columns[name])]

    retable(result, double)
    vouch(result)
    assert problems(result, None) == [
        f"episode {i} under original/ignore: more pixels are scored than there are" for i in range(40)
    ]


def test_more_pixels_than_the_model_gives_are_found_without_the_set(result: Path) -> None:
    def double(columns: Columns) -> None:
        for name in ("inter_f", "union_f", "inter_b", "union_b", "valid"):
            columns[name] = [2 * value if i % 2 == 1 else value for i, value in enumerate(columns[name])]

    retable(result, double)
    vouch(result)
    assert problems(result, None) != []


def test_a_name_that_moves_a_terminals_cursor_is_no_name(result: Path) -> None:
    edit(result, lambda r: r["model"].update(name="\x1b[2Jmine\n"))
    with pytest.raises(ResultError, match=r"model\.name: .*printed in one line, got '\\x1b\[2Jmine\\n'"):
        read_result(result)


def test_missing_and_unreadable_counts_are_named_and_hide_nothing(toy_set: EpisodeSet, result: Path) -> None:
    edit(result, lambda r: r["episodes"].update(track_digest="0" * 64))
    remask(result, flip(30))
    counts_of(result).write_bytes(b"PAR1")
    said = problems(result, toy_set)
    assert any(s.startswith("fold0-1shot-seed0.counts.parquet is not a table of counts: ") for s in said)
    counts_of(result).unlink()
    said = problems(result, toy_set)
    assert said[0] == f"{counts_of(result)} cannot be read: No such file or directory"
    assert any(s.startswith("predictions.sha256: the result says ") for s in said)
    assert any(s.startswith("episodes.track_digest: ") for s in said)


@pytest.mark.parametrize("name", ["../other.counts.parquet", "/etc/hostname", "sub/x.parquet"])
def test_counts_that_lie_elsewhere_are_not_read(toy_set: EpisodeSet, result: Path, name: str) -> None:
    edit(result, lambda r: r["counts"].update(file=name))
    assert problems(result, toy_set) == [f"counts.file: '{name}' does not lie beside the result"]


@pytest.mark.parametrize(
    ("column", "add"), [("object_pixels", 1), ("image_pixels", 1), ("query_classes", 1), ("object_pixels", 10**6)]
)
def test_a_query_that_is_said_to_be_another_is_found(toy_set: EpisodeSet, result: Path, column: str, add: int) -> None:
    for row in (14, 15):
        retable(result, cell(column, row, add))
    vouch(result)
    assert found(result, toy_set, r"episode 7: the table says QueryFacts\(.*\), its query is QueryFacts\(.*\)")


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("query", "nowhere", r"episodes\.digest: the result says \w{64}, its counts \w{64}"),
        ("supports", ["nowhere"], r"episodes\.digest: the result says \w{64}, its counts \w{64}"),
        ("class_id", 4, r"episodes\.digest: the result says \w{64}, its counts \w{64}"),
        ("class_id", 999, r"no figures can be computed from the counts: episodes of classes \[999\].*"),
    ],
)
def test_a_table_of_other_episodes_is_found(
    toy_set: EpisodeSet, result: Path, column: str, value: object, said: str
) -> None:
    def change(columns: Columns) -> None:
        columns[column][20] = columns[column][21] = value

    retable(result, change)
    vouch(result)
    assert found(result, toy_set, said)


@pytest.mark.parametrize(("column", "value"), [("benchmark", "coco-20i"), ("fold", 3), ("seed", 8)])
def test_a_table_of_another_track_is_found(toy_set: EpisodeSet, result: Path, column: str, value: object) -> None:
    retable(result, lambda columns: columns.update({column: [value] * 80}))
    vouch(result)
    assert found(result, toy_set, rf"episodes\.{column}: the result says \S+, its counts {value}")


@pytest.mark.parametrize("column", ["object_pixels", "image_pixels", "class_id"])
def test_a_column_without_values_is_named(toy_set: EpisodeSet, result: Path, column: str) -> None:
    retable(result, lambda columns: columns.update({column: [None] * 80}))
    vouch(result)
    assert found(result, toy_set, r"fold0-1shot-seed0\.counts\.parquet is not a table of counts: .*")


def test_a_table_that_was_cut_is_found(toy_set: EpisodeSet, result: Path) -> None:
    retable(result, lambda columns: columns.update({name: values[:78] for name, values in columns.items()}))
    vouch(result)
    assert found(result, toy_set, "counts.rows: the result says 80, fold0-1shot-seed0.counts.parquet has 78")
    assert found(result, toy_set, r"episodes\.n_episodes: the result says 40, its counts 39")


# --- masks ----------------------------------------------------------------------------------------------


def test_a_mask_that_was_changed_with_every_hash_is_found_by_counting_again(toy_set: EpisodeSet, result: Path) -> None:
    """One pixel, and only the set can tell."""
    remask(result, flip(23))
    vouch(result)
    assert problems(result, None) == []
    (said,) = problems(result, toy_set)
    assert re.fullmatch(r"episode 23 under original/ignore: counted \[[\d, ]+\], its mask gives \[[\d, ]+\]", said)


def test_a_mask_that_was_changed_without_them_is_found_by_its_shard(toy_set: EpisodeSet, result: Path) -> None:
    """Step by step up to the result."""
    samples = list(StoredPredictions.open(folder_of(result)).samples())
    flip(23)(samples)
    shard = folder_of(result) / "predictions-000000.tar"
    write_predictions(shard, samples)
    assert any(s.startswith(f"{shard} is damaged: its SHA-256 is {sha256_file(shard)}") for s in problems(result, None))
    edit(folder_of(result) / "predictions.json", lambda m: m["shards"][0].update(sha256=sha256_file(shard)))
    (said,) = problems(result, None)
    assert said.startswith("predictions.sha256: the result says ")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop(6), r"predictions: 1 episodes have no mask: 6"),
        (
            lambda s: s.append(s[5].model_copy(update={"index": 40})),
            r"predictions: there is a mask of episode 40, the result has 40 episodes",
        ),
        (
            lambda s: put(s, 9, encode(np.zeros((32, 33), bool))),
            r"the mask of episode 9 at model size is \(32, 33\), .*",
        ),
        (
            lambda s: put(s, 9, Rle(size=[32, 32], counts="0")),
            r"the mask of episode 9 at model size is not an encoding: .*",
        ),
        (lambda s: s[9].masks.pop("model"), r"episode 9 has no mask at model size"),
    ],
    ids=["missing", "one too many", "another size", "no encoding", "one size only"],
)
def test_masks_that_cannot_be_counted_are_named_and_the_others_are_counted(
    toy_set: EpisodeSet, result: Path, change: Callable[[list[PredictionSample]], object], said: str
) -> None:
    remask(result, flip(30))
    samples = list(StoredPredictions.open(folder_of(result)).samples())
    change(samples)
    shard = folder_of(result) / "predictions-000000.tar"
    write_predictions(shard, samples)
    edit(
        folder_of(result) / "predictions.json",
        lambda m: m["shards"][0].update(sha256=sha256_file(shard), samples=len(samples)),
    )
    vouch(result)
    assert found(result, toy_set, said)
    assert found(result, toy_set, r"episode 30 under original/ignore: counted .*")


def test_a_mask_of_negative_runs_is_named(toy_set: EpisodeSet, result: Path) -> None:
    remask(result, lambda samples: put(samples, 9, Rle(size=[32, 32], counts=compressed([-24, 1048]))))
    vouch(result)
    assert found(result, toy_set, r"the mask of episode 9 at model size is not an encoding: .*")


def test_masks_that_are_gone_are_named(toy_set: EpisodeSet, result: Path) -> None:
    shutil.rmtree(folder_of(result))
    index = folder_of(result) / "predictions.json"
    assert problems(result, toy_set) == [f"{index} cannot be read: No such file or directory"]


def test_a_shard_that_is_gone_is_named_with_the_episodes_it_had(toy_set: EpisodeSet, result: Path) -> None:
    shard = folder_of(result) / "predictions-000000.tar"
    shard.unlink()
    said = problems(result, toy_set)
    assert said[0] == f"{shard} cannot be read: No such file or directory"
    assert said[1].startswith("predictions: 40 episodes have no mask: 0, 1, 2, ")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m["model"].update(name="another"), "predictions.json: its model differs from the result's"),
        (lambda m: m["model"].update(input_size=64), "predictions.json: its model differs from the result's"),
        (lambda m: m["episodes"].update(seed=1), "predictions.json: its episodes differ from the result's"),
    ],
)
def test_masks_of_another_model_or_of_other_episodes_are_found(
    toy_set: EpisodeSet, result: Path, change: Edit, said: str
) -> None:
    edit(folder_of(result) / "predictions.json", change)
    vouch(result)
    assert problems(result, toy_set) == [f"fold0-1shot-seed0.predictions/{said}"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda m: m.update(sizes=["original"]), id="sizes"),
        pytest.param(lambda m: m["shards"][0].update(bytes=1), id="bytes"),
    ],
)
def test_a_manifest_that_says_of_its_shards_what_they_are_not_is_found(
    toy_set: EpisodeSet, result: Path, change: Edit
) -> None:
    edit(folder_of(result) / "predictions.json", change)
    vouch(result)
    assert problems(result, toy_set) != []


def test_a_shard_that_lies_elsewhere_is_not_read(toy_set: EpisodeSet, result: Path) -> None:
    """Whoever fetches the folder does not get it."""
    shard = folder_of(result) / "predictions-000000.tar"
    shard.rename(result.parent / "elsewhere.tar")
    edit(folder_of(result) / "predictions.json", lambda m: m["shards"][0].update(name="../elsewhere.tar"))
    vouch(result)
    assert problems(result, toy_set) != []


@pytest.mark.parametrize("name", ["..", "../other", "/tmp", "sub/x.predictions"])
def test_masks_that_lie_elsewhere_are_not_read(toy_set: EpisodeSet, result: Path, name: str) -> None:
    edit(result, lambda r: r["predictions"].update(folder=name))
    said = problems(result, toy_set)
    assert len(said) == 1
    assert "predictions" in said[0]


# --- figures --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [0, 1])
@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("miou.value", 0.99),
        ("miou.n_episodes", 41),
        ("miou.n_classes", 19),
        ("fb_iou.value", 0.5),
        ("fb_iou.other_episodes.low", 0.1),
        ("fb_iou.other_episodes.high", 0.9),
        ("fb_iou.other_episodes.method", "by eye"),
        ("fb_iou.other_episodes", None),
        ("fb_iou.other_images", {"low": 0.4, "high": 0.5, "method": "by eye"}),
        ("episode_iou.value", 0.25),
        ("per_class.0.iou.value", 1.0),
        ("per_class.19.iou.n_episodes", 3),
        ("splits.0.definition", "by eye"),
        ("splits.0.reason", "by eye"),
        ("splits.1.by", "colour"),
        ("splits.1.classes", [1]),
    ],
)
def test_a_figure_that_was_changed_is_found(result: Path, policy: int, path: str, value: object) -> None:
    """Without the set: the counts are enough. Nothing else is said to be wrong."""

    def change(content: Any) -> None:
        place: Any = content["policies"][policy]
        *way, last = (int(step) if step.isdigit() else step for step in path.split("."))
        for step in way:
            place = place[step]
        assert place[last] != value
        place[last] = value

    edit(result, change)
    said = problems(result, None)
    name = ("original/ignore", "model/ignore")[policy]
    assert said
    assert all(s.startswith(f"{name}.{path.partition('.')[0]}.") for s in said)
    assert all(", its counts give " in s for s in said)


def test_an_interval_of_another_machines_last_bit_is_not_called_wrong(toy_set: EpisodeSet, result: Path) -> None:
    """Sums of floats in a matrix product are in the order the processor likes; the figures themselves are exact."""

    def change(content: Any) -> None:
        interval = headline(content)["fb_iou"]["other_episodes"]
        interval["low"] = float(np.nextafter(interval["low"], 1))

    edit(result, change)
    assert problems(result, toy_set) == []


def test_a_reason_that_was_changed_is_found(toy_set: EpisodeSet, tmp_path: Path) -> None:
    """Whoever strikes the classes without episodes, or says there was another reason, is told."""
    path = run_with_masks(toy_set, tmp_path, episodes=10).path
    edit(path, lambda r: headline(r)["miou"].update(reason="bad luck"))
    assert problems(path, toy_set) == [
        next(s for s in problems(path, None) if s.startswith('original/ignore.miou.reason: the result says "bad luck"'))
    ]
    edit(path, lambda r: headline(r)["miou"].update(reason=None, value=0.5))
    assert found(path, None, r"original/ignore\.miou\.value: the result says 0\.5, its counts give null")


def test_a_class_of_another_name_is_found_with_the_set_or_beside_another_policy(
    toy_set: EpisodeSet, result: Path
) -> None:
    def rename(content: Any, policies: list[int]) -> None:
        for p in policies:
            content["policies"][p]["per_class"][3]["name"] = "a cat"

    edit(result, lambda r: rename(r, [1]))
    assert any("a cat" in s for s in problems(result, None))
    edit(result, lambda r: rename(r, [0, 1]))
    assert found(result, toy_set, rf"class 12: the result calls it 'a cat', {toy_set.path} '.+'")


@pytest.mark.parametrize("policy", [0, 1])
def test_classes_that_are_not_the_folds_are_found(result: Path, policy: int) -> None:
    edit(result, lambda r: r["policies"][policy]["per_class"].pop(3))
    name = ("original/ignore", "model/ignore")[policy]
    assert found(result, None, rf"{name}: its classes are \(.*\), the novel classes of the fold are \(.*\)")


# --- policies, headline, reasons ------------------------------------------------------------------------


def test_a_policy_that_was_dropped_is_found(result: Path) -> None:
    edit(result, lambda r: r["policies"].pop(1))
    assert problems(result, None) == [
        "the policies: the result says ['original/ignore'], its counts ['original/ignore', 'model/ignore']"
    ]


def drop(result: Path, keep: int) -> None:
    """Drop a policy from the result and from its counts."""
    retable(result, lambda columns: columns.update({name: values[keep::2] for name, values in columns.items()}))
    edit(result, lambda r: r.update(policies=[r["policies"][keep]], headline=r["policies"][keep]["policy"]))
    edit(result, lambda r: r["counts"].update(rows=40))
    vouch(result)


def test_a_policy_that_was_dropped_from_the_counts_too_is_found(toy_set: EpisodeSet, result: Path) -> None:
    """There are masks at that size, so it could have been scored."""
    drop(result, 0)
    assert problems(result, toy_set) != []


def test_a_headline_that_was_dropped_is_said_to_speak_against_the_result(toy_set: EpisodeSet, result: Path) -> None:
    drop(result, 1)
    assert problems(result, toy_set) == [
        "unofficial: the result does not say that the headline is model/ignore, which is not the protocol's",
        "the policies: original/ignore could be scored, and are not",
    ]


def test_a_headline_at_another_size_is_found_without_the_set(result: Path) -> None:
    edit(result, lambda r: r.update(headline="model/ignore"))
    assert problems(result, None) != []


def test_a_headline_at_another_size_is_found_with_the_set(toy_set: EpisodeSet, result: Path) -> None:
    edit(result, lambda r: r.update(headline="model/ignore"))
    assert problems(result, toy_set) == [
        "headline: it is model/ignore, strict scores at original size",
        "unofficial: the result does not say that the headline is model/ignore, which is not the protocol's",
    ]


def test_a_headline_without_figures_is_no_result(result: Path) -> None:
    edit(result, lambda r: r.update(headline="original/no-ignore"))
    (said,) = problems(result, None)
    assert "the headline policy original/no-ignore is not among the policies" in said


def test_reasons_that_were_struck_or_made_up_are_found(toy_set: EpisodeSet, result: Path) -> None:
    edit(result, lambda r: r.update(official=True, unofficial=[]))
    said = problems(result, toy_set)
    assert "unofficial: the result does not say that Toy-20i is drawn, not a published benchmark" in said
    assert "unofficial: the result does not say that 40 episodes, the protocol's are 1,000" in said
    edit(result, lambda r: r.update(official=False, unofficial=["it rained"]))
    assert "unofficial: nothing shows that it rained" in problems(result, toy_set)


def test_reasons_against_the_flag_are_no_result(result: Path) -> None:
    edit(result, lambda r: r.update(official=True))
    (said,) = problems(result, None)
    assert "a result is official exactly if no reason speaks against it" in said


def test_what_the_model_is_said_to_be_is_held_against_its_masks(toy_set: EpisodeSet, result: Path) -> None:
    edit(result, lambda r: r["model"].update(training="untrained"))
    said = problems(result, toy_set)
    assert "fold0-1shot-seed0.predictions/predictions.json: its model differs from the result's" in said
    assert "unofficial: the result does not say that the model is untrained" in said


# --- digests --------------------------------------------------------------------------------------------

OTHER = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("change", "said", "alone"),
    [
        (
            lambda r: r["episodes"].update(digest=OTHER),
            rf"episodes\.digest: the result says {OTHER}, its counts \w+",
            True,
        ),
        (
            lambda r: r["episodes"].update(track_digest=OTHER),
            rf'episodes\.track_digest: .*"{OTHER}", .* says "\w+"',
            False,
        ),
        (
            lambda r: r["episodes"]["pools"].update({"8": OTHER}),
            rf'episodes\.pools\.8: .*"{OTHER}", .* says "\w+"',
            False,
        ),
        (lambda r: r["episodes"]["pools"].pop("8"), r'episodes\.pools\.8: the result says null, .* says "\w+"', False),
        (lambda r: r["episodes"]["pools"].update({"9": OTHER}), r"episodes\.pools\.9: .* says null", False),
        (
            lambda r: r["episodes"].update(protocol_version=2),
            r"episodes\.protocol_version: the result says 2, .* 1",
            False,
        ),
        (lambda r: r["episodes"].update(protocol="loose"), r"there is no protocol 'loose'", True),
        (lambda r: r["counts"].update(sha256=OTHER), rf"counts\.sha256: the result says {OTHER}, .* has \w+", True),
        (lambda r: r["counts"].update(rows=81), r"counts\.rows: the result says 81, .* has 80", True),
        (
            lambda r: r["predictions"].update(sha256=OTHER),
            rf"predictions\.sha256: the result says {OTHER}, .* has \w+",
            True,
        ),
    ],
    ids=[
        *("digest", "track digest", "a pool", "a pool less", "a pool more", "version", "protocol"),
        *("counts", "rows", "predictions"),
    ],
)
def test_every_digest_is_held_against_what_it_is_of(
    toy_set: EpisodeSet, result: Path, change: Edit, said: str, alone: bool
) -> None:
    """``alone``: the set is not needed to find it."""
    edit(result, change)
    assert found(result, toy_set, said)
    if alone:
        assert found(result, None, said)


@pytest.mark.parametrize(
    ("field", "value"),
    [("fold", 1), ("fold", 9), ("shot", 5), ("seed", 3), ("n_episodes", 41), ("benchmark", "imagenet")],
)
def test_a_result_that_names_another_track_is_found(
    toy_set: EpisodeSet, result: Path, field: str, value: object
) -> None:
    edit(result, lambda r: r["episodes"].update({field: value}))
    for episode_set in (toy_set, None):
        assert found(result, episode_set, rf"episodes\.{field}: the result says {value}, its counts \S+")


def test_a_result_on_another_set_is_found(result: Path, toy_raw: Path, tmp_path: Path) -> None:
    (other,) = build_toy_sets(toy_raw, tmp_path / "sets", folds=(1,), episodes=40)
    said = problems(result, other)
    assert f"episodes.fold: the result says 0, {other.path} says 1" in said
    assert any(s.startswith("episodes.digest: the result says ") for s in said)


# --- everything at once ---------------------------------------------------------------------------------


def test_all_that_is_wrong_is_found_in_one_pass(toy_set: EpisodeSet, result: Path) -> None:
    """A count, a mask, a figure and a digest: each is in the list, none hides another."""
    retable(result, miss(8, 5))
    remask(result, flip(23))
    edit(result, lambda r: r["policies"][1]["miou"].update(value=0.99))
    edit(result, lambda r: r["episodes"].update(track_digest=OTHER))
    edit(result, lambda r: r["episodes"]["pools"].update({"8": OTHER}))
    said = problems(result, toy_set)
    for expected in (
        r"counts\.sha256: the result says .*",
        r"predictions\.sha256: the result says .*",
        r"original/ignore\.miou\.value: the result says .*",
        r"model/ignore\.miou\.value: the result says 0\.99, its counts give .*",
        rf'episodes\.track_digest: the result says "{OTHER}", .*',
        rf'episodes\.pools\.8: the result says "{OTHER}", .*',
        r"episode 4 under original/ignore: counted .*",
        r"episode 23 under original/ignore: counted .*",
    ):
        assert sum(bool(re.fullmatch(expected, s)) for s in said) == 1, (expected, said)
    assert all("\n" not in s for s in said)
    assert len(set(said)) == len(said)


def numbers(content: Any, way: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The ways to every number and every SHA-256 in a JSON value."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from numbers(value, (*way, key))
    elif isinstance(content, list):
        for n, value in enumerate(content):
            yield from numbers(value, (*way, n))
    elif isinstance(content, str):
        if re.fullmatch("[0-9a-f]{64}", content):
            yield way
    elif isinstance(content, int | float):
        yield way


PARTS = ("policies", "episodes", "counts", "predictions")


@settings(max_examples=40)
@given(data=st.data())
def test_no_number_and_no_digest_can_be_changed_unnoticed(
    toy_set: EpisodeSet, finished: Evaluation, data: st.DataObject
) -> None:
    """Any one of them, by however little that is more than another machine's rounding."""
    content = json.loads(finished.path.read_text())
    ways = [way for part in PARTS for way in numbers(content[part], (part,))]
    way = data.draw(st.sampled_from(ways))
    place = content
    for step in way[:-1]:
        place = place[step]
    before = place[way[-1]]
    if isinstance(before, str):
        n = data.draw(st.integers(0, 63))
        after: object = before[:n] + ("0" if before[n] != "0" else "1") + before[n + 1 :]
    elif isinstance(before, int):
        after = before + data.draw(st.integers(-3, 3).filter(bool))
    else:
        after = before + data.draw(st.sampled_from([-1e-3, 1e-3, 1e-7, -1e-7, 0.1]))
    place[way[-1]] = after
    with tempfile.TemporaryDirectory() as name:
        path = Path(shutil.copytree(finished.path.parent, Path(name) / "copy")) / finished.path.name
        path.write_text(json.dumps(content))
        assert problems(path, toy_set) != [], (way, before, after)


# --- what is not a result ----------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[]", b"null"])
def test_what_is_no_json_is_said_to_be_none(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.json").write_bytes(data)
    checked = check(tmp_path / "x.json", None)
    assert checked.result is None
    (said,) = checked.problems
    assert said.startswith("content: ")


def test_everything_that_keeps_it_from_being_a_result_is_listed(result: Path) -> None:
    def change(content: Any) -> None:
        del content["execution"]
        content["surprise"] = 1
        content["episodes"]["digest"] = "x"
        headline(content)["miou"]["value"] = 1.5

    edit(result, change)
    assert [s.partition(":")[0] for s in problems(result, None)] == [
        "episodes.digest",
        "policies.0.miou.value",
        "execution",
        "surprise",
    ]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert problems(tmp_path / "x.json", None) == [f"{tmp_path / 'x.json'} cannot be read: No such file or directory"]


def test_a_damaged_set_is_named_and_hides_nothing(toy_set: EpisodeSet, result: Path, tmp_path: Path) -> None:
    copy = EpisodeSet.open(Path(shutil.copytree(toy_set.path, tmp_path / "set")))
    shard = copy.path / copy.shards("images")[0].name
    shard.write_bytes(shard.read_bytes()[:-1])
    edit(result, lambda r: headline(r)["miou"].update(value=0.99))
    said = problems(result, copy)
    assert any(s.startswith("original/ignore.miou.value: the result says 0.99") for s in said)
    assert any(s.startswith(f"{shard} has ") for s in said)

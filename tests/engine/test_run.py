"""A run from end to end: what it leaves on disk, what it says of itself, and when it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from math import fsum
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from toys import CLEAN, Redder, Voters, build_toy_sets

from fssbench.base.errors import CheckpointError, EpisodeSetError, ModelError, ResultError, UsageError
from fssbench.base.files import sha256_bytes, sha256_file
from fssbench.base.home import Home
from fssbench.engine import run as module
from fssbench.engine.evaluate import Answer
from fssbench.engine.job import Job
from fssbench.engine.model import LoadedModel, find_weights, load_model
from fssbench.engine.run import run
from fssbench.episodes.benchmarks import TOY_20I, TOY_CLASSES
from fssbench.episodes.episodes import Episode, Track
from fssbench.models import registry
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.results.counts_file import from_bytes
from fssbench.results.evaluation import Evaluation
from fssbench.results.figures import policy_results
from fssbench.results.naming import results_folder
from fssbench.schemas.result import Execution, Result, read_result
from fssbench.scoring.counts import CountsTable, QueryFacts

RESNET: dict[str, Any] = {"backbone": "resnet18", "backbone_weights": "none", "size": 64}
OWN = """
import torch
from torch import nn
from fssbench.models.baselines import CopySupport

class Net(CopySupport):
    needs_training = True

    def __init__(self, *, size: int = 32) -> None:
        super().__init__(size=size)
        self.weight = nn.Parameter(torch.zeros(2, 3))
        self.fixed = nn.Parameter(torch.zeros(5), requires_grad=False)

def make() -> Net:
    return Net()
"""


def load(name: str, options: dict[str, Any] | None = None, *, weights: str | None = None) -> LoadedModel:
    return load_model(name, options or {}, weights=weights, benchmark=TOY_20I, fold=0, home=Home.find())


def copy_support() -> LoadedModel:
    return load("copy-support", {"size": 32})


def job(episode_set: EpisodeSet, output: Path, **changes: Any) -> Job:
    plain = Job(episode_set=episode_set, shot=1, seed=0, episodes=None, output=output, workers=2)
    return replace(plain, **changes)


def execution(finished: Evaluation) -> Execution:
    """How a run was run."""
    assert finished.record.execution is not None
    return finished.record.execution


def counts_path(finished: Evaluation) -> Path:
    return finished.path.parent / finished.record.counts.file


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own_net.py"
    path.write_text(OWN)
    return path


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout without changes, whatever the one these tests run from is like."""
    monkeypatch.setattr(module, "describe_environment", lambda *_: CLEAN)


@pytest.fixture(scope="module")
def finished(toy_set: EpisodeSet, tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    """A result of all 40 2-shot episodes. Not to be changed."""
    output = tmp_path_factory.mktemp("finished")
    asked, resolved = ("fssbench", "eval"), {"model": "copy-support"}
    return run(copy_support(), job(toy_set, output, shot=2, asked=asked, resolved=resolved))


# --- what is written ------------------------------------------------------------------------------------


def test_a_run_writes_the_result_and_its_counts_and_nothing_else(toy_set: EpisodeSet, finished: Evaluation) -> None:
    assert not finished.skipped
    assert finished.path.relative_to(finished.path.parents[3]).parts[:2] == ("toy-20i", "strict")
    assert finished.path.name == "fold0-2shot-seed0.json"
    assert sorted(file.name for file in finished.path.parent.iterdir()) == [
        "fold0-2shot-seed0.counts.parquet",
        "fold0-2shot-seed0.json",
    ]
    assert read_result(finished.path) == finished.record
    assert finished.path.read_text() == finished.record.to_json()


def test_a_result_names_its_episodes_and_its_counts(toy_set: EpisodeSet, finished: Evaluation) -> None:
    episodes, counts = finished.record.episodes, finished.record.counts
    track = toy_set.tracks["2shot-seed0"]
    assert (episodes.benchmark, episodes.protocol, episodes.protocol_version) == ("toy-20i", "strict", 1)
    assert (episodes.fold, episodes.shot, episodes.seed, episodes.n_episodes) == (0, 2, 0, 40)
    assert episodes.digest == episodes.track_digest == track.digest
    assert episodes.pools == {pool.id: pool.sha256 for pool in toy_set.manifest.classes}
    assert counts.sha256 == sha256_file(counts_path(finished))
    assert counts.rows == 80
    table = from_bytes(counts_path(finished).read_bytes(), where="counts")
    assert table.track.digest == track.digest


def test_a_result_says_what_was_run_and_how(finished: Evaluation) -> None:
    result = finished.record
    assert result.model.name == "copy-support"
    assert result.model.options == {"size": 32}
    assert (result.model.training, result.model.checkpoint_sha256, result.model.backbone) == ("not needed", None, None)
    assert (result.model.parameters, result.model.learnable_parameters, result.model.input_size) == (0, 0, 32)
    assert result.command.asked == ("fssbench", "eval")
    assert result.command.resolved == {"model": "copy-support"}
    ran = execution(finished)
    assert (ran.device, ran.precision) == ("cpu", "float32")
    assert ran.resumed_episodes == 0
    rounding = 0.0006  # of the seconds, and of episodes each second
    slowest, fastest = 40 / (ran.seconds + rounding), 40 / (ran.seconds - rounding)
    assert slowest - rounding <= ran.episodes_per_second <= fastest + rounding
    assert (result.source, result.predictions) == ("measured", None)
    assert result.environment.packages["torch"].startswith(torch.__version__.partition("+")[0])
    assert result.headline == "original/ignore"
    assert result.score is result.policies[0]


def test_a_result_follows_its_own_schema(finished: Evaluation) -> None:
    schema = Result.model_json_schema()
    content = json.loads(finished.path.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(content, schema)
    assert next(iter(content)) == "schema_version"
    content["surprise"] = 1
    with pytest.raises(jsonschema.ValidationError, match="surprise"):
        jsonschema.validate(content, schema)


# --- every figure from the counts alone -----------------------------------------------------------------


def rows_of(finished: Evaluation, policy: str) -> dict[int, list[tuple[int, ...]]]:
    """The counts under a policy by class, read without any of fssbench."""
    table = pq.ParquetFile(counts_path(finished)).read(use_threads=False).to_pylist()
    by_class: dict[int, list[tuple[int, ...]]] = {}
    for row in table:
        if row["policy"] == policy:
            counts = tuple(row[name] for name in ("inter_f", "union_f", "inter_b", "union_b", "valid"))
            by_class.setdefault(row["class_id"], []).append(counts)
    return by_class


@pytest.mark.parametrize("number", [0, 1])
def test_every_figure_follows_from_the_counts_alone(finished: Evaluation, number: int) -> None:
    stated = finished.record.policies[number]
    rows = rows_of(finished, stated.policy)
    assert stated.policy == ("original/ignore", "model/ignore")[number]
    assert [c.id for c in stated.per_class] == list(TOY_20I.novel_classes(0)) == sorted(rows)
    ious = []
    for c in stated.per_class:
        inter, union, *_ = (sum(column) for column in zip(*rows[c.id], strict=True))
        ious.append(inter / union)
        assert (c.iou.value, c.iou.n_episodes, c.iou.reason) == (inter / union, len(rows[c.id]), None)
        assert c.name == TOY_CLASSES[c.id]
    everything = [row for found in rows.values() for row in found]
    inter_f, union_f, inter_b, union_b, _ = (sum(column) for column in zip(*everything, strict=True))
    assert stated.miou.value == fsum(ious) / 20
    assert stated.fb_iou.value == (inter_f / union_f + inter_b / union_b) / 2
    assert stated.episode_iou.value == pytest.approx(fsum(row[0] / row[1] for row in everything) / 40, rel=1e-12)
    for overall in (stated.miou, stated.fb_iou, stated.episode_iou):
        assert (overall.n_episodes, overall.n_classes, overall.reason) == (40, 20, None)
    assert all(c.iou.n_classes == 1 for c in stated.per_class)


@pytest.fixture(scope="module")
def longer(toy_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    """A result of 200 episodes, ten of every class: enough for intervals over episodes. Not to be changed."""
    folder = tmp_path_factory.mktemp("longer")
    (episode_set,) = build_toy_sets(toy_raw, folder / "sets", folds=(1,), episodes=200)
    return run(copy_support(), job(episode_set, folder / "results"))


@pytest.mark.parametrize("number", [0, 1])
def test_intervals_follow_from_the_counts_and_the_digest_alone(longer: Evaluation, number: int) -> None:
    """As its method says: one episode of a class less is drawn and weighted up, seeded by the digest."""
    stated = longer.record.policies[number]
    rows = rows_of(longer, stated.policy)
    random = np.random.RandomState(int(longer.record.episodes.digest[:8], 16))
    totals, ious = np.zeros((2000, 5)), []
    for c in stated.per_class:
        own = np.array(rows[c.id], dtype=np.float64)
        summed = random.multinomial(9, [0.1] * 10, size=2000) @ own * (10 / 9)
        totals += summed
        ious.append(summed[:, 0] / summed[:, 1])
    fb_iou = (totals[:, 0] / totals[:, 1] + totals[:, 2] / totals[:, 3]) / 2
    for figure, values in zip((stated.miou, stated.fb_iou), (np.mean(ious, axis=0), fb_iou), strict=True):
        assert figure.other_episodes is not None
        assert figure.value is not None
        low, high = figure.other_episodes.low, figure.other_episodes.high
        assert (low, high) == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])))
        assert low < figure.value < high
        assert figure.other_episodes.method == "95 %, 2,000 resamples of episodes within class"


def test_the_interval_of_a_class_over_images_follows_from_its_rows_alone() -> None:
    """Every pair of episodes that shares an image counts, summed here pair by pair; with Student's t."""
    random = np.random.default_rng(0)
    episodes = [Episode(c, f"{c}/{n}", (f"{c}/{(n * 5 + 3) % 14}",)) for c in (1, 2) for n in range(14)]
    track = Track(benchmark="toy-20i", protocol="strict/1", fold=0, shot=1, seed=0, episodes=tuple(episodes))
    inter_f, missed = random.integers(100, 200, 28), random.integers(50, 100, 28)
    valid = np.full(28, 1000)
    counts = np.stack([inter_f, inter_f + missed, valid - inter_f - missed, valid - inter_f, valid], axis=1)
    query = QueryFacts(object_pixels=300, image_pixels=1000, n_classes=None)
    table = CountsTable(track, ("original/ignore",), counts[:, None], (query,) * 28)
    (stated,) = policy_results(table, classes={1: "one", 2: "two"})
    for c in stated.per_class:
        rows = [n for n, episode in enumerate(episodes) if episode.class_id == c.id]
        images = {n: {episodes[n].query, *episodes[n].supports} for n in rows}
        inter, union = (int(counts[rows, column].sum()) for column in (0, 1))
        # 14 images have 13 degrees of freedom, and each stands beside one other: that one is left out too.
        scale = (14 / 13) ** 0.5 * 13 / 12
        moves = {n: scale * (counts[n, 0] - inter / union * counts[n, 1]) / union for n in rows}
        own = fsum(move**2 for move in moves.values())
        shared = fsum(moves[e] * moves[f] * (1 if e == f else len(images[e] & images[f])) for e in rows for f in rows)
        reach = student(13) * max(own, shared) ** 0.5
        interval = c.iou.other_images
        assert interval is not None
        assert (interval.low, interval.high) == pytest.approx((inter / union - reach, inter / union + reach), abs=1e-4)
        assert interval.method == "95 %, linearised, clustered by query and support image"
        assert c.iou.other_episodes is not None
        assert c.iou.other_episodes.method != interval.method


def student(freedom: int) -> float:
    """The two-sided 95 % quantile of Student's t, by integrating its density."""
    t = np.linspace(0, 20, 200_001)
    density = (1 + t**2 / freedom) ** (-(freedom + 1) / 2)
    share = np.cumsum((density[1:] + density[:-1]) / 2)
    # The tail beyond 20 is below 1e-7 of the whole from 9 degrees of freedom on.
    return float(t[1:][np.searchsorted(share, 0.95 * share[-1])])


def test_fewer_than_ten_query_images_of_a_class_give_it_no_interval_and_none_over_images(
    finished: Evaluation, longer: Evaluation
) -> None:
    """The toy has eight images of a class, however many episodes are drawn from them."""
    for stated in (*finished.record.policies, *longer.record.policies):
        assert all(c.iou.other_episodes is c.iou.other_images is None for c in stated.per_class)
        for overall in (stated.miou, stated.fb_iou, stated.episode_iou):
            assert overall.other_images is None


def test_a_class_with_one_episode_leaves_no_interval(toy_set: EpisodeSet, tmp_path: Path) -> None:
    """Thirty episodes ask some of twenty classes only once, and one episode cannot vary."""
    for stated in run(copy_support(), job(toy_set, tmp_path, episodes=30)).record.policies:
        assert stated.miou.value is not None
        for overall in (stated.miou, stated.fb_iou, stated.episode_iou):
            assert overall.other_episodes is overall.other_images is None


def test_a_class_without_episodes_leaves_the_mean_undefined_with_a_reason(toy_set: EpisodeSet, tmp_path: Path) -> None:
    """Ten episodes cannot ask all twenty classes: no NaN, no silent zero, but null and why."""
    figures = run(copy_support(), job(toy_set, tmp_path, episodes=10)).record.score
    assert figures.miou.value is None
    assert figures.miou.other_episodes is figures.miou.other_images is None
    assert figures.miou.reason is not None
    assert figures.miou.reason.startswith("undefined for ")
    assert "(no episodes)" in figures.miou.reason
    assert sum(c.iou.reason == "no episodes" for c in figures.per_class) == 10
    assert figures.fb_iou.value is not None


def test_the_counts_are_a_table_that_datasets_loads_offline(
    finished: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One call on the file, with nothing of fssbench, gives every row."""
    import datasets

    def no_network(*args: object, **options: object) -> None:
        raise AssertionError("a file on disk needs no network")

    monkeypatch.setattr("socket.socket.connect", no_network)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    loaded = datasets.load_dataset(
        "parquet", data_files=str(counts_path(finished)), split="train", cache_dir=str(tmp_path)
    )
    assert loaded.num_rows == finished.record.counts.rows
    direct = pq.ParquetFile(counts_path(finished)).read(use_threads=False).to_pylist()
    assert list(loaded) == direct


def test_the_same_run_has_the_same_counts_and_figures(
    toy_set: EpisodeSet, tmp_path: Path, finished: Evaluation, own: Path
) -> None:
    again = run(copy_support(), job(toy_set, tmp_path, shot=2, workers=1))
    assert counts_path(again).read_bytes() == counts_path(finished).read_bytes()
    assert again.record.policies == finished.record.policies


# --- what is there already ------------------------------------------------------------------------------


def never(answer: Answer) -> None:
    raise AssertionError("nothing should have been asked")


def test_a_finished_result_is_left_as_it_is(toy_set: EpisodeSet, tmp_path: Path) -> None:
    first = run(copy_support(), job(toy_set, tmp_path))
    before = {file: file.stat().st_mtime_ns for file in first.path.parent.iterdir()}
    second = run(copy_support(), job(toy_set, tmp_path), look=never)
    assert second.skipped
    assert second.path == first.path
    assert second.record == first.record
    assert {file: file.stat().st_mtime_ns for file in first.path.parent.iterdir()} == before


def test_asking_for_all_episodes_by_number_is_the_same(toy_set: EpisodeSet, tmp_path: Path) -> None:
    run(copy_support(), job(toy_set, tmp_path))
    assert run(copy_support(), job(toy_set, tmp_path, episodes=40), look=never).skipped


def test_a_result_on_other_episodes_is_not_replaced_unasked(toy_set: EpisodeSet, tmp_path: Path) -> None:
    first = run(copy_support(), job(toy_set, tmp_path))
    digest = first.record.episodes.digest
    told = rf"\(digests {digest[:12]}… and \w{{12}}…\)"
    expected = rf"fold0-1shot-seed0\.json is a result on other episodes {told}; pass --overwrite"
    with pytest.raises(ResultError, match=expected):
        run(copy_support(), job(toy_set, tmp_path, episodes=20), look=never)
    assert read_result(first.path) == first.record


def test_a_result_on_the_first_episodes_is_replaced_by_one_on_more_of_them(toy_set: EpisodeSet, tmp_path: Path) -> None:
    first = run(copy_support(), job(toy_set, tmp_path, episodes=10))
    told: list[str] = []
    second = run(copy_support(), job(toy_set, tmp_path, episodes=30), note=told.append)
    assert second.path == first.path
    assert read_result(first.path).episodes.n_episodes == 30
    assert any("has the first 10 episodes; all 30 are evaluated, and replace it" in note for note in told)
    fresh = run(copy_support(), job(toy_set, tmp_path / "fresh", episodes=30))
    assert (second.table.counts == fresh.table.counts).all()


def test_masks_that_were_kept_are_not_replaced_by_a_result_without_them(toy_set: EpisodeSet, tmp_path: Path) -> None:
    run(copy_support(), job(toy_set, tmp_path, episodes=10, save_predictions=True))
    with pytest.raises(ResultError, match="is a result on other episodes"):
        run(copy_support(), job(toy_set, tmp_path, episodes=30), look=never)


def test_overwriting_replaces_result_and_counts(toy_set: EpisodeSet, tmp_path: Path) -> None:
    run(copy_support(), job(toy_set, tmp_path, episodes=20))
    asked: list[int] = []
    second = run(copy_support(), job(toy_set, tmp_path, overwrite=True), look=lambda answer: asked.append(answer.index))
    assert not second.skipped
    assert len(asked) == 40
    assert read_result(second.path).episodes.n_episodes == 40
    assert sha256_file(counts_path(second)) == second.record.counts.sha256


def test_a_damaged_result_in_the_way_is_named(toy_set: EpisodeSet, tmp_path: Path) -> None:
    first = run(copy_support(), job(toy_set, tmp_path, episodes=1))
    first.path.write_text("{}")
    with pytest.raises(ResultError, match=r"fold0-1shot-seed0\.json is not a result of this version: .*--overwrite"):
        run(copy_support(), job(toy_set, tmp_path, episodes=1))


@pytest.mark.parametrize("n", [0, 41])
def test_a_number_of_episodes_that_the_track_does_not_have_is_refused(
    toy_set: EpisodeSet, tmp_path: Path, n: int
) -> None:
    """Also where a result is there already."""
    for _ in range(2):
        with pytest.raises(UsageError, match=f"{n} episodes were asked of a track of 40"):
            run(copy_support(), job(toy_set, tmp_path, episodes=n), look=never)
        run(copy_support(), job(toy_set, tmp_path))


def test_a_track_that_is_not_there_is_refused(toy_set: EpisodeSet, tmp_path: Path) -> None:
    with pytest.raises(EpisodeSetError, match="no 7-shot track of seed 0"):
        run(copy_support(), job(toy_set, tmp_path, shot=7))
    assert not list(tmp_path.rglob("*.json"))


# --- interruption ---------------------------------------------------------------------------------------


class InterruptionError(Exception):
    """Stands for whatever ends a run halfway."""


def after(n: int) -> Callable[[Answer], None]:
    """Interrupt once ``n`` answers were given."""
    seen: list[int] = []

    def look(answer: Answer) -> None:
        seen.append(answer.index)
        if len(seen) == n:
            raise InterruptionError

    return look


def test_after_two_interruptions_only_what_is_left_is_asked(toy_set: EpisodeSet, tmp_path: Path) -> None:
    whole = run(copy_support(), job(toy_set, tmp_path / "whole"))
    for n in (10, 5):
        with pytest.raises(InterruptionError):
            run(copy_support(), job(toy_set, tmp_path / "cut"), look=after(n))
    asked: list[int] = []
    resumed = run(copy_support(), job(toy_set, tmp_path / "cut"), look=lambda answer: asked.append(answer.index))
    assert len(asked) == 25
    assert execution(resumed).resumed_episodes == 15
    assert counts_path(resumed).read_bytes() == counts_path(whole).read_bytes()
    assert resumed.record.policies == whole.record.policies
    assert len(list(resumed.path.parent.iterdir())) == 2


@pytest.mark.parametrize("changes", [{"shot": 2}, {"overwrite": True}])
def test_counts_of_another_run_are_not_taken_over(toy_set: EpisodeSet, tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(InterruptionError):
        run(copy_support(), job(toy_set, tmp_path), look=after(10))
    if "shot" in changes:  # even if its file came under this one's name
        (left,) = [file for file in tmp_path.rglob("*") if file.is_file()]
        left.rename(left.with_name(left.name.replace("1shot", "2shot")))
    assert execution(run(copy_support(), job(toy_set, tmp_path, **changes))).resumed_episodes == 0


def test_counts_made_on_another_device_are_not_taken_over(toy_set: EpisodeSet, tmp_path: Path) -> None:
    """Masks may differ between kinds of devices, and a result states one; which of several it was does not matter."""
    for device, resumed in (("cuda", 0), ("cpu", 10)):
        output = tmp_path / device
        with pytest.raises(InterruptionError):
            run(copy_support(), job(toy_set, output), look=after(10))
        (left,) = output.rglob("*.counts.partial")
        assert left.read_text().count(" cpu ") == 1
        left.write_text(left.read_text().replace(" cpu ", f" {device} "))
        assert execution(run(copy_support(), job(toy_set, output, device="cpu:0"))).resumed_episodes == resumed


# --- official -------------------------------------------------------------------------------------------


def official_set(toy_set: EpisodeSet) -> EpisodeSet:
    """The toy set as if nothing spoke against it."""
    tracks = tuple(track.model_copy(update={"unofficial": ()}) for track in toy_set.manifest.tracks)
    return EpisodeSet(toy_set.path, toy_set.manifest.model_copy(update={"unofficial": (), "tracks": tracks}))


@pytest.mark.usefixtures("clean")
def test_a_result_is_official_if_nothing_speaks_against_it(toy_set: EpisodeSet, tmp_path: Path) -> None:
    result = run(copy_support(), job(official_set(toy_set), tmp_path)).record
    assert result.official
    assert result.unofficial == ()


@pytest.mark.usefixtures("clean")
def test_what_speaks_against_the_set_and_the_track_speaks_against_the_result(
    toy_set: EpisodeSet, tmp_path: Path
) -> None:
    result = run(copy_support(), job(toy_set, tmp_path)).record
    assert not result.official
    assert result.unofficial == (*toy_set.manifest.unofficial, "40 episodes, the protocol's are 1,000")
    assert any("not a published benchmark" in reason for reason in result.unofficial)


@pytest.mark.usefixtures("clean")
def test_a_part_of_the_track_is_unofficial(toy_set: EpisodeSet, tmp_path: Path) -> None:
    result = run(copy_support(), job(official_set(toy_set), tmp_path, episodes=30)).record
    assert result.unofficial == ("only the first 30 of 40 episodes were asked",)
    assert result.episodes.digest != result.episodes.track_digest


@pytest.mark.usefixtures("clean")
def test_a_random_backbone_is_unofficial(toy_set: EpisodeSet, tmp_path: Path) -> None:
    result = run(load("prototype", RESNET), job(official_set(toy_set), tmp_path, episodes=40)).record
    assert result.unofficial == ("the backbone has random weights", "the model is untrained")
    assert result.model.training == "untrained"


@pytest.mark.usefixtures("clean")
def test_a_model_that_was_not_trained_is_unofficial(toy_set: EpisodeSet, tmp_path: Path, own: Path) -> None:
    result = run(load(f"{own}:Net", weights="none"), job(official_set(toy_set), tmp_path)).record
    assert result.unofficial == ("the model is untrained",)


def test_uncommitted_changes_are_unofficial(
    toy_set: EpisodeSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dirty = CLEAN.model_copy(update={"git_dirty": True})
    monkeypatch.setattr(module, "describe_environment", lambda *_: dirty)
    result = run(copy_support(), job(official_set(toy_set), tmp_path, episodes=40)).record
    assert result.unofficial == ("fssbench ran from a checkout with uncommitted changes",)
    assert result.environment == dirty


# --- the headline ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("clean")
def test_ignored_pixels_may_be_counted_in_the_headline_unofficially(toy_set: EpisodeSet, tmp_path: Path) -> None:
    """Both ways are scored and the counts are the same; another headline than the protocol's speaks against it."""
    official = official_set(toy_set)
    ignoring = EpisodeSet(official.path, official.manifest.model_copy(update={"ignore_label": 255}))
    plain = run(copy_support(), job(ignoring, tmp_path / "a")).record
    other = run(copy_support(), job(ignoring, tmp_path / "b", exclude_ignored=False)).record
    assert (plain.headline, other.headline) == ("original/ignore", "original/no-ignore")
    assert other.score.policy == "original/no-ignore"
    assert (plain.counts, plain.policies) == (other.counts, other.policies)
    assert plain.official
    assert other.unofficial == ("the headline is original/no-ignore, which is not the protocol's",)


def test_a_result_with_another_headline_is_not_replaced_unasked(toy_set: EpisodeSet, tmp_path: Path) -> None:
    ignoring = EpisodeSet(toy_set.path, toy_set.manifest.model_copy(update={"ignore_label": 255}))
    run(copy_support(), job(ignoring, tmp_path))
    with pytest.raises(ResultError, match=r"has original/ignore as its headline, not original/no-ignore; pass"):
        run(copy_support(), job(ignoring, tmp_path, exclude_ignored=False), look=never)


def test_where_nothing_is_ignored_it_cannot_be_counted(toy_set: EpisodeSet, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Toy-20i has no ignore label; leave out --no-ignore-label"):
        job(toy_set, tmp_path, exclude_ignored=False)


# --- models and their weights ---------------------------------------------------------------------------


def find(weights: str | None, *, name: str = "net", n_folds: int = 1, fold: int = 2, home: Path) -> Path | None:
    return find_weights(
        weights, name=name, backbone="resnet50", benchmark=TOY_20I, fold=fold, n_folds=n_folds, home=Home(home)
    )


def test_none_means_no_weights(tmp_path: Path) -> None:
    assert find("none", home=tmp_path) is None
    assert find("none", n_folds=4, home=tmp_path) is None


def test_fold_in_braces_stands_for_the_fold(tmp_path: Path) -> None:
    assert find("runs/{fold}/net-{fold}.pt", n_folds=4, fold=3, home=tmp_path) == Path("runs/3/net-3.pt")
    assert find("one.pt", home=tmp_path) == Path("one.pt")


def test_one_file_for_several_folds_is_refused(tmp_path: Path) -> None:
    """It was trained on classes that other folds test."""
    with pytest.raises(UsageError, match=r"--weights one\.pt is one file for 4 folds.*; write \{fold\} where"):
        find("one.pt", n_folds=4, home=tmp_path)


def test_weights_are_looked_up_in_the_home(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / "toy-20i" / "net-resnet50-fold2.pt"
    with pytest.raises(ModelError, match=rf"net needs trained weights and {path} is not there; pass --weights PATH"):
        find(None, home=tmp_path)
    path.parent.mkdir(parents=True)
    path.touch()
    assert find(None, home=tmp_path) == path


def test_the_home_is_not_left_for_a_model_of_a_users_file(tmp_path: Path) -> None:
    """A path is not a file name: what is looked up stays below the home's checkpoints."""
    with pytest.raises(ModelError) as caught:
        find(None, name="/somewhere/else/own.py:Net", home=tmp_path)
    assert f"{tmp_path / 'checkpoints' / 'toy-20i'}/" in str(caught.value)


def test_a_model_that_needs_training_is_not_run_without_weights_unasked(own: Path) -> None:
    """However it is built: by its class, or by a function."""
    for name in (f"{own}:Net", f"{own}:make"):
        with pytest.raises(ModelError, match=r"needs trained weights and .* run untrained with --weights none"):
            load(name)


def test_a_checkpoint_is_loaded_and_recorded_by_hash(own: Path, tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.save({"weight": torch.ones(2, 3), "fixed": torch.ones(5)}, path)
    loaded = load(f"{own}:Net", {"size": 16}, weights=str(path))
    assert all((tensor == 1).all() for tensor in loaded.model.state_dict().values())
    record = loaded.record
    assert (record.training, record.checkpoint_sha256) == ("trained", sha256_file(path))
    assert (record.name, record.code_sha256) == ("own_net.py:Net", sha256_bytes(OWN.encode()))
    assert (record.parameters, record.learnable_parameters, record.input_size) == (11, 6, 16)
    with pytest.raises(CheckpointError, match=r"net\.pt does not fit CopySupport: 2 unexpected \(fixed, weight\)"):
        load("copy-support", weights=str(path))


def test_a_checkpoint_holds_the_backbone_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one, the backbone's own weights are not fetched, even if they are named: there is no network."""

    def download(*args: object, **options: object) -> None:
        raise AssertionError("nothing should be downloaded")

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    state = load("prototype", RESNET).model.state_dict()
    path = tmp_path / "prototype.pt"
    torch.save({name: tensor + 1 if tensor.is_floating_point() else tensor for name, tensor in state.items()}, path)
    loaded = load("prototype", RESNET | {"backbone_weights": "imagenet"}, weights=str(path))
    assert (loaded.record.backbone, loaded.record.backbone_weights) == ("resnet18", "checkpoint")
    assert loaded.record.training == "trained"
    key = "features.conv1.weight"
    assert torch.equal(loaded.model.state_dict()[key], state[key] + 1)


def test_results_of_different_models_options_and_weights_have_different_folders(own: Path, tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.save({"weight": torch.ones(2, 3), "fixed": torch.ones(5)}, path)
    loaded = [
        load(f"{own}:Net", weights="none"),
        load(f"{own}:Net", weights=str(path)),
        load(f"{own}:Net", {"size": 16}, weights="none"),
        load("copy-support"),
        load("prototype", RESNET),
    ]
    folders = [results_folder(one.record) for one in loaded]
    assert len(set(folders)) == len(folders)
    assert [folder.rpartition("-")[0] for folder in folders] == [
        *["own_net-Net"] * 3,
        "copy-support",
        "prototype-resnet18",
    ]
    assert results_folder(load("copy-support").record) == folders[3]


def test_a_changed_file_of_a_users_model_is_another_model(toy_set: EpisodeSet, tmp_path: Path, own: Path) -> None:
    """Its results do not pass for those of the file as it was."""
    first = load(f"{own}:Net", weights="none")
    own.write_text(OWN + "\n# changed")
    second = load(f"{own}:Net", weights="none")
    assert results_folder(first.record) != results_folder(second.record)
    assert first.record.code_sha256 != second.record.code_sha256


def test_models_given_in_code_are_run_as_well(
    toy_set: EpisodeSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A registered model, with `predict` alone or of features, goes the whole way."""
    monkeypatch.setattr(registry, "_registered", {"redder": Redder, "voters": Voters})
    for name in ("redder", "voters"):
        done = run(load(name, {"size": 48}), job(toy_set, tmp_path, shot=2))
        assert done.record.score.miou.value is not None
        assert 0 < done.record.score.miou.value < 1
        assert done.path.parent.name.startswith(f"{name}-")

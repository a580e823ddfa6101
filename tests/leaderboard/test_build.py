"""The leaderboard: built from results that follow from their counts, ranked only where episodes are the same."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from math import fsum
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow.parquet as pq
import pytest
from toys import build_toy_sets

from fssbench.base.errors import ResultError
from fssbench.base.files import sha256_bytes, sha256_file
from fssbench.base.home import Home
from fssbench.engine.job import Job
from fssbench.engine.model import LoadedModel, load_model
from fssbench.engine.run import run
from fssbench.episodes.benchmarks import TOY_20I, TOY_CLASSES
from fssbench.leaderboard.board import Leaderboard
from fssbench.leaderboard.build import build_leaderboard, gather
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.results.evaluation import Evaluation
from fssbench.schemas.leaderboard import Entry

Edit = Callable[[Any], object]

FOLDS = (0, 1, 2, 3)
OWN = """
import torch
from fssbench.models.baselines import CopySupport

class Half(CopySupport):
    def predict(self, query, supports, masks):
        answer = super().predict(query, supports, masks)
        answer[:, : answer.shape[1] // 2] = 0
        return answer
"""


@pytest.fixture(scope="module")
def sets(toy_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> list[EpisodeSet]:
    """All folds, 40 episodes of seeds 0 and 1: every class is asked twice."""
    return build_toy_sets(toy_raw, tmp_path_factory.mktemp("sets"), folds=FOLDS, episodes=40)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own") / "half.py"
    path.write_text(OWN)
    return path


def load(name: str, **options: Any) -> LoadedModel:
    return load_model(name, options, weights=None, benchmark=TOY_20I, fold=0, home=Home.find())


def ask(
    loaded: LoadedModel, one: EpisodeSet, output: Path, *, seed: int = 0, episodes: int | None = None
) -> Evaluation:
    return run(loaded, Job(episode_set=one, shot=1, seed=seed, episodes=episodes, output=output, workers=1))


@pytest.fixture(scope="module")
def measured(sets: list[EpisodeSet], own: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of three models on all folds, seed 0. Not to be changed."""
    output = tmp_path_factory.mktemp("measured")
    for loaded in (load("copy-support", size=32), load("all-foreground", size=32), load(f"{own}:Half", size=32)):
        for one in sets:
            ask(loaded, one, output)
    return output


@pytest.fixture
def results(measured: Path, tmp_path: Path) -> Path:
    """A copy of them to change."""
    return Path(shutil.copytree(measured, tmp_path / "results"))


def files(results: Path, model: str, fold: int) -> tuple[Path, Path]:
    """A model's result and counts on a fold."""
    (result,) = results.glob(f"*/*/{model}-*/fold{fold}-1shot-seed0.json")
    return result, result.with_suffix(".counts.parquet")


def edit(path: Path, change: Edit) -> None:
    """Change a result by hand."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def entry(board: Leaderboard, model: str) -> Entry:
    (found,) = [entry for entry in board.entries if entry.model.name.endswith(model)]
    return found


def remove(results: Path, model: str, *folds: int) -> None:
    for fold in folds:
        for file in files(results, model, fold):
            file.unlink()


# --- entries --------------------------------------------------------------------------------------------


def test_an_entry_is_a_model_over_all_its_folds(measured: Path) -> None:
    board = build_leaderboard(measured)
    assert (board.schema_version, board.kind) == (2, "fssbench-leaderboard")
    assert sorted(e.label for e in board.entries) == [
        "all-foreground (size=32)",
        "copy-support (size=32)",
        "half.py:Half (size=32)",
    ]
    for found in board.entries:
        assert (found.benchmark, found.protocol, found.protocol_version, found.shot) == ("toy-20i", "strict", 1, 1)
        assert found.policy == "original/ignore"
        assert [(r.fold, r.seed, r.n_episodes) for r in found.runs] == [(fold, 0, 40) for fold in FOLDS]
        assert found.checkpoints == dict.fromkeys(FOLDS)
        assert found.source == "measured"


def test_a_run_names_its_file_and_its_hash(measured: Path) -> None:
    """Anyone can find the result an entry rests on, and tell that it is the one."""
    runs = [run for entry in build_leaderboard(measured).entries for run in entry.runs]
    assert len({run.result for run in runs}) == 12
    for one in runs:
        assert sha256_file(measured / one.result) == one.result_sha256
        stated = json.loads((measured / one.result).read_text())
        assert one.digest == stated["episodes"]["digest"]
        assert one.miou == stated["policies"][0]["miou"]["value"]
        assert one.fb_iou == stated["policies"][0]["fb_iou"]["value"]


def by_hand(counts: Path) -> tuple[float, float]:
    """mIoU and FB-IoU of a fold at original size, from the table of counts alone."""
    rows = [
        row for row in pq.ParquetFile(counts).read(use_threads=False).to_pylist() if row["policy"] == "original/ignore"
    ]

    def iou(own: list[dict[str, int]], which: str) -> float:
        return sum(row[f"inter_{which}"] for row in own) / sum(row[f"union_{which}"] for row in own)

    classes = sorted({row["class_id"] for row in rows})
    assert len(classes) == 20
    miou = fsum(iou([row for row in rows if row["class_id"] == c], "f") for c in classes) / 20
    return miou, (iou(rows, "f") + iou(rows, "b")) / 2


@pytest.mark.parametrize("model", ["copy-support", "all-foreground", "half-Half"])
def test_the_score_is_the_mean_over_folds_computed_by_hand(measured: Path, model: str) -> None:
    found = entry(build_leaderboard(measured), model.rpartition("half-")[2])
    mious, fb_ious = zip(*(by_hand(files(measured, model, fold)[1]) for fold in FOLDS), strict=True)
    assert found.miou.value == pytest.approx(sum(mious) / 4, rel=1e-12)
    assert found.fb_iou.value == pytest.approx(sum(fb_ious) / 4, rel=1e-12)
    assert found.miou.reason is found.fb_iou.reason is None
    assert len(set(mious)) == 4


def test_ranks_are_by_mean_and_entries_are_in_their_order(measured: Path) -> None:
    board = build_leaderboard(measured)
    values = [found.miou.value or 0 for found in board.entries]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == 3
    assert [found.rank for found in board.entries] == [1, 2, 3]
    assert len({found.episodes_digest for found in board.entries}) == 1


def test_what_speaks_against_a_run_speaks_against_its_entry(measured: Path) -> None:
    for found in build_leaderboard(measured).entries:
        assert not found.official
        assert any("not a published benchmark" in reason for reason in found.unofficial)
        assert len(set(found.unofficial)) == len(found.unofficial)


def test_the_leaderboard_follows_its_own_schema(measured: Path) -> None:
    board, schema = build_leaderboard(measured), Leaderboard.model_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    content = json.loads(board.to_json())
    jsonschema.validate(content, schema)
    assert Leaderboard.model_validate_json(board.to_json()) == board
    content["entries"][0]["miou"]["value"] = 1.5
    with pytest.raises(jsonschema.ValidationError, match="maximum of 1"):
        jsonschema.validate(content, schema)


def test_the_leaderboard_does_not_depend_on_where_the_results_lie(measured: Path, results: Path) -> None:
    assert build_leaderboard(results).to_json() == build_leaderboard(measured).to_json()


def test_speed_is_over_the_episodes_that_were_asked_and_the_time_they_took(results: Path) -> None:
    """Episodes that an earlier run had asked took no time in this one."""
    for fold in FOLDS:
        edit(
            files(results, "copy-support", fold)[0],
            lambda r: r["execution"].update(seconds=2.0, resumed_episodes=10),
        )
    assert entry(build_leaderboard(results), "copy-support").episodes_per_second == (4 * 30) / (4 * 2)


# --- folds and seeds ------------------------------------------------------------------------------------


def test_without_all_folds_there_is_no_mean_but_a_reason(results: Path) -> None:
    remove(results, "copy-support", 1, 3)
    board = build_leaderboard(results)
    found = entry(board, "copy-support")
    assert (found.miou.value, found.fb_iou.value, found.rank) == (None, None, None)
    assert found.miou.reason == found.fb_iou.reason == "no result on fold 1, 3"
    assert "no result on fold 1, 3" in found.unofficial
    assert [run.fold for run in found.runs] == [0, 2]
    assert sorted(e.rank for e in board.entries if e.rank is not None) == [1, 2]


def test_a_fold_without_a_score_leaves_the_mean_undefined_with_its_reason(
    results: Path, sets: list[EpisodeSet]
) -> None:
    """Ten episodes do not ask all classes: the fold has no mIoU, the entry none either, but an FB-IoU."""
    remove(results, "all-foreground", 2)
    ask(load("all-foreground", size=32), sets[2], results, episodes=10)
    found = entry(build_leaderboard(results), "all-foreground")
    assert found.miou.value is None
    assert found.miou.reason is not None
    assert found.miou.reason.startswith("fold 2: undefined for ")
    assert found.rank is None
    assert found.fb_iou.value is not None
    assert "only the first 10 of 40 episodes were asked" in found.unofficial


def test_several_seeds_are_averaged_when_all_folds_have_them(results: Path, sets: list[EpisodeSet]) -> None:
    for one in sets:
        ask(load("copy-support", size=32), one, results, seed=1)
    found = entry(build_leaderboard(results), "copy-support")
    assert [(r.fold, r.seed) for r in found.runs] == [(fold, seed) for fold in FOLDS for seed in (0, 1)]
    mious = [r.miou for r in found.runs if r.miou is not None]
    assert found.miou.value == pytest.approx(sum(mious) / 8, rel=1e-12)
    assert len(set(mious)) == 8


def test_folds_of_different_seeds_have_no_mean(results: Path, sets: list[EpisodeSet]) -> None:
    ask(load("copy-support", size=32), sets[3], results, seed=1)
    found = entry(build_leaderboard(results), "copy-support")
    assert found.miou.value is None
    assert found.miou.reason == "folds were evaluated with different seeds"


# --- what is ranked together ----------------------------------------------------------------------------


def test_different_episodes_are_never_ranked_together(results: Path, sets: list[EpisodeSet]) -> None:
    """The first 20 episodes are not the 40, whatever the scores: each has its own first place."""
    remove(results, "all-foreground", *FOLDS)
    for one in sets:
        ask(load("all-foreground", size=32), one, results, episodes=20)
    board = build_leaderboard(results)
    short, rest = entry(board, "all-foreground"), [entry(board, "copy-support"), entry(board, "Half")]
    assert short.miou.value is not None
    assert short.rank == 1
    assert sorted(e.rank or 0 for e in rest) == [1, 2]
    assert {e.episodes_digest for e in rest} != {short.episodes_digest}


def test_one_fold_of_other_episodes_is_enough_to_be_ranked_apart(results: Path, sets: list[EpisodeSet]) -> None:
    remove(results, "copy-support", 3)
    ask(load("copy-support", size=32), sets[3], results, episodes=20)
    board = build_leaderboard(results)
    assert entry(board, "copy-support").rank == 1
    assert sorted(e.rank or 0 for e in board.entries) == [1, 1, 2]


def test_other_options_are_another_entry(results: Path, sets: list[EpisodeSet]) -> None:
    for one in sets:
        ask(load("copy-support", size=16), one, results)
    board = build_leaderboard(results)
    labels = sorted(e.label for e in board.entries if e.model.name == "copy-support")
    assert labels == ["copy-support (size=16)", "copy-support (size=32)"]
    assert sorted(e.rank or 0 for e in board.entries) == [1, 2, 3, 4]


def test_a_control_stands_in_the_board_without_a_rank(results: Path, sets: list[EpisodeSet]) -> None:
    """It has a mean over all folds like anybody, and takes no rank away."""
    before = {e.label: e.rank for e in build_leaderboard(results).entries}
    model = load("copy-support", size=48)
    control = LoadedModel(model.model, model.record.model_copy(update={"control": "wrong-class"}))
    for one in sets:
        ask(control, one, results)
    board = build_leaderboard(results)
    (found,) = (e for e in board.entries if e.model.control is not None)
    assert found.miou.value is not None
    assert (found.rank, found.official) == (None, False)
    assert {e.label: e.rank for e in board.entries if e is not found} == before


def test_checkpoints_may_differ_by_fold(results: Path) -> None:
    """A model is trained anew for each fold; it is one entry, which names every fold's checkpoint."""
    for fold in FOLDS:

        def train(result: Any, fold: int = fold) -> None:
            result["model"].update(training="trained", checkpoint_sha256=f"{fold}" * 64)

        edit(files(results, "copy-support", fold)[0], train)
    found = entry(build_leaderboard(results), "copy-support")
    assert found.checkpoints == {fold: f"{fold}" * 64 for fold in FOLDS}
    assert found.miou.value is not None


def untrained(result: Any) -> None:
    result["model"]["training"] = "untrained"
    result["unofficial"] = [*result["unofficial"], "the model is untrained"]


def test_untrained_models_are_marked(results: Path) -> None:
    for fold in FOLDS:
        edit(files(results, "copy-support", fold)[0], untrained)
    assert entry(build_leaderboard(results), "copy-support").label == "copy-support (size=32, untrained)"


def test_two_results_of_one_model_on_one_fold_and_seed_are_refused(results: Path) -> None:
    (results / "again").mkdir()
    for file in files(results, "copy-support", 2):
        shutil.copy(file, results / "again")
    expected = (
        r"again/fold2-1shot-seed0\.json and .*copy-support-.*/fold2-1shot-seed0\.json are both "
        r"copy-support \(size=32\) on fold 2, seed 0; keep one of them"
    )
    with pytest.raises(ResultError, match=expected):
        build_leaderboard(results)


# --- what is not believed -------------------------------------------------------------------------------


def set_figure(policy: int, *path: str | int, to: object) -> Edit:
    def change(result: Any) -> None:
        place = result["policies"][policy]
        *way, last = path
        for step in way:
            place = place[step]
        assert place[last] != to
        place[last] = to

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (set_figure(0, "miou", "value", to=0.99), r"original/ignore\.miou\.value: the result says 0\.99"),
        (set_figure(0, "fb_iou", "value", to=0.99), r"original/ignore\.fb_iou\.value: the result says 0\.99"),
        (set_figure(0, "episode_iou", "value", to=0.99), r"original/ignore\.episode_iou\.value: the result says 0\.99"),
        (
            set_figure(0, "per_class", 7, "iou", "value", to=0.99),
            rf"original/ignore\.per_class\.{TOY_CLASSES[29]}\.iou\.value: the result says 0\.99",
        ),
        (
            set_figure(0, "per_class", 7, "iou", "n_episodes", to=3),
            rf"original/ignore\.per_class\.{TOY_CLASSES[29]}\.iou\.n_episodes: the result says 3",
        ),
        (set_figure(0, "miou", "n_episodes", to=1000), r"original/ignore\.miou\.n_episodes: the result says 1000"),
        (
            set_figure(0, "miou", "other_episodes", "low", to=0.4),
            r"original/ignore\.miou\.other_episodes\.low: the result says 0\.4",
        ),
        (set_figure(0, "splits", 1, "by", to="colour"), r"original/ignore\.splits\.\w+\.by: the result says .colour."),
        (set_figure(1, "miou", "value", to=0.99), r"model/ignore\.miou\.value: the result says 0\.99"),
    ],
    ids=[
        *("miou", "fb_iou", "mean of episodes", "a class", "a class's episodes", "episodes"),
        *("an interval", "a split", "another policy"),
    ],
)
def test_a_figure_edited_by_hand_is_refused(results: Path, change: Edit, said: str) -> None:
    path, _ = files(results, "copy-support", 1)
    edit(path, change)
    expected = rf"copy-support-.*/fold1-1shot-seed0\.json: {said}.*, its counts give .*; see .* fssbench score --check"
    with pytest.raises(ResultError, match=expected):
        gather(results)


def test_a_figure_raised_by_the_least_step_is_refused(results: Path) -> None:
    def raise_little(result: Any) -> None:
        result["policies"][0]["miou"]["value"] += 1e-15

    edit(files(results, "copy-support", 1)[0], raise_little)
    with pytest.raises(ResultError, match=r"original/ignore\.miou\.value: the result says .*, its counts give"):
        gather(results)


@pytest.mark.parametrize(
    ("field", "value"),
    [("fold", 2), ("fold", 9), ("seed", 5), ("shot", 5), ("benchmark", "coco-20i"), ("n_episodes", 10_000)],
)
def test_a_result_that_says_of_its_counts_what_they_are_not_is_refused(
    results: Path, field: str, value: object
) -> None:
    """A fold's result cannot be passed off as another fold's, shot's, seed's or benchmark's, nor as a longer one."""
    for model in ("all-foreground", "half-Half"):
        remove(results, model, *FOLDS)
    remove(results, "copy-support", 1, 2, 3)
    edit(files(results, "copy-support", 0)[0], lambda r: r["episodes"].update({field: value}))
    said = rf"fold0-1shot-seed0\.json: episodes\.{field}: the result says {value}, its counts "
    with pytest.raises(ResultError, match=said):
        build_leaderboard(results)


@pytest.mark.parametrize("added", [False, True])
def test_the_mean_is_over_the_folds_own_classes(results: Path, sets: list[EpisodeSet], added: bool) -> None:
    """Striking the classes that were not asked would make a mean of the others; a strange class is no better."""
    remove(results, "copy-support", 0)
    done = ask(load("copy-support", size=32), sets[0], results, episodes=10)
    figures = done.record.policies

    def change(result: Any) -> None:
        for stated, true in zip(result["policies"], figures, strict=True):
            if added:
                stated["per_class"].append(stated["per_class"][-1] | {"id": 1})
                continue
            values = [c.iou.value for c in true.per_class if c.iou.value is not None]
            stated["per_class"] = [c for c in stated["per_class"] if c["iou"]["n_episodes"]]
            stated["miou"].update(value=fsum(values) / len(values), reason=None)

    edit(done.path, change)
    with pytest.raises(ResultError, match=r"fold0-1shot-seed0\.json"):
        gather(results)


def test_a_result_cannot_choose_the_size_it_is_ranked_at(results: Path) -> None:
    """The headline is the protocol's, with ignored pixels left out or counted; never that of another size."""
    edit(files(results, "copy-support", 0)[0], lambda r: r.update(headline="model/ignore"))
    with pytest.raises(ResultError, match=r"fold0-1shot-seed0\.json: .*headline"):
        gather(results)


def test_missing_counts_are_named(results: Path) -> None:
    files(results, "copy-support", 1)[1].unlink()
    expected = r"fold1-1shot-seed0\.json: .*fold1-1shot-seed0\.counts\.parquet cannot be read: No such file .*; see"
    with pytest.raises(ResultError, match=expected):
        gather(results)


def test_counts_that_are_not_the_ones_named_are_refused(results: Path) -> None:
    _, counts = files(results, "copy-support", 1)
    data = bytearray(counts.read_bytes())
    data[len(data) // 2] ^= 1
    stated, found = sha256_file(counts), sha256_bytes(bytes(data))
    counts.write_bytes(data)
    said = rf"fold1-1shot-seed0\.json: counts\.sha256: the result says {stated}, .*\.counts\.parquet has {found}"
    with pytest.raises(ResultError, match=said):
        gather(results)


def test_masks_that_were_kept_are_read_again(results: Path, sets: list[EpisodeSet]) -> None:
    """A damaged one is found, though no figure depends on it."""
    for fold in FOLDS:
        remove(results, "copy-support", fold)
    job = Job(episode_set=sets[1], shot=1, seed=0, episodes=None, output=results, workers=1, save_predictions=True)
    done = run(load("copy-support", size=32), job)
    build_leaderboard(results)
    (shard,) = done.path.with_suffix(".predictions").glob("*.tar")
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(ResultError, match=r"fold1-1shot-seed0\.json: .*predictions-000000\.tar is damaged"):
        gather(results)


def test_scores_of_masks_are_an_entry_beside_the_measured_ones(results: Path) -> None:
    """Whether a model was asked, or its masks were there, is said; without any asking there is no speed."""
    for fold in FOLDS:

        def recomputed(result: Any) -> None:
            result.update(source="recomputed", execution=None)

        edit(files(results, "copy-support", fold)[0], recomputed)
    board = build_leaderboard(results)
    found = entry(board, "copy-support")
    assert (found.source, found.episodes_per_second, found.device_name) == ("recomputed", None, None)
    assert entry(board, "Half").source == "measured"


def substitute(results: Path, other: str, fold: int) -> None:
    """Let copy-support's result on fold 1 name another run's counts."""
    result, counts = files(results, "copy-support", 1)
    shutil.copy(files(results, other, fold)[1], counts)
    edit(result, lambda r: r["counts"].update(sha256=sha256_file(counts)))


def test_another_models_counts_do_not_give_these_figures(results: Path) -> None:
    substitute(results, "all-foreground", 1)
    said = r"original/ignore\.miou\.value: the result says .*, its counts give .*, and \d+ more; see"
    with pytest.raises(ResultError, match=said):
        gather(results)


def test_another_folds_counts_are_of_other_episodes(results: Path) -> None:
    substitute(results, "copy-support", 2)
    with pytest.raises(ResultError, match=r"episodes\.fold: the result says 1, its counts 2, and \d+ more"):
        gather(results)


def test_a_policy_without_counts_is_refused(results: Path) -> None:
    def invent(result: Any) -> None:
        result["policies"].append(result["policies"][0] | {"policy": "invented"})

    edit(files(results, "copy-support", 1)[0], invent)
    with pytest.raises(ResultError, match=r"the policies: the result says \[.*'invented'\], its counts \['original/ig"):
        gather(results)


def test_a_result_that_is_not_whole_is_refused(results: Path) -> None:
    edit(files(results, "copy-support", 1)[0], lambda r: r.pop("execution"))
    with pytest.raises(ResultError, match=r"fold1-1shot-seed0\.json: execution: Field required; see"):
        gather(results)


# --- other files ----------------------------------------------------------------------------------------


def test_other_files_below_the_folder_are_left_alone(results: Path) -> None:
    board = build_leaderboard(results)
    (results / "leaderboard.json").write_text(board.to_json())
    (results / "notes.json").write_text('{"kind": "notes", "text": "a result"}')
    (results / "broken.json").write_bytes(b"\xff\xfe{")
    (results / "empty.json").touch()
    (results / "readme.txt").write_text('"fssbench-result"')
    assert build_leaderboard(results).to_json() == board.to_json()


def test_a_folder_that_is_not_there_or_holds_no_results_is_named(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=r"there is no folder .*absent; pass the folder given to eval as --output"):
        build_leaderboard(tmp_path / "absent")
    (tmp_path / "notes.json").write_text("{}")
    with pytest.raises(ResultError, match="holds no results; make some with fssbench eval --output"):
        build_leaderboard(tmp_path)

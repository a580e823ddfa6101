"""A table of drawn data is run, measured and set beside what is reported; a failure or an interruption ends it."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from command import Command

from fssbench.base.errors import FssbenchError, ResultError, UsageError
from fssbench.base.progress import SILENT, Bar, Report
from fssbench.cli import main
from fssbench.episodes.benchmarks import COCO_20I, PASCAL_5I, TOY_20I, Benchmark
from fssbench.leaderboard.reported import Ours, Row, read_paper
from fssbench.leaderboard.reproduction.given import Given
from fssbench.leaderboard.reproduction.measured import Figure, measure
from fssbench.leaderboard.reproduction.places import Results
from fssbench.leaderboard.reproduction.runs import Evaluation, Variant
from fssbench.leaderboard.reproduction.settings import Settings, Trial
from fssbench.leaderboard.reproduction.steps import Step
from fssbench.leaderboard.reproduction.table import Reproduction
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.schemas.result import read_result
from fssbench.training.recipe import find_recipe

PAPER = """
name = "own"
title = "Drawn"
authors = "We"
venue = "here"
[[tables]]
name = "own-table1"
number = "Table 1"
title = "Toy-20i"
each = { benchmark = "toy-20i", protocol = "strict" }
rows = [%s]
"""
HSNET = '{ model = "hsnet", options = { size = 48, backbone_weights = "none" } }'


@pytest.fixture
def home(tmp_path: Path, toy_raw: Path) -> Path:
    """A home with the toy's data."""
    (tmp_path / "home/raw").mkdir(parents=True)
    (tmp_path / "home/raw/toy").symlink_to(toy_raw)
    return tmp_path / "home"


def table(folder: Path, *rows: str) -> Path:
    (folder / "own.toml").write_text(PAPER % ",\n".join(rows))
    return folder / "own.toml"


def test_a_training_and_its_evaluations_are_run_once_and_measured(
    fssbench: Command, home: Path, tmp_path: Path
) -> None:
    rows = (
        f'{{ method = "H", backbone = "resnet50", shot = 1, folds = [40, 41, 42, 43], mean = 41.5, ours = {HSNET} }}',
        '{ method = "Copy", shot = 1, mean = 43, ours = { model = "copy-support" } }',
        '{ method = "Magic", shot = 1, mean = 99 }',
    )
    asked = ("reproduce", "own-table1", "--tables", table(tmp_path, *rows), "--trial", "--fold", 0)
    ran = fssbench(*asked)
    assert ran.code == 0
    assert ran.out.startswith("own-table1 · ")
    assert "[1/5] fssbench prepare toy --protocol strict --shots 1 --fold 0 --episodes 20" in ran.err
    assert (home / "trial/checkpoints/toy-20i/hsnet-resnet50-size=48-backbone_weights=none-fold0").is_dir()
    assert not (home / "results").exists()
    ran = fssbench(*asked, "--dry-run")
    assert ran.out.endswith("0 of 2 commands to run\n")
    first, copy = json.loads(fssbench(*asked, "--json").out)["rows"]
    assert (first["method"], copy["method"]) == ("H", "Copy")
    result = read_result(Path(first["results"][0]))
    assert result.model.training == "trained"
    assert first["folds"][0]["value"] == pytest.approx(100 * (result.score.miou.value or 0))
    assert first["folds"][0]["difference"] == pytest.approx(first["folds"][0]["value"] - 40)
    assert first["mean"] == {
        **{"value": None, "reason": "no result on fold 1, 2, 3", "reported": 41.5, "interval": None},
        **{"method": None, "difference": None, "inside": None},
    }
    page = tmp_path / "page.html"
    shown = fssbench(*asked, "--page", page)
    assert "H, resnet50, 1-shot" in page.read_text()
    assert "mIoU of validation" in page.read_text()
    assert shown.out.splitlines()[:4] == [
        "own-table1 · Table 1: Toy-20i · mIoU in %",
        "                fold 0   fold 1   fold 2   fold 3     mean   FB-IoU",
        "H resnet50, 1-shot",
        "  reported        40.0     41.0     42.0     43.0     41.5        —",
    ]
    assert "note: 1 row is left out: another method, of which there is no model here" in shown.err
    for_paper(fssbench, asked, value=first["folds"][0]["value"])


def for_paper(fssbench: Command, asked: tuple[object, ...], *, value: float) -> None:
    """The same figures in the forms of a paper: reported above measured."""
    lines = fssbench(*asked, "--format", "markdown").out.splitlines()
    assert lines[2:6] == [
        "| method | shots | fold 0 | fold 1 | fold 2 | fold 3 | mean | FB-IoU |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
        "| H resnet50† | 1 | 40.0 | 41.0 | 42.0 | 43.0 | 41.5 |  |",
        f"| measured |  | {value:.2f} |  |  |  |  |  |",
    ]
    assert f"measured &  & {value:.2f} &" in fssbench(*asked, "--format", "latex").out
    assert (
        f"H,resnet50,toy-20i,strict,1,fold 0,{value!r},40.0,{value - 40!r},," in fssbench(*asked, "--format", "csv").out
    )
    cited = fssbench(*asked, "--format", "bibtex").out
    assert cited.startswith("@misc{fssbench,")
    assert "@inproceedings{min2021hypercorrelation," in cited
    refused = fssbench(*asked, "--format", "word")
    assert (refused.code, "there is no format 'word'" in refused.error) == (2, True)
    assert "contradict each other" in fssbench(*asked, "--format", "csv", "--json").error


def test_costs_stand_beside_the_papers(fssbench: Command, tmp_path: Path) -> None:
    row = f'{{ method = "HSNet", backbone = "resnet50", shot = 1, learnable_parameters = 2.6, ours = {HSNET} }}'
    file = table(tmp_path, row)
    file.write_text(file.read_text().replace("each =", "costs = true\neach ="))
    (cost,) = json.loads(fssbench("reproduce", "own-table1", "--tables", file, "--json").out)["costs"]
    assert cost["learnable_parameters"] == {"value": pytest.approx(2.573794), "reported": 2.6, "of": []}
    assert cost["milliseconds"]["value"] > 0
    assert cost["multiply_adds"]["reported"] is None


def evaluated(fssbench: Command, toy_set: EpisodeSet, output: Path, *more: object) -> Path:
    data = toy_set.path.parents[2]
    arguments = ("eval", "-m", "copy-support", "-b", "toy", "-f", 0, "-d", data, "-o", output, *more)
    ran = fssbench(*arguments)
    assert ran.code == 0, ran.err
    return next(output.rglob("fold0-1shot-seed0.json"))


def a_row(**given: object) -> Row:
    facts = {
        "method": "Copy",
        "benchmark": "toy-20i",
        "protocol": "strict",
        "shot": 1,
        "ours": Ours(model="copy-support"),
    }
    return Row.model_validate(facts | given)


def test_the_mean_of_four_equal_folds_is_the_fold_and_lies_in_its_interval(
    fssbench: Command, toy_set: EpisodeSet, tmp_path: Path
) -> None:
    path = evaluated(fssbench, toy_set, tmp_path)
    score = read_result(path).score
    assert score.miou.value is not None
    miou = 100 * score.miou.value
    measured = measure(a_row(mean=miou + 30, fb_iou=50), [[path]] * 4, policy="original/ignore")
    mean = measured.mean
    assert [figure.value for figure in measured.folds] == pytest.approx([miou] * 4)
    assert mean.value == pytest.approx(miou)
    assert mean.difference == pytest.approx(-30)
    assert mean.interval is not None
    assert mean.interval[0] < miou < mean.interval[1]
    assert (mean.inside, measured.mean.method) == (False, "95 %, 2,000 resamples of episodes within class")
    assert measured.fb_iou.value == pytest.approx(100 * (score.fb_iou.value or 0))
    other = measure(a_row(), [[path]] * 4, policy="model/ignore")
    assert (other.mean.reported, other.mean.inside, other.mean.difference) == (None, None, None)
    with pytest.raises(ResultError, match="was not scored under original/no-ignore, it was under original/ig"):
        measure(a_row(), [[path]] * 4, policy="original/no-ignore")


def test_what_is_reported_is_inside_from_end_to_end_of_the_interval() -> None:
    def inside(reported: float) -> bool | None:
        return Figure(value=2, reason=None, reported=reported, interval=(1, 3)).inside

    assert [inside(reported) for reported in (0.9, 1, 2, 3, 3.1)] == [False, True, True, True, False]


@pytest.mark.parametrize("options", [{}, {"stages": 2}, {"distillation": "none", "support_mask": False}])
@pytest.mark.parametrize("benchmark", [PASCAL_5I, COCO_20I])
def test_results_of_weights_by_a_papers_recipe_are_those_of_its_row(
    benchmark: Benchmark, options: dict[str, Any], fssbench: Command, toy_set: EpisodeSet, tmp_path: Path
) -> None:
    """Options that the recipe sets, such as HDMNet's size of the input, make no other variant; a row's own do."""

    def wanted(changed: dict[str, Any]) -> Evaluation:
        variant = Variant(model="hdmnet", pairs=tuple(changed.items()), benchmark=benchmark)
        return Evaluation(variant=variant, benchmark=TOY_20I, protocol="strict", shot=1)

    path = evaluated(fssbench, toy_set, tmp_path, "--limit", 5)
    recipe = find_recipe("hdmnet", benchmark)
    trained = SimpleNamespace(augmentation=recipe.data.augmentation)
    result = read_result(path)
    told = {"name": "hdmnet", "training": "trained", "options": {**recipe.options, **options}, "trained": trained}
    results = Results(tmp_path)
    results._found = [(path, result.model_copy(update={"model": result.model.model_copy(update=told)}))]
    usual = {"backbone": "resnet50", "benchmark": benchmark.alias}
    assert results.of(wanted(usual | options), 0, 0, episodes=5) == path
    assert results.of(wanted(usual | {"temperature": 2.0}), 0, 0, episodes=5) is None
    assert results.of(wanted({"backbone": "vgg16"} | options), 0, 0, episodes=5) is None


def test_two_results_of_one_row_are_not_chosen_between(
    fssbench: Command, home: Path, toy_set: EpisodeSet, tmp_path: Path
) -> None:
    path = evaluated(fssbench, toy_set, home / "trial/results", "--limit", 20)
    again = path.parents[1] / "again" / path.name
    again.parent.mkdir()
    for file in path.parent.iterdir():
        (again.parent / file.name).write_bytes(file.read_bytes())
    rows = '{ method = "Copy", shot = 1, mean = 43, ours = { model = "copy-support" } }'
    ran = fssbench("reproduce", "own-table1", "--tables", table(tmp_path, rows), "--trial", "-f", 0, "--dry-run")
    assert ran.code == 2
    assert f"error: {again} and {path} are both copy-support on fold 0" in ran.error


def test_a_step_that_fails_ends_all_and_what_was_made_is_kept(fssbench: Command, home: Path, tmp_path: Path) -> None:
    rows = '{ method = "H", shot = 1, mean = 41.5, ours = { model = "hsnet", options = { kernel = "cubic" } } }'
    asked = ("reproduce", "own-table1", "--tables", table(tmp_path, rows), "--trial", "--fold", 0)
    ran = fssbench(*asked)
    assert ran.code == 2
    error = ran.err.splitlines()[-1]
    assert error.startswith("error: 'fssbench train --model hsnet --option kernel=cubic ")
    assert "' failed: " in error
    assert error.endswith("once that is fixed, run this again: what is finished is kept")
    plan = json.loads(fssbench(*asked, "--dry-run", "--json").out)["steps"]
    assert [(step["kind"], step["there"]) for step in plan] == [
        *(("prepare", True), ("prepare", True), ("train", False), ("eval", False)),
    ]


class Impatient(Report):
    """Presses Ctrl-C once, when training first shows how far it is."""

    pressed = False

    @contextmanager
    def progress(self, description: str, total: int | None, *, unit: str = "") -> Iterator[Bar]:
        """A bar that interrupts when it moves."""
        report = self

        class Interrupting(Bar):
            def __call__(self, n: int) -> None:
                if not report.pressed:
                    report.pressed = True
                    signal.raise_signal(signal.SIGINT)

        yield Interrupting() if unit == "steps" else Bar()


@pytest.mark.slow
def test_an_interrupted_training_saves_its_work_and_nothing_runs_after_it(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fssbench.training.loop.LOG_EVERY", 1)
    file = table(tmp_path, f'{{ method = "H", backbone = "resnet50", shot = 1, mean = 41.5, ours = {HSNET} }}')
    reproduction = Reproduction.of(
        "own-table1", among=(read_paper(file),), folds=(0,), device="cpu", trial=Trial(episodes=20, steps=4)
    )
    with pytest.raises(KeyboardInterrupt):
        reproduction.run(Impatient())
    train, evaluate = reproduction.steps()[-2:]
    assert train.options["resume"]
    assert (train.there, evaluate.there) == (False, False)
    progress = json.loads((train.options["output"] / "log.jsonl").read_text().splitlines()[-1])
    assert 0 < progress["step"] < 4
    reproduction.run(SILENT)
    assert all(step.there for step in reproduction.steps())


def test_a_step_is_called_with_what_its_command_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Parsing the command that is printed asks for the very call that is made."""
    asked: list[dict[str, Any]] = []
    ours = Ours(
        model="hsnet",
        options={"size": 48, "kernel": "original"},
        recipe={"data.augmentation.colour": 0.2},
    )
    variant = Evaluation.of(a_row(ours=ours)).variant
    environment = {"FSSBENCH_TRAIN_HSNET_BATCH": "3", "FSSBENCH_TRAIN_HMFS_BATCH": "7"}
    settings = Settings(sets=tmp_path, device="cpu", trial=Trial(steps=2), given=Given(environment=environment))
    options = settings.train(
        variant, 1, folder=tmp_path, select_on="test-fold", protocol="hsnet", images=tmp_path, resume=True
    )
    step = Step(kind="train", options=options)

    def train(model: str, benchmark: str, **named: Any) -> Any:
        asked.append({"model": model, "benchmark": benchmark, **named})
        raise UsageError("enough")

    monkeypatch.setattr("fssbench.api.train.train", train)
    with pytest.raises(FssbenchError, match="enough"):
        step.run(SILENT)
    with pytest.raises(SystemExit):
        main(step.arguments)
    called, typed = asked
    assert called.pop("changes") | called.pop("options") == {
        name.removeprefix("options."): value for name, value in (typed.pop("changes") | typed.pop("options")).items()
    }
    assert Path(called.pop("image_list")) == typed.pop("image_list") == tmp_path
    defaults = {"config": None, "workers": 4, "overwrite": False, "log_to": ()}
    assert {**defaults, **called, "report": None} == {**typed, "report": None}

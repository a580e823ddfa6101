"""Figures go to Weights & Biases, MLflow and TensorBoard through one interface; stand-ins take the packages' places."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import fssbench
from fssbench.api.train import train
from fssbench.base import trackers
from fssbench.base.errors import UsageError
from fssbench.base.trackers import open_trackers, require_trackers
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.training_sets.training_set import TrainingSet
from fssbench.training.folder import RunFolder, Validated
from fssbench.training.log import Log

Noted = dict[str, Any]


def stand_in(name: str, **contents: Any) -> ModuleType:
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None)
    for key, value in contents.items():
        setattr(module, key, value)
    return module


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> list[Noted]:
    """What a stand-in for wandb is told, a run after the other."""
    runs: list[Noted] = []

    def init(*, id: str | None, name: str, config: Mapping[str, Any], project: str, **_: Any) -> Any:
        noted: Noted = {"id": id or f"new{len(runs)}", "name": name, "config": config, "project": project}
        noted |= {"resumed": id is not None, "logged": [], "summary": {}, "finished": False}
        runs.append(noted)
        return SimpleNamespace(
            id=noted["id"],
            summary=noted["summary"],
            log=lambda figures, step: noted["logged"].append((step, figures)),
            finish=lambda: noted.update(finished=True),
        )

    settings = lambda **_: SimpleNamespace(project=None)  # noqa: E731
    monkeypatch.setitem(sys.modules, "wandb", stand_in("wandb", init=init, Settings=settings))
    return runs


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> dict[str, Noted]:
    """What a stand-in for MLflow's client is told, by the run's id."""
    runs: dict[str, Noted] = {}

    class MlflowClient:
        def get_experiment_by_name(self, name: str) -> Any:
            return SimpleNamespace(experiment_id="e0") if runs else None

        def create_experiment(self, name: str) -> str:
            assert name == "mine"
            return "e0"

        def create_run(self, experiment: str, *, run_name: str) -> Any:
            assert experiment == "e0"
            run = f"run{len(runs)}"
            runs[run] = {"name": run_name, "params": {}, "logged": [], "ended": 0}
            return SimpleNamespace(info=SimpleNamespace(run_id=run))

        def log_param(self, run: str, name: str, value: Any) -> None:
            assert name not in runs[run]["params"], "a parameter is told once"
            runs[run]["params"][name] = value

        def log_metric(self, run: str, name: str, value: float, step: int) -> None:
            runs[run]["logged"].append((step, name, value))

        def set_terminated(self, run: str) -> None:
            runs[run]["ended"] += 1

    variables = SimpleNamespace(get=lambda: "mine")
    for module in (
        stand_in("mlflow"),
        stand_in("mlflow.tracking", MlflowClient=MlflowClient),
        stand_in("mlflow.environment_variables", MLFLOW_EXPERIMENT_NAME=variables),
    ):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return runs


def test_a_training_that_goes_on_goes_on_in_the_same_runs(
    toy_training: TrainingSet, toy_set: EpisodeSet, tmp_path: Path, wandb: list[Noted], mlflow: dict[str, Noted]
) -> None:
    (tmp_path / "sets/toy-20i").mkdir(parents=True)
    (tmp_path / "sets/toy-20i/train").symlink_to(toy_training.path)
    changes = {"run.epochs": 2, "run.episodes": 8, "run.batch": 4, "run.validation_episodes": 2, "run.max_steps": 2}

    def go(steps: int, **more: Any) -> None:
        train(
            "hsnet",
            "toy",
            fold=0,
            data=tmp_path / "sets",
            options={"size": 48},
            changes=changes | {"run.max_steps": steps},
            device="cpu",
            output=tmp_path / "run",
            log_to=("wandb", "mlflow"),
            **more,
        )

    go(2)
    go(4, resume=True)
    first, second = wandb
    assert (first["id"], first["resumed"], second["id"], second["resumed"]) == ("new0", False, "new0", True)
    assert first["project"] == "fssbench"
    assert first["name"] == "hsnet on toy-20i, fold 0"
    assert first["config"]["run.batch"] == 4
    assert first["finished"]
    assert second["finished"]
    steps = [step for run in wandb for step, figures in run["logged"] if "loss/training" in figures]
    assert steps == [2, 4]
    assert list(mlflow) == ["run0"]
    (run,) = mlflow.values()
    assert run["params"]["run.batch"] == 4
    assert run["ended"] == 2
    assert [step for step, name, _ in run["logged"] if name == "miou/validation"] == [2, 4]
    go(2, overwrite=True)
    assert (wandb[2]["resumed"], list(mlflow)) == (False, ["run0", "run1"])


def test_an_evaluation_is_a_run_with_its_figures_and_what_was_asked(
    toy_set: EpisodeSet, wandb: list[Noted], mlflow: dict[str, Noted]
) -> None:
    data = toy_set.path.parents[2]
    found = fssbench.evaluate("all-foreground", "toy", fold=0, data=data, episodes=4, log_to=("wandb", "mlflow"))
    assert isinstance(found, fssbench.Evaluation)
    (noted,) = wandb
    assert noted["name"] == "all-foreground toy-20i fold 0, 1-shot, seed 0"
    assert (noted["config"]["benchmark"], noted["config"]["n_episodes"]) == ("toy-20i", 4)
    assert noted["summary"].get("miou") == found.miou
    assert noted["summary"]["fb-iou"] == found.fb_iou
    assert noted["finished"]
    (run,) = mlflow.values()
    assert (0, "fb-iou", found.fb_iou) in run["logged"]
    assert run["ended"] == 1


def test_a_tracker_that_fails_is_left_out_and_the_training_goes_on(tmp_path: Path) -> None:
    class Gone:
        def log(self, figures: Mapping[str, float], *, step: int | None) -> None:
            raise ConnectionError("no route to host")

        def close(self) -> None:
            raise AssertionError("it is not there any more")

    notes: list[str] = []
    log = Log(RunFolder(tmp_path), lambda: [Gone()], note=notes.append)
    for step in (1, 2):
        log.validated(Validated(step=step, miou=0.5), best=True)
    log.close()
    assert notes == ["nothing more is logged to Gone: no route to host"]
    assert len(RunFolder(tmp_path).log.read_text().splitlines()) == 2


def test_a_tracker_that_begins_no_run_is_named_with_the_reason(
    wandb: list[Noted], monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(**_: Any) -> None:
        raise RuntimeError("no API key configured\nand more")

    monkeypatch.setattr(sys.modules["wandb"], "init", init)
    with pytest.raises(UsageError, match=r"^wandb could not start a run: no API key configured; set it up"):
        open_trackers(["wandb"], title="t", facts={})


def test_what_is_unknown_or_not_installed_is_refused_before_anything_is_done(
    toy_set: EpisodeSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="figures cannot be logged to 'wanbd'; did you mean 'wandb'"):
        require_trackers(["wanbd"])
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"mlflow is not installed; pip install 'fssbench\[mlflow\]'"):
        fssbench.evaluate("all-foreground", "toy", fold=0, data=toy_set.path.parents[2], log_to=("mlflow",))


@pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="wandb is not installed")
@pytest.mark.filterwarnings("default")
def test_wandb_takes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    (run,) = open_trackers(["wandb"], title="t", facts={"batch": 4}, folder=tmp_path)
    run.log({"loss/training": 0.5}, step=10)
    run.log({"miou": 0.6}, step=None)
    run.close()
    assert list(tmp_path.rglob("*.wandb"))


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="mlflow is not installed")
@pytest.mark.filterwarnings("default")
def test_mlflow_takes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/runs.db")
    (run,) = open_trackers(["mlflow"], title="t", facts={"batch": 4}, folder=tmp_path)
    run.log({"loss/training": 0.5}, step=10)
    run.close()
    from mlflow.tracking import MlflowClient

    stored = MlflowClient().get_run((tmp_path / "mlflow.run").read_text().strip())
    assert (stored.data.params, stored.data.metrics) == ({"batch": "4"}, {"loss/training": 0.5})

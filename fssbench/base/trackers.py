"""Where figures go besides files of our own: TensorBoard, Weights & Biases, MLflow, behind one small interface.

Each is a package that need not be installed, set up as its users know it: by its own environment variables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from fssbench.base.errors import UsageError, first_line
from fssbench.base.suggest import known_are

__all__ = ["TRACKERS", "Tracker", "id_file", "open_trackers", "require_trackers", "tensorboard"]

TRACKERS = ("wandb", "mlflow")
PROJECT = "fssbench"


class Tracker(Protocol):
    """A run of somebody else's record of runs."""

    def log(self, figures: Mapping[str, float], *, step: int | None) -> None:
        """Note figures by name, at a step of the run or of the run as a whole."""

    def close(self) -> None:
        """Let everything reach its place."""


def require_trackers(names: Sequence[str]) -> None:
    """Refuse those that are unknown or not installed, before anything is done."""
    for name in names:
        if name not in TRACKERS:
            raise UsageError(f"figures cannot be logged to '{name}'", remedy=known_are(name, TRACKERS))
        if find_spec(name) is None:
            raise UsageError(f"{name} is not installed", remedy=f"pip install 'fssbench[{name}]'")


def open_trackers(
    names: Sequence[str], *, title: str, facts: Mapping[str, Any], folder: Path | None = None
) -> list[Tracker]:
    """A run in each of `TRACKERS` that is named.

    Args:
        title: of the run.
        facts: what was asked, by name.
        folder: of a run that may be gone on with; it keeps the run's id there, and goes on with the run it finds.
    """
    kinds: dict[str, Callable[..., Tracker]] = {"wandb": Wandb, "mlflow": Mlflow}
    opened = []
    for name in names:
        try:
            opened.append(kinds[name](title=title, facts=facts, folder=folder))
        except Exception as error:  # whatever its server or its settings are to blame for
            raise UsageError(
                f"{name} could not start a run: {first_line(error)}", remedy="set it up, or leave out --log-to"
            ) from error
    return opened


def id_file(folder: Path, name: str) -> Path:
    """Where a run's folder keeps the id of its run in a tracker."""
    return folder / f"{name}.run"


def _kept_id(folder: Path | None, name: str) -> str | None:
    file = None if folder is None else id_file(folder, name)
    return file.read_text().strip() if file is not None and file.is_file() else None


def _keep_id(folder: Path | None, name: str, run: str) -> None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        id_file(folder, name).write_text(f"{run}\n")


class Wandb:
    """A run in Weights & Biases, in the project ``fssbench`` unless ``WANDB_PROJECT`` says otherwise."""

    def __init__(self, *, title: str, facts: Mapping[str, Any], folder: Path | None) -> None:
        import wandb

        settings = wandb.Settings(silent=True)
        self.run = wandb.init(
            project=settings.project or PROJECT,
            name=title,
            config=dict(facts),
            dir=None if folder is None else str(folder),
            id=_kept_id(folder, "wandb"),
            resume="allow",
            reinit="create_new",
            settings=settings,
        )
        _keep_id(folder, "wandb", self.run.id)

    def log(self, figures: Mapping[str, float], *, step: int | None) -> None:
        """Note figures; those of the whole run stand in its summary."""
        if step is None:
            self.run.summary.update(dict(figures))
        else:
            self.run.log(dict(figures), step=step)

    def close(self) -> None:
        """End the run."""
        self.run.finish()


class Mlflow:
    """A run in MLflow, in the experiment ``fssbench`` unless ``MLFLOW_EXPERIMENT_NAME`` says otherwise."""

    def __init__(self, *, title: str, facts: Mapping[str, Any], folder: Path | None) -> None:
        from mlflow.environment_variables import MLFLOW_EXPERIMENT_NAME
        from mlflow.tracking import MlflowClient

        self.client = MlflowClient()
        self.id = _kept_id(folder, "mlflow")
        if self.id is None:
            experiment = self._experiment(MLFLOW_EXPERIMENT_NAME.get() or PROJECT)
            self.id = self.client.create_run(experiment, run_name=title).info.run_id
            for name, value in facts.items():
                self.client.log_param(self.id, name, value)
            _keep_id(folder, "mlflow", self.id)

    def _experiment(self, name: str) -> str:
        there = self.client.get_experiment_by_name(name)
        found: str = self.client.create_experiment(name) if there is None else there.experiment_id
        return found

    def log(self, figures: Mapping[str, float], *, step: int | None) -> None:
        """Note figures; a run as a whole is at step 0."""
        for name, value in figures.items():
            self.client.log_metric(self.id, name, value, step=step or 0)

    def close(self) -> None:
        """End the run."""
        self.client.set_terminated(self.id)


class TensorBoard:
    """TensorBoard's files in a folder, made when there is something to write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writer: Any = None

    def log(self, figures: Mapping[str, float], *, step: int | None) -> None:
        """Note figures."""
        if self.writer is None:
            from torch.utils.tensorboard.writer import SummaryWriter

            self.writer = SummaryWriter(str(self.folder))
        for name, value in figures.items():
            self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Let everything reach the disk."""
        if self.writer is not None:
            self.writer.close()


def tensorboard(folder: Path) -> list[Tracker]:
    """TensorBoard's files, where that is installed."""
    return [] if find_spec("tensorboard") is None else [TensorBoard(folder)]

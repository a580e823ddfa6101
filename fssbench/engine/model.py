"""Building the model an evaluation asks, with its weights, and saying exactly what was built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from fssbench.benchmarks import Benchmark
from fssbench.errors import CheckpointError, ModelError, UsageError
from fssbench.files import sha256_bytes, sha256_file
from fssbench.home import Home
from fssbench.models import build_model, model_spec
from fssbench.models.checkpoints import load_checkpoint, read_state_dict
from fssbench.models.guess import fitting_option
from fssbench.models.interface import FewShotSegmenter
from fssbench.results import ModelRecord

__all__ = ["LoadedModel", "fill", "find_weights", "load_model", "results_folder"]


def file_name(model: str) -> str:
    """A model's name as part of a file's: of ``path/to/mine.py:Net`` it is ``mine-Net``."""
    return Path(model).name.replace(".py:", "-")


def results_folder(record: ModelRecord) -> str:
    """A folder name for a model's results: readable, and different for different weights or options."""
    parts = [file_name(record.name), *filter(None, [record.backbone])]
    return "-".join([*parts, sha256_bytes(record.model_dump_json().encode())[:8]])


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to be asked, and the record that goes into its results."""

    model: FewShotSegmenter
    record: ModelRecord


def find_weights(
    weights: str | None,
    *,
    name: str,
    backbone: str | None,
    benchmark: Benchmark,
    fold: int,
    n_folds: int,
    home: Home,
) -> Path | None:
    """The checkpoint for a fold, or ``None`` to run without one.

    Args:
        weights: ``none``, a path in which ``{fold}`` stands for the fold, or ``None`` to look in the home.
        benchmark: what is evaluated; the home is searched for what it is trained on.
        n_folds: how many folds are evaluated in this call.

    Raises:
        UsageError: one file was given for several folds.
        ModelError: nothing was given and the home has none.
    """
    if weights == "none":
        return None
    if weights is not None:
        if n_folds > 1 and "{fold}" not in weights:
            raise UsageError(
                f"--weights {weights} is one file for {n_folds} folds, and one fold's base classes are "
                "another's novel classes",
                remedy="write {fold} where the path differs, or evaluate one --fold",
            )
        return Path(weights.replace("{fold}", str(fold)))
    label = "-".join(filter(None, [file_name(name), backbone]))
    path = home.checkpoints / benchmark.training.name / f"{label}-fold{fold}.pt"
    if not path.is_file():
        raise ModelError(
            f"{name} needs trained weights and {path} is not there",
            remedy="pass --weights PATH, put a checkpoint there, or run untrained with --weights none",
        )
    return path


def load_model(
    name: str,
    options: Mapping[str, Any],
    *,
    weights: str | None,
    benchmark: Benchmark,
    fold: int,
    n_folds: int = 1,
    home: Home,
    control: str | None = None,
) -> LoadedModel:
    """Build a model and fill it with its checkpoint; see `find_weights` for ``weights``.

    With a ``control`` the model is asked with other supports; see `fssbench.engine.controls`.

    A checkpoint holds the backbone too, so with one the backbone's own weights are not fetched.
    """
    spec = model_spec(name)

    def find() -> Path | None:
        backbone = options.get("backbone", spec.options.get("backbone"))
        return find_weights(
            weights, name=name, backbone=backbone, benchmark=benchmark, fold=fold, n_folds=n_folds, home=home
        )

    checkpoint = find() if weights is not None or spec.needs_training else None
    if checkpoint is not None and spec.has_backbone:
        model = build_model(name, **{**options, "backbone_weights": "none"})
    else:
        model = build_model(name, **options)
        if weights is None and model.needs_training and checkpoint is None:
            checkpoint = find()  # only the model itself could tell, since a function built it
    if checkpoint is not None:
        fill(model, read_state_dict(checkpoint), name=name, options=options, where=str(checkpoint))
    record = _record(name, options, model, checkpoint)
    return LoadedModel(model, record.model_copy(update={"control": control}))


def fill(
    model: FewShotSegmenter, state: Mapping[str, Tensor], *, name: str, options: Mapping[str, Any], where: str
) -> None:
    """Fill a model with a checkpoint's tensors.

    Raises:
        CheckpointError: they do not fit; the remedy names the option with which they would, if one is enough.
    """
    try:
        load_checkpoint(model, state, where=where)
    except CheckpointError as error:
        if meant := fitting_option(name, options, state):
            raise CheckpointError(error.problem, remedy=f"it fits with {meant}") from error
        raise


def _record(name: str, options: Mapping[str, Any], model: FewShotSegmenter, checkpoint: Path | None) -> ModelRecord:
    backbone = model.backbone_info
    own = Path(name.rpartition(":")[0])
    return ModelRecord(
        name=name,
        options={key: value for key, value in sorted(options.items()) if key != "backbone_weights"},
        code_sha256=sha256_file(own) if own.suffix == ".py" else None,
        training=_training(model, checkpoint),
        checkpoint_sha256=sha256_file(checkpoint) if checkpoint else None,
        backbone=backbone.name if backbone else None,
        backbone_weights=("checkpoint" if checkpoint else backbone.weights) if backbone else None,
        backbone_sha256=backbone.sha256 if backbone else None,
        parameters=sum(p.numel() for p in model.parameters()),
        learnable_parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        input_size=model.preprocess.size,
    )


def _training(model: FewShotSegmenter, checkpoint: Path | None) -> Literal["not needed", "untrained", "trained"]:
    if checkpoint is not None:
        return "trained"
    random_backbone = model.backbone_info is not None and model.backbone_info.weights == "none"
    return "untrained" if model.needs_training or random_backbone else "not needed"

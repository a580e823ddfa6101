"""Building the model an evaluation asks, with its weights, and saying exactly what was built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from fssbench.base.errors import CheckpointError, ModelError, UsageError
from fssbench.base.home import Home, home_in
from fssbench.engine.described import require_described, sha256_of, weights_of
from fssbench.engine.functions import as_segmenter, source_sha256, state_sha256
from fssbench.episodes.benchmarks import Benchmark
from fssbench.models import build_model, model_spec, recorded_name, user_code
from fssbench.models.backbones import BackboneInfo, of_unknown_origin
from fssbench.models.blame import blamed
from fssbench.models.cards import card_path, chosen_weights, read_card
from fssbench.models.checkpoint_file import read_checkpoint_file
from fssbench.models.checkpoints import load_checkpoint
from fssbench.models.guess import fitting_option
from fssbench.models.interface import FewShotSegmenter, Regime
from fssbench.models.pretraining import seen_of, title_of
from fssbench.models.user_file import UserCode
from fssbench.results.naming import checkpoint_label, file_name
from fssbench.schemas.card import Card
from fssbench.schemas.result import ModelRecord, PretrainingRecord, TrainingRecord

__all__ = [
    "LoadedModel",
    "fill",
    "find_weights",
    "load_model",
    "load_object",
    "require_unseen",
]


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to be asked, and the record that goes into its results.

    Attributes:
        code: of a model in a user's file.
        modules: top names of what it is made of, such as ``timm``.
    """

    model: FewShotSegmenter
    record: ModelRecord
    code: UserCode | None = None
    modules: frozenset[str] = field(default_factory=frozenset)


def find_weights(
    weights: str | None,
    *,
    name: str,
    backbone: str | None,
    shot: int = 1,
    benchmark: Benchmark,
    fold: int,
    n_folds: int,
    home: Home,
) -> Path | None:
    """The checkpoint for a fold, or ``None`` to run without one.

    Args:
        weights: ``none``, a path in which ``{fold}`` stands for the fold, or ``None`` to look in the home; of a
            training run's folder, the weights that its rule chose.
        shot: of a model that is built for a number of shots.
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
        return chosen_weights(Path(weights.replace("{fold}", str(fold))))
    label = f"{checkpoint_label(name, backbone=backbone, shot=shot)}-fold{fold}"
    run = home.checkpoints / benchmark.training.name / label
    files = [run.with_name(f"{label}.safetensors"), run.with_name(f"{label}.pt"), chosen_weights(run)]
    for path in files:
        if path.is_file():
            return path
    raise ModelError(
        f"{name} needs trained weights and {files[1]} is not there",
        remedy=f"pass --weights PATH, put a checkpoint there, train it with fssbench train -m {name} "
        f"-b {benchmark.training.alias} -f {fold}, or run untrained with --weights none",
    )


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
    called: str | None = None,
) -> LoadedModel:
    """Build a model and fill it with its checkpoint; see `find_weights` for ``weights``.

    Results call it ``called``, if that is given. With a ``control`` the model is asked with other supports; see
    `fssbench.engine.controls`.

    A checkpoint holds the backbone too, so with one the backbone's own weights are not fetched. Options that are not
    given are those that the checkpoint's card names.

    Raises:
        CheckpointError: the checkpoint does not fit, or was trained on classes that the fold tests.
    """
    spec = model_spec(name)
    if spec.names_weights and weights is not None:
        options, weights = {**options, "weights": home_in(weights)}, None

    def find() -> Path | None:
        known = {**spec.options, **options}
        backbone, shot = known.get("backbone"), known.get("shot")  # a user's own may be anything
        return find_weights(
            weights,
            name=name,
            backbone=backbone if isinstance(backbone, str) else None,
            shot=shot if isinstance(shot, int) else 1,
            benchmark=benchmark,
            fold=fold,
            n_folds=n_folds,
            home=home,
        )

    checkpoint = find() if weights is not None or spec.needs_training else None
    card = _card(checkpoint)
    if card is not None:
        require_unseen(card, checkpoint, name=name, benchmark=benchmark, fold=fold)
        options = {**card.options, **options}
    code = user_code(name)
    filled = {"backbone_weights": "none"} if checkpoint is not None and spec.fills_backbone else {}
    with _in_sight(code):
        model = build_model(name, **{**options, **filled})
        if code is not None:
            code.add_imported()
    require_described(model)
    if weights is None and model.needs_training and checkpoint is None:
        checkpoint = find()  # only the model itself could tell, since a function built it
    if checkpoint is not None:
        _load(model, checkpoint, name=name, options=options, code=code)
    called = called or model.recorded_as or recorded_name(name)
    with blamed(model, doing="to be recorded"):
        record = _record(called, options, model, checkpoint, card, code, benchmark)
    modules = _made_of(model) | (code.packages if code else frozenset())
    return LoadedModel(model, record.model_copy(update={"control": control}), code=code, modules=modules)


def load_object(
    model: nn.Module | Callable[..., Any], *, name: str | None = None, control: str | None = None
) -> LoadedModel:
    """A model that somebody else built: one of ours, any module, or a function.

    What it was trained on is not known here, so its results say that, and are not official. Its code and tensors are
    hashed where there are any.

    Args:
        name: what results call it; ``None`` for its own name.
    """
    segmenter = as_segmenter(model)
    segmenter.eval()
    require_described(segmenter)
    called = name or segmenter.recorded_as or getattr(model, "__name__", None) or type(model).__name__
    own = isinstance(model, nn.Module)
    return LoadedModel(
        segmenter,
        ModelRecord.unseen(called, input_size=segmenter.preprocess.square).model_copy(
            update={
                "code_sha256": source_sha256(model),
                "checkpoint_sha256": state_sha256(model) if isinstance(model, nn.Module) else None,
                "parameters": sum(p.numel() for p in segmenter.parameters()) if own else None,
                "control": control,
                "regime": segmenter.regime,
                "preprocess": segmenter.preprocess.recorded(),
                "class_names": segmenter.uses_class_names,
            }
        ),
        modules=_made_of(model),
    )


def _load(
    model: FewShotSegmenter, checkpoint: Path, *, name: str, options: Mapping[str, Any], code: UserCode | None
) -> None:
    """Fill a model with its checkpoint, in the model's own way if it has one."""
    if not callable(own := getattr(model, "load_weights", None)):
        fill(model, checkpoint, name=name, options=options)
        return
    if not checkpoint.exists():
        raise CheckpointError(f"there is no checkpoint {checkpoint}", remedy="check the path")
    with _in_sight(code), blamed(model, doing=f"in load_weights({str(checkpoint)!r})"):
        own(checkpoint)


def fill(model: nn.Module, checkpoint: Path, *, name: str, options: Mapping[str, Any]) -> dict[str, Tensor]:
    """Fill a model with a checkpoint's tensors; returns them by the model's names.

    Raises:
        CheckpointError: they do not fit; the remedy names the option with which they would, if one is enough.
    """
    loaded = read_checkpoint_file(checkpoint)
    try:
        return load_checkpoint(model, loaded, where=str(checkpoint))
    except CheckpointError as error:
        if meant := fitting_option(name, options, loaded):
            raise CheckpointError(error.problem, remedy=f"it fits with {meant}") from error
        raise


def _in_sight(code: UserCode | None) -> AbstractContextManager[None]:
    return code.in_sight() if code else nullcontext()


def _card(checkpoint: Path | None) -> Card | None:
    if checkpoint is None or checkpoint.suffix != ".safetensors" or not card_path(checkpoint).is_file():
        return None
    return read_card(checkpoint)


def require_unseen(card: Card, checkpoint: Path | None, *, name: str, benchmark: Benchmark, fold: int) -> None:
    """Refuse weights of another model, and those that were trained on classes the fold tests."""
    if file_name(card.model) != file_name(name):
        raise CheckpointError(
            f"{checkpoint} is a checkpoint of {card.model}, not of {name}", remedy=f"pass --model {card.model}"
        )
    trained = card.training
    if trained is None:
        return
    if seen := benchmark.tested_among(fold, {*trained.classes, *trained.held_out}, of=trained.benchmark):
        names = benchmark.class_names
        raise CheckpointError(
            f"{checkpoint} was trained for fold {trained.fold} of {trained.benchmark}: on {len(seen)} of the classes "
            f"that fold {fold} tests, such as {names[seen[0]] if names else seen[0]}",
            remedy=f"train or pass weights of fold {fold}",
        )


def _record(
    name: str,
    options: Mapping[str, Any],
    model: FewShotSegmenter,
    checkpoint: Path | None,
    card: Card | None,
    code: UserCode | None,
    benchmark: Benchmark,
) -> ModelRecord:
    backbone = model.backbone_info
    declared = weights_of(model)
    training = _training(model, checkpoint, declared=bool(declared))
    parameters = sum(p.numel() for p in model.parameters())
    # A user's own code around a backbone of ours: of records without a regime nobody could tell.
    free: Regime | None = "training-free" if training == "not needed" and code and parameters else None
    return ModelRecord(
        name=name,
        options=_said(options, backbone, ours=code is None),
        code_sha256=code.sha256 if code else None,
        training=training,
        checkpoint_sha256=sha256_of(checkpoint) if checkpoint else None,
        backbone=backbone.name if backbone else None,
        backbone_weights=("checkpoint" if checkpoint else backbone.weights) if backbone else None,
        backbone_sha256=backbone.sha256 if backbone else None,
        parameters=parameters,
        learnable_parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        input_size=model.preprocess.square,
        selection=card.selection if card else None,
        trained=TrainingRecord(**{f: getattr(card.training, f) for f in TrainingRecord.model_fields})
        if card and card.training
        else None,
        regime=model.regime or free,
        weights=declared,
        preprocess=model.preprocess.recorded(),
        class_names=model.uses_class_names,
        pretrained=_pretrained(backbone, benchmark) if checkpoint is None else None,
    )


def _pretrained(backbone: BackboneInfo | None, benchmark: Benchmark) -> PretrainingRecord | None:
    """What a backbone's weights were learned from, and what that held of the benchmark; ``None`` if nobody knows."""
    data = backbone.pretrained_on if backbone else None
    if data is None:
        return None
    return PretrainingRecord(data=tuple(map(title_of, data)), saw=seen_of(benchmark.name, data))


def _said(options: Mapping[str, Any], backbone: BackboneInfo | None, *, ours: bool) -> dict[str, Any]:
    """The options as they are recorded: without the weights of a backbone of ours, whose hash is, and without paths."""
    if backbone is None:
        return dict(sorted(options.items()))
    told = {"backbone_weights", *(("weights",) if ours else ())}
    named = {"backbone": backbone.name} if ours and "backbone" in options else {}
    return dict(sorted({**{key: value for key, value in options.items() if key not in told}, **named}.items()))


def _training(
    model: FewShotSegmenter, checkpoint: Path | None, *, declared: bool
) -> Literal["not needed", "untrained", "trained", "declared", "undeclared"]:
    if checkpoint is not None:
        return "trained"
    random_backbone = model.backbone_info is not None and model.backbone_info.weights == "none"
    if random_backbone or (model.needs_training and not declared):
        return "untrained"
    if not of_unknown_origin(model):
        return "not needed"
    return "declared" if declared and model.regime is not None else "undeclared"


def _made_of(model: object) -> frozenset[str]:
    """Top names of the modules that a model, and every part of it, is defined in."""
    parts = model.modules() if isinstance(model, nn.Module) else [model]
    return frozenset((getattr(part, "__module__", None) or "").partition(".")[0] for part in parts) - {""}

"""Training a model on a fold's base classes, by a recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fssbench.api.places import benchmark_and_root
from fssbench.base.errors import UsageError
from fssbench.base.home import Home
from fssbench.base.progress import SILENT, Report
from fssbench.episodes.benchmarks import Benchmark
from fssbench.episodes.protocols import PROTOCOLS
from fssbench.models import full_name, model_spec
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet, find_sets, set_path
from fssbench.pipelines.training_sets.training_set import find_training_set
from fssbench.pipelines.transport import Place
from fssbench.results.naming import checkpoint_label
from fssbench.training.recipe import Recipe, find_recipe, overridden, read_recipe

if TYPE_CHECKING:
    from fssbench.training.job import Trained
    from fssbench.training.plan import TrainingPlan
    from fssbench.training.settings import TrainingJob

__all__ = ["changed_recipe", "plan_training", "train", "with_defaults"]


def train(
    model: str,
    benchmark: str = "coco",
    *,
    fold: int | None = None,
    shot: int | None = None,
    config: str | Path | None = None,
    changes: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    data: Place | str | Path | None = None,
    image_list: str | Path | None = None,
    protocol: str = "strict",
    device: str = "auto",
    workers: int = 4,
    output: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    log_to: Sequence[str] = (),
    report: Report = SILENT,
) -> Trained:
    """Train a model; under torchrun the processes share every batch.

    Before the first step, classes and images of training and test are compared, and what has been tested is not
    trained on.

    Args:
        model: its name, or ``path/to/file.py:Name``.
        benchmark: what to learn from.
        fold: whose base classes are learned; ``None`` for the only one.
        shot: supports of an episode; ``None`` for the recipe's.
        config: a recipe of your own; ``None`` for the paper's.
        changes: settings of the recipe by their full names, such as ``{"run.batch": 4, "optimizer.rate": 1e-4}``.
        options: of the model.
        data: where training and episode sets lie: a folder or an address; ``None`` for the home.
        image_list: a file of the images to learn from, or the folder of HSNet's or HDMNet's lists; ``None`` for all.
        protocol: whose episodes of the test fold are looked at, if any are.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, …
        workers: decoding threads.
        output: the run's folder; ``None`` for the one in the home where `fssbench.evaluate` looks.
        resume: go on with the run in the folder.
        overwrite: forget the run in the folder.
        log_to: ``wandb``, ``mlflow``: where figures go besides the folder's log and TensorBoard's files.
        report: where to show progress and remarks.

    Returns:
        How it ended: ``weights`` is the checkpoint that the recipe's rule chose.

    Raises:
        UsageError: something asked for is unknown, or contradicts itself.
        TrainingSetError: the images to train on are missing or damaged, or are tested.
        TrainingError: the run cannot begin, go on, or come to an end.
    """
    if resume and overwrite:
        raise UsageError("--resume and --overwrite contradict each other", remedy="pass one of them")
    job = _job(
        model,
        benchmark,
        fold=fold,
        shot=shot,
        config=config,
        changes=changes,
        options=options,
        data=data,
        image_list=image_list,
        protocol=protocol,
        device=device,
        workers=workers,
        output=output,
        resume=resume,
        overwrite=overwrite,
        log_to=log_to,
    )

    from fssbench.engine.ranks import Ranks, joined
    from fssbench.results.environment import pick_device
    from fssbench.training.job import train_model

    job = replace(job, device=pick_device(device, local=Ranks.here().local))
    with joined(job.device) as ranks:
        return train_model(job, ranks=ranks, report=report if ranks.first else SILENT)


def plan_training(model: str, benchmark: str = "coco", **asked: Any) -> TrainingPlan:
    """What `train` would do with the same arguments; nothing is built, learned or written."""
    job = _job(model, benchmark, **asked)

    from fssbench.engine.ranks import Ranks
    from fssbench.results.environment import pick_device
    from fssbench.training.cost import measure_cost
    from fssbench.training.plan import TrainingPlan

    here = Ranks.here()
    job = replace(job, device=pick_device(job.device, local=here.local))
    lists = job.lists()
    cost = measure_cost(job, lists, processes=here.world)
    return TrainingPlan(job=job, lists=lists, processes=here.world, cost=cost)


def _job(
    model: str,
    benchmark: str,
    *,
    fold: int | None = None,
    shot: int | None = None,
    config: str | Path | None = None,
    changes: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    data: Place | str | Path | None = None,
    image_list: str | Path | None = None,
    protocol: str = "strict",
    device: str = "auto",
    workers: int = 4,
    output: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    log_to: Sequence[str] = (),
) -> TrainingJob:
    """What `train` was asked for, with everything found that it needs; the device is as named."""
    home, model = Home.find(), full_name(model)
    found, root = benchmark_and_root(benchmark, data)
    found = found.training
    recipe = changed_recipe(model, found, shot=shot, config=config, changes=changes, options=options)
    number = _fold(found, fold)
    training_set = find_training_set(root, found)

    # The model itself, and torch with it, is loaded when all that needs neither has been looked at.
    from fssbench.engine.base_learner import find_base_learner
    from fssbench.training.folder import RunFolder
    from fssbench.training.settings import TrainingJob

    spec, recipe = model_spec(model, parts=True), with_defaults(model, recipe)
    if spec.base_learner:
        weights = find_base_learner(spec, recipe.options, benchmark=found, fold=number, home=home)
        recipe = recipe.model_copy(update={"options": recipe.options | {"backbone_weights": weights}})
    known = {**spec.options, **recipe.options}
    label = checkpoint_label(model, backbone=known.get("backbone"), shot=known.get("shot", 1))
    folder = home.checkpoints / found.name / f"{label}-fold{number}" if output is None else Path(output)
    # Weights are only chosen by the very episodes asked for, but images are compared with whatever is there.
    exact = recipe.run.select_on == "test-fold"
    return TrainingJob(
        recipe=recipe,
        model=model,
        options=recipe.options,
        benchmark=found,
        fold=number,
        training_set=training_set,
        test_set=_test_set(root, found, number, protocol, exact=exact),
        folder=RunFolder(folder),
        image_list=None if image_list is None else Path(image_list),
        device=device,
        workers=workers,
        resume=resume,
        overwrite=overwrite,
        log_to=tuple(dict.fromkeys(log_to)),
    )


def changed_recipe(
    model: str,
    benchmark: Benchmark,
    *,
    shot: int | None = None,
    config: str | Path | None = None,
    changes: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Recipe:
    """The recipe a model is trained by, with everything that was asked for; arguments as in `train`."""
    asked = dict(changes or {}) | {f"options.{name}": value for name, value in (options or {}).items()}
    if shot is not None:
        asked["run.shot"] = shot
    recipe = find_recipe(model, benchmark) if config is None else _own_recipe(model, benchmark, Path(config))
    return overridden(recipe, asked)


def with_defaults(model: str, recipe: Recipe) -> Recipe:
    """The recipe with the model's options that follow from elsewhere, unless it has them."""
    spec, defaults = model_spec(model, parts=True), dict[str, Any]()
    if spec.fills_backbone and spec.base_learner is None:
        defaults["backbone_weights"] = spec.usual_weights(recipe.options)
    if "shot" in spec.options:
        defaults["shot"] = recipe.run.shot
    return recipe.model_copy(update={"options": defaults | recipe.options})


def _own_recipe(model: str, benchmark: Benchmark, config: Path) -> Recipe:
    """The recipe in a file; `UsageError` if it is another model's."""
    recipe = read_recipe(config)
    if recipe.model != model.rpartition("/")[2]:
        raise UsageError(f"{config} is a recipe for {recipe.model}, not for {model}", remedy="pass its --model")
    return recipe.model_copy(update={"benchmark": benchmark.alias})


def _fold(benchmark: Benchmark, fold: int | None) -> int:
    if fold is None and len(benchmark.folds) > 1:
        raise UsageError(
            f"{benchmark.title} has {len(benchmark.folds)} folds, and each has weights of its own",
            remedy=f"pass --fold 0 to {len(benchmark.folds) - 1}",
        )
    benchmark.novel_classes(fold or 0)  # refuses a fold that does not exist
    return fold or 0


def _test_set(root: Place, benchmark: Benchmark, fold: int, protocol: str, *, exact: bool) -> EpisodeSet | None:
    """The fold's own test set of the protocol, if there is one; or else of any, unless it must be ``exact``."""
    # No other set is opened: whatever befell it, it is not asked about.
    names = dict.fromkeys([protocol, *(() if exact else (one.name for one in PROTOCOLS))])
    own = [str(set_path(root, benchmark=benchmark.name, protocol=name, fold=fold)) for name in names]
    there = {str(path): path for path in find_sets(root)}
    for path in [there[name] for name in (str(root), *own) if name in there]:
        manifest = (found := EpisodeSet.open(path)).manifest
        if (manifest.benchmark, manifest.fold) == (benchmark.name, fold) and manifest.protocol.name in names:
            return found
    return None

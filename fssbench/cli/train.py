"""``fssbench train``: teach a model a fold's base classes, by a recipe."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fssbench.base.errors import UsageError
from fssbench.cli.console import Bar, DataOption, Place, progress, warn
from fssbench.cli.model_options import BackboneOption, BackboneWeightsOption, ModelOption, PairsOption, parse_pairs

if TYPE_CHECKING:
    from fssbench.episodes.benchmarks import Benchmark
    from fssbench.models import ModelSpec
    from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
    from fssbench.pipelines.training_sets.leakage import Leakage
    from fssbench.training.folder import Validated
    from fssbench.training.log import Log
    from fssbench.training.loop import Seen
    from fssbench.training.recipe import Recipe
    from fssbench.training.settings import TrainingJob

__all__ = ["Told", "train"]

SIGNALLED = 128
"""Added to a signal's number, as shells have it, it is the exit code of a run that was told to stop."""


def train(
    model: ModelOption,
    benchmark: Annotated[str, typer.Option("--benchmark", "-b", help="What to learn from.")] = "coco",
    fold: Annotated[
        int | None, typer.Option("--fold", "-f", min=0, help="Whose base classes are learned. [default: the only one]")
    ] = None,
    shot: Annotated[int | None, typer.Option("--shot", "-k", min=1, help="Supports of an episode.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="A recipe of your own. [default: the paper's]")
    ] = None,
    data: DataOption = None,
    image_list: Annotated[
        Path | None,
        typer.Option("--list", help="A file of the images to learn from, or HSNet's folder of lists. [default: all]"),
    ] = None,
    backbone: BackboneOption = None,
    backbone_weights: BackboneWeightsOption = None,
    option: PairsOption = None,
    batch: Annotated[int | None, typer.Option("--batch", min=1, help="Episodes a step, over all processes.")] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="How often to go through the data.")] = None,
    max_steps: Annotated[int | None, typer.Option("--max-steps", min=1, help="Stop after so many steps.")] = None,
    rate: Annotated[float | None, typer.Option("--rate", help="Learning rate.")] = None,
    precision: Annotated[str | None, typer.Option("--precision", help="fp32, bf16 or fp16.")] = None,
    select_on: Annotated[
        str | None,
        typer.Option(
            "--select-on",
            help="Which weights to keep: last; base-val, the best on held-out base classes; or test-fold, the best on "
            "the fold that is tested, as publications do and every result then says.",
        ),
    ] = None,
    protocol: Annotated[
        str, typer.Option("--protocol", "-p", help="Whose episodes of the test fold are looked at, if any are.")
    ] = "strict",
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Of all that is random.")] = None,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any setting of the recipe, as schedule.name=poly; repeatable."),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, …")] = "auto",
    workers: Annotated[int, typer.Option("--workers", "-w", min=1, help="Decoding threads.")] = 4,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The run's folder. [default: in the home, where eval looks]"),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Forget the run in the folder.")] = False,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the recipe as resolved, and train nothing.")
    ] = False,
) -> None:
    """Train a model on a fold's base classes, as its recipe says; what is given here wins over the recipe.

    Ctrl-C and SIGTERM end the step under way and save; --resume goes on to the same weights. Under torchrun the
    processes share every batch.
    """
    from fssbench.base.home import Home
    from fssbench.engine.base_learner import find_base_learner
    from fssbench.models import full_name, model_spec
    from fssbench.pipelines.episode_sets.episode_set import benchmark_below
    from fssbench.results.naming import checkpoint_label
    from fssbench.training.recipe import overridden, to_toml

    home, model = Home.find(), full_name(model)
    root = data or home.episodes
    found = benchmark_below(root, benchmark).training
    spec = model_spec(model, parts=True)
    flags = {
        "run.shot": shot,
        "run.batch": batch,
        "run.epochs": epochs,
        "run.max_steps": max_steps,
        "run.precision": precision,
        "run.select_on": select_on,
        "run.seed": seed,
        "optimizer.rate": rate,
        "options.backbone": backbone,
        "options.backbone_weights": backbone_weights,
    }
    changes = {name: value for name, value in flags.items() if value is not None}
    changes |= {f"options.{name}": value for name, value in parse_pairs(option or []).items()}
    recipe = _with_defaults(spec, overridden(_recipe(model, found, config), _settings(change or []) | changes))
    if print_config:
        print(to_toml(recipe), end="")
        return
    if resume and overwrite:
        raise UsageError("--resume and --overwrite contradict each other", remedy="pass one of them")
    known = {**spec.options, **recipe.options}
    label = checkpoint_label(model, backbone=known.get("backbone"), shot=known.get("shot", 1))
    number = _fold(found, fold)
    if spec.base_learner:
        weights = find_base_learner(spec, recipe.options, benchmark=found, fold=number, home=home)
        recipe = recipe.model_copy(update={"options": recipe.options | {"backbone_weights": weights}})
    folder = output or home.checkpoints / found.name / f"{label}-fold{number}"
    settings: dict[str, Any] = {"workers": workers, "resume": resume, "overwrite": overwrite}
    _train(model, recipe, found, number, root, folder, image_list, protocol=protocol, device=device, **settings)


def _train(
    model: str,
    recipe: Recipe,
    benchmark: Benchmark,
    fold: int,
    root: Place,
    folder: Path,
    image_list: Path | None,
    *,
    protocol: str,
    device: str,
    **settings: Any,
) -> None:
    from fssbench.engine.ranks import joined
    from fssbench.models.registry import PARTS
    from fssbench.pipelines.training_sets.training_set import find_training_set
    from fssbench.results.environment import pick_device
    from fssbench.training.folder import RunFolder
    from fssbench.training.job import train_model
    from fssbench.training.log import Log
    from fssbench.training.settings import TrainingJob

    training_set = find_training_set(root, benchmark)
    # weights are only chosen by the very episodes asked for, but images are compared with whatever is there
    exact = recipe.run.select_on == "test-fold"
    test_set = _test_set(root, benchmark, fold, protocol, exact=exact)
    with joined() as ranks:
        job = TrainingJob(
            recipe=recipe,
            model=model,
            options=recipe.options,
            benchmark=benchmark,
            fold=fold,
            training_set=training_set,
            test_set=test_set,
            folder=RunFolder(folder),
            image_list=image_list,
            device=pick_device(device, local=ranks.local),
            **settings,
        )
        lists = job.lists()
        leakage = job.audit(lists)
        if ranks.first:
            _say_audit(job, leakage)
        leakage.require_none()
        steps = recipe.run.max_steps or recipe.run.epochs * job.plan.n_batches(lists)
        with progress(f"{model} fold {fold}", steps, unit="steps", shown=ranks.first) as bar:
            told = Told(bar, job, Log(job.folder) if ranks.first else None)
            trained = train_model(job, job.build(), lists, leakage, ranks=ranks, watch=told)
            told.close()
    if ranks.first:
        done = trained.progress.step
        if trained.signal:
            warn(f"stopped after {done:,} of {trained.planned:,} steps and saved; go on with --resume")
        print(f"{done:,} steps; {'to build on' if model in PARTS else 'to evaluate'}: {trained.weights}")
        print(f"learning curve: {job.folder.curve}")
    if trained.signal:
        raise typer.Exit(SIGNALLED + trained.signal)


def _with_defaults(spec: ModelSpec, recipe: Recipe) -> Recipe:
    """The recipe with the model's options that follow from elsewhere, unless it has them."""
    defaults: dict[str, Any] = {}
    if spec.has_backbone and spec.base_learner is None:
        defaults["backbone_weights"] = "imagenet"
    if "shot" in spec.options:
        defaults["shot"] = recipe.run.shot
    return recipe.model_copy(update={"options": defaults | recipe.options})


def _recipe(model: str, benchmark: Benchmark, config: Path | None) -> Recipe:
    """The recipe of one's own, or the package's; `UsageError` if it is another model's."""
    from fssbench.training.recipe import find_recipe, read_recipe

    if config is None:
        return find_recipe(model, benchmark)
    recipe = read_recipe(config)
    if recipe.model != model.rpartition("/")[2]:
        raise UsageError(f"{config} is a recipe for {recipe.model}, asked for is {model}", remedy="pass its --model")
    return recipe.model_copy(update={"benchmark": benchmark.alias})


def _settings(pairs: list[str]) -> dict[str, Any]:
    """``schedule.name=poly`` and the like; `UsageError` if one is not of that form."""
    for pair in pairs:
        name, separator, _ = pair.partition("=")
        if not separator or "." not in name:
            raise UsageError(f"--set must be heading.name=value, got '{pair}'", remedy="as in --set schedule.name=poly")
    parted = [pair.partition("=") for pair in pairs]
    return {name: parse_pairs([f"value={value}"])["value"] for name, _, value in parted}


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
    from fssbench.pipelines.episode_sets.episode_set import EpisodeSet, find_sets

    own = [p for p in find_sets(root) if p == root or f"/{benchmark.name}/" in f"/{p}"]
    sets = [EpisodeSet.open(path) for path in own]
    found = [one for one in sets if (one.manifest.benchmark, one.manifest.fold) == (benchmark.name, fold)]
    if exact:
        found = [one for one in found if one.manifest.protocol.name == protocol]
    return min(found, key=lambda one: one.manifest.protocol.name != protocol, default=None)


def _say_audit(job: TrainingJob, leakage: Leakage) -> None:
    for line in leakage.lines():
        print(line)
    if job.test_set is None:
        warn(f"there is no episode set of fold {job.fold} to compare the images with")


class Told:
    """Shows how training goes: behind the bar, a line for each validation, and in the log."""

    def __init__(
        self, bar: Bar, job: TrainingJob, log: Log | None, *, say: Callable[[str], None] | None = None
    ) -> None:
        self.bar, self.log, self.say = bar, log, say or partial(print, flush=True)
        self.batch, self.select_on = job.recipe.run.batch, job.recipe.run.select_on
        self.start, self.first, self.last = time.perf_counter(), 0, 0
        self.latest = ""

    def seen(self, seen: Seen) -> None:
        """Move the bar on."""
        if self.log is not None:
            self.log.seen(seen)
        if not self.last:  # of a run that is gone on with, the steps done before count for the bar, not for the speed
            self.first = seen.step
            self.start = time.perf_counter()
        self.bar(seen.step - self.last)
        self.last = seen.step
        speed = self.batch * (seen.step - self.first) / max(1e-9, time.perf_counter() - self.start)
        miou = "" if seen.miou is None else f", mIoU {100 * seen.miou:.1f}"
        self.latest = f"loss {seen.loss:.3f}{miou}"
        self.bar.say(f"{self.latest}, {speed:.1f} episodes/s")

    def validated(self, found: Validated, best: bool) -> None:
        """Say what the weights scored."""
        if self.log is not None:
            self.log.validated(found, best)
        mark = ", the best so far" if best else ""
        self.say(f"step {found.step:,}: {self.latest}; {self.select_on} mIoU {100 * found.miou:.2f}{mark}")

    def close(self) -> None:
        """Let the log reach the disk."""
        if self.log is not None:
            self.log.close()

"""One training run from end to end: a recipe, a fold and a training set, and the checkpoints it leaves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fssbench.benchmarks import Benchmark
from fssbench.engine.ranks import Ranks
from fssbench.errors import TrainingError, UsageError
from fssbench.models import build_module
from fssbench.models.feature_store import FeatureStore
from fssbench.models.interface import FewShotSegmenter
from fssbench.pipelines.episode_set import EpisodeSet
from fssbench.pipelines.places import Remote
from fssbench.pipelines.training.augment import Augmentation
from fssbench.pipelines.training.batches import EpochPlan, batches, semantic_batches, validation_batches
from fssbench.pipelines.training.leakage import Leakage, audit
from fssbench.pipelines.training.lists import training_lists
from fssbench.pipelines.training.sequential import BUFFER, streamed_batches, streamed_semantic_batches
from fssbench.pipelines.training.training_set import TrainingSet
from fssbench.sampling_training import TrainingLists, TrainingPolicy
from fssbench.suggest import known_are
from fssbench.training.curve import draw_curve
from fssbench.training.folder import BEST, LAST, Progress, RunFolder
from fssbench.training.loop import Learner, Supply, Watcher, train
from fssbench.training.recipe import Recipe
from fssbench.training.stopping import stop_requests
from fssbench.training.validation import validate_on_batches, validate_on_set
from fssbench.training.weights import Facts, write_weights

__all__ = ["Trained", "TrainingJob", "train_model"]


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingJob:
    """What to train on what, and where it goes.

    Attributes:
        model: its name.
        options: it is built with.
        test_set: of the fold; for the audit, and to choose weights by if the recipe says so. ``None`` if there is
            none.
        image_list: a file that names the images to learn from, or HSNet's folder of lists; ``None`` for all.
        resume: go on with the run in the folder.
        overwrite: forget the run in the folder.
    """

    recipe: Recipe
    model: str
    options: Mapping[str, Any]
    benchmark: Benchmark
    fold: int
    training_set: TrainingSet
    test_set: EpisodeSet | None
    folder: RunFolder
    image_list: Path | None = None
    device: str = "cpu"
    workers: int = 2
    resume: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        _ = self.augmentation
        if self.recipe.run.select_on == "test-fold" and self.test_set is None:
            raise TrainingError(
                f"there is no episode set of fold {self.fold} to choose weights by",
                remedy=f"build it with: fssbench prepare {self.benchmark.alias}, or pass --select-on base-val",
            )

    @property
    def buffer(self) -> int | None:
        """Images to draw from where shards are read from end to end; ``None`` where any image is at hand.

        The recipe's. Sets that lie elsewhere are always read so, since picking one image takes too long there.
        """
        elsewhere = isinstance(self.training_set.place, Remote)
        return self.recipe.data.buffer or (BUFFER if elsewhere else None)

    @property
    def policy(self) -> TrainingPolicy:
        """How images are chosen; base classes are held out only if weights are chosen by them."""
        data = self.recipe.data
        held_out = data.held_out if self.recipe.run.select_on == "base-val" else 0.0
        return TrainingPolicy(
            drop_novel=data.drop_novel, min_pixels=data.min_pixels, queries=data.queries, held_out=held_out
        )

    @property
    def augmentation(self) -> Augmentation | None:
        """The recipe's; `UsageError` if it has none of a name it uses."""
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in self.recipe.data.augmentation.items()
        }
        known = list(Augmentation.__dataclass_fields__)
        if strange := sorted(set(given) - set(known)):
            raise UsageError(f"there is no augmentation '{strange[0]}'", remedy=known_are(strange[0], known))
        return Augmentation(**given) if given else None

    @property
    def plan(self) -> EpochPlan:
        """What an epoch is."""
        run = self.recipe.run
        return EpochPlan(seed=run.seed, shot=run.shot, episodes=run.episodes, batch=run.batch)

    def build(self) -> nn.Module:
        """The model as it begins, the same in every process."""
        torch.manual_seed(self.recipe.run.seed)
        return build_module(self.model, **self.options)

    def lists(self) -> TrainingLists:
        """The images to learn from."""
        return training_lists(
            self.training_set, self.fold, self.policy, benchmark=self.benchmark, image_list=self.image_list
        )

    def audit(self, lists: TrainingLists) -> Leakage:
        """What training and test have in common."""
        return audit(self.training_set, lists, [] if self.test_set is None else [self.test_set])

    def identity(self, lists: TrainingLists) -> str:
        """Everything that the weights depend on, as JSON: a run is only gone on with by one of the same identity."""
        flat = dict(_flat(self.recipe.model_dump(mode="json"), ""))
        del flat["run.max_steps"]  # where to stop changes nothing about how to get there
        told: dict[str, Any] = {"model": self.model, "benchmark": self.benchmark.name, "fold": self.fold}
        options = {f"options.{name}": str(value) for name, value in self.options.items()}
        return json.dumps({**flat, **options, **told, "images": lists.digest, "buffer": self.buffer}, sort_keys=True)


def _flat(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


@dataclass(frozen=True, kw_only=True)
class Trained:
    """How a run ended.

    Attributes:
        weights: the checkpoint that the recipe's rule chose.
        signal: that stopped it, or 0.
    """

    progress: Progress
    planned: int
    weights: Path
    signal: int


def train_model(
    job: TrainingJob, model: nn.Module, lists: TrainingLists, leakage: Leakage, *, ranks: Ranks, watch: Watcher
) -> Trained:
    """Train ``model`` as the job says; every process calls this.

    Raises:
        TrainingError: there is a run in the folder already, or none to go on with, or another; or the loss is no
            number.
        TrainingSetError: data are missing or damaged.
    """
    _require_fit(job, model, lists)
    _open(job, ranks)
    learner = Learner(model, job.recipe, device=job.device, ranks=ranks)
    _remember_features(job, model)
    supply = _supply(job, model, lists, ranks)
    progress, identity = Progress(), job.identity(lists)
    if job.resume:
        progress, state = job.folder.load(identity=identity)
        learner.restore(state)
        if ranks.first:
            job.folder.cut_log(progress.step)
    planned = job.recipe.run.epochs * supply.steps
    facts = Facts(job=job, lists=lists, leakage=leakage, planned=planned, processes=ranks.world)

    def keep(best: bool) -> None:
        if ranks.first:
            job.folder.save(progress, identity=identity, parts=learner.state())
            for name in (LAST, BEST) if best else (LAST,):
                write_weights(name, model, progress, facts)
            title = f"{job.model} on {job.benchmark.name} fold {job.fold}"
            draw_curve(job.folder.curve, job.folder.lines(), title=title)
        ranks.gather(None)  # nobody goes on before it is written

    with stop_requests() as stop:
        validate = _validation(job, lists, ranks)
        train(learner, supply, progress, validate=validate, keep=keep, watch=watch, stop=stop)
    weights = job.folder.weights(select_on=job.recipe.run.select_on)
    return Trained(progress=progress, planned=planned, weights=weights, signal=stop.signal)


def _require_fit(job: TrainingJob, model: nn.Module, lists: TrainingLists) -> None:
    """Refuse a model that cannot be validated as the recipe says, or was built for other base classes."""
    if job.recipe.run.select_on != "last" and not isinstance(model, FewShotSegmenter):
        raise TrainingError(f"{job.model} answers no episodes to choose weights by", remedy="pass --select-on last")
    told = getattr(model, "base_classes", None)
    if told is not None and told != len(lists.base):
        raise UsageError(
            f"{job.model} was built for {told} base classes, fold {job.fold} of {job.benchmark.title} "
            f"has {len(lists.base)}",
            remedy="choose --option benchmark by their number: coco has 60, pascal 15",
        )


def _open(job: TrainingJob, ranks: Ranks) -> None:
    """Make the folder ready; `TrainingError` if there is a run in it that nobody said to go on with."""
    begun = job.folder.begun
    if begun and not (job.resume or job.overwrite):
        raise TrainingError(
            f"{job.folder.path} has a run already", remedy="pass --resume to go on with it, or --overwrite to forget it"
        )
    ranks.gather(None)  # everyone has looked
    if ranks.first:
        if job.overwrite:
            job.folder.clear()
        job.folder.path.mkdir(parents=True, exist_ok=True)


def _remember_features(job: TrainingJob, model: nn.Module) -> None:
    budget = int(job.recipe.run.feature_cache * 1e9)
    if not budget:
        return
    if job.augmentation is not None or not getattr(model, "frozen", False) or not hasattr(model, "features"):
        raise UsageError(
            f"features of {job.model} cannot be remembered: that takes a model that offers it, with a frozen backbone, "
            "and no augmentation",
            remedy="leave out run.feature_cache",
        )
    model.features = FeatureStore(budget)  # type: ignore[assignment]


def _supply(job: TrainingJob, model: nn.Module, lists: TrainingLists, ranks: Ranks) -> Supply[Any]:
    """The batches: of episodes for a model that answers them, of labelled images for any other."""
    of_episodes = isinstance(model, FewShotSegmenter)
    make: Any = batches if of_episodes else semantic_batches
    if job.buffer is not None:
        make = partial(streamed_batches if of_episodes else streamed_semantic_batches, buffer=job.buffer)

    def epoch(number: int, first: int) -> Iterator[Any]:
        found: Iterator[Any] = make(
            job.training_set,
            lists,
            plan=job.plan,
            epoch=number,
            start=first,
            rank=ranks.rank,
            world=ranks.world,
            preprocess=model.preprocess,
            augmentation=job.augmentation,
            workers=job.workers,
        )
        return found

    plan = job.plan
    return Supply(batches=epoch, episodes=plan.length(lists), batch=plan.batch, n_classes=1 + job.benchmark.n_classes)


def _validation(job: TrainingJob, lists: TrainingLists, ranks: Ranks) -> Callable[[nn.Module], float] | None:
    """The recipe's way to compare weights, or ``None`` where the last ones are kept."""
    run, test_set = job.recipe.run, job.test_set
    if run.select_on == "last":
        return None
    if run.select_on == "test-fold" and test_set is not None:
        return partial(
            validate_on_set,
            episode_set=test_set,
            shot=run.shot,
            episodes=run.validation_episodes,
            device=job.device,
            ranks=ranks,
            workers=job.workers,
        )

    fixed = partial(
        validation_batches,
        job.training_set,
        lists,
        shot=run.shot,
        episodes=run.validation_episodes,
        batch=run.batch,
        rank=ranks.rank,
        world=ranks.world,
        workers=job.workers,
    )
    return partial(validate_on_batches, batches=fixed, device=job.device, ranks=ranks)

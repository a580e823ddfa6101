"""One training run from end to end: a recipe, a fold and a training set, and the checkpoints it leaves."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import nn

from fssbench.base.errors import TrainingError, UsageError
from fssbench.base.files import storage_errors
from fssbench.base.locking import exclusive
from fssbench.base.progress import Report
from fssbench.engine.ranks import Ranks
from fssbench.episodes.training import TrainingLists
from fssbench.models.feature_store import FeatureStore
from fssbench.models.interface import FewShotSegmenter
from fssbench.pipelines.training_sets.batches import (
    semantic_validation_batches,
    validation_batches,
)
from fssbench.pipelines.training_sets.epoch import Epoch, EpochPlan
from fssbench.pipelines.training_sets.leakage import Leakage
from fssbench.training.curve import draw_curve
from fssbench.training.folder import BEST, LAST, Progress, RunFolder
from fssbench.training.log import Log
from fssbench.training.loop import Learner, Watcher, train
from fssbench.training.settings import TrainingJob
from fssbench.training.shown import ShownTraining
from fssbench.training.stopping import stop_requests, stop_rule
from fssbench.training.supply import supply
from fssbench.training.validation import Scored, validate_on_batches, validate_on_images, validate_on_set
from fssbench.training.weights import Facts, note_end, settled_after, write_weights

__all__ = ["Trained", "train_model"]


@dataclass(frozen=True, kw_only=True)
class Trained:
    """How a run ended.

    Attributes:
        folder: that it lies in, with its log, learning curve and all that is needed to go on.
        planned: steps of the whole run: of its epochs, or fewer if ``run.max_steps`` says so.
        weights: the checkpoint that the recipe's rule chose.
        signal: that stopped it, or 0.
        settled: why it ended before the planned steps, where validation no longer rose; else ``None``.
    """

    folder: RunFolder
    progress: Progress
    planned: int
    weights: Path
    signal: int
    settled: str | None = None


def train_model(job: TrainingJob, *, ranks: Ranks, report: Report) -> Trained:
    """Train as the job says, unless what is trained on is tested; every process calls this.

    Args:
        report: where the first process shows how it goes.

    Raises:
        TrainingError: there is a run in the folder already, or none to go on with, or another; or the loss is not
            finite.
        StorageError: the disk is full, or another run is training in the folder.
        TrainingSetError: data are missing or damaged, or a class or an image that is tested would be trained on.
    """
    lists = job.lists()
    leakage = job.audit(lists)
    if ranks.first:
        report.say("\n".join(leakage.lines()))
        if job.test_set is None:
            report.note(f"there is no episode set of fold {job.fold} to compare the images with")
    leakage.require_none()
    run = job.recipe.run
    steps = job.steps(lists)
    if run.max_steps is not None and run.max_steps > steps:
        epochs = "1 epoch" if run.epochs == 1 else f"{run.epochs:,} epochs"
        told = f"the run ends after {steps:,} steps, in its {epochs}, and not after {run.max_steps:,}"
        report.note(f"{told}; pass --epochs for more")
    model = job.build()
    _require_fit(job, model, lists)  # before anything is left in the folder
    alone = exclusive(job.folder.path, doing="training in") if ranks.first else nullcontext()
    with alone, report.progress(f"{job.model} fold {job.fold}", steps, unit="steps") as bar:
        log = Log(job.folder, job.trackers, note=report.note) if ranks.first else None
        shown = ShownTraining(bar, report, run, log)
        try:
            return _train(job, model, lists, leakage, ranks=ranks, watch=shown)
        finally:
            shown.close()


def _train(
    job: TrainingJob, model: nn.Module, lists: TrainingLists, leakage: Leakage, *, ranks: Ranks, watch: Watcher
) -> Trained:
    """Train ``model``, from the beginning or from where the run in the folder stopped."""
    _open(job, ranks)
    learner = Learner(model, job.recipe, device=job.device, ranks=ranks)
    _remember_features(job, model)
    supplied = supply(job, model, lists, ranks)
    progress, identity = Progress(), job.identity(lists)
    if job.resume:
        progress, state = job.folder.load(identity=identity)
        try:
            learner.restore(state)
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise TrainingError(
                f"{job.folder.state} is not of this model: {reason}", remedy="begin anew with --overwrite"
            ) from error
        if ranks.first:
            job.folder.cut_log(progress.step)
    planned = job.recipe.run.epochs * supplied.steps
    facts = Facts(
        job=job, lists=lists, leakage=leakage, planned=planned, per_epoch=supplied.steps, processes=ranks.world
    )

    def keep(best: bool) -> None:
        if ranks.first:
            for name in (LAST, BEST) if best else (LAST,):
                write_weights(name, model, progress, facts)
            if settled_after(progress, facts):
                note_end(progress, facts)
            title = f"{job.model} on {job.benchmark.name} fold {job.fold}"
            draw_curve(job.folder.curve, job.folder.lines(), title=title)
            # Last: a run that is killed on the way here goes on from the state before, and writes all of it again.
            job.folder.save(progress, identity=identity, parts=learner.state())
        ranks.gather(None)  # nobody goes on before it is written

    with stop_requests() as stop:
        validate = _validation(job, lists, ranks)
        train(learner, supplied, progress, validate=validate, keep=keep, watch=watch, stop=stop)
    weights = job.folder.weights(select_on=job.recipe.run.select_on)
    return Trained(
        folder=job.folder,
        progress=progress,
        planned=job.steps(lists),
        weights=weights,
        signal=stop.signal,
        settled=stop_rule(job.recipe.run) if settled_after(progress, facts) else None,
    )


def _require_fit(job: TrainingJob, model: nn.Module, lists: TrainingLists) -> None:
    """Refuse a model that cannot be validated as the recipe says, or was built for other base classes."""
    select_on, answers = job.recipe.run.select_on, isinstance(model, FewShotSegmenter)
    by_images = select_on == "base-val" and bool(lists.validation_images)
    if by_images and answers:
        raise UsageError(
            f"{job.model} is chosen by episodes, and data.held_out_images holds out none",
            remedy="leave it out, or pass --select-on last",
        )
    if select_on != "last" and not answers and not by_images:
        raise TrainingError(
            f"{job.model} answers no episodes to choose weights by",
            remedy="pass --select-on last, or --select-on base-val with data.held_out_images above 0",
        )
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
        with storage_errors(job.folder.path):
            job.folder.path.mkdir(parents=True, exist_ok=True)
        if not begun:  # but for what a run told that was killed before it had a state
            job.folder.cut_log(0)


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


def _validation(job: TrainingJob, lists: TrainingLists, ranks: Ranks) -> Callable[[nn.Module], Scored] | None:
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

    epoch = partial(
        Epoch,
        job.training_set,
        lists,
        plan=EpochPlan(shot=run.shot, episodes=run.validation_episodes, batch=run.micro_batch or run.batch),
        number=-1,
        rank=ranks.rank,
        world=ranks.world,
        workers=job.workers,
    )

    if lists.validation_images:
        return partial(
            validate_on_images,
            batches=lambda preprocess: semantic_validation_batches(epoch(preprocess=preprocess)),
            n_classes=1 + len(lists.base),
            device=job.device,
            ranks=ranks,
        )
    return partial(
        validate_on_batches,
        batches=lambda preprocess: validation_batches(epoch(preprocess=preprocess)),
        device=job.device,
        ranks=ranks,
    )

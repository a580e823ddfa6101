"""What a training run will do, told before it does anything."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fssbench.base.progress import duration
from fssbench.episodes.training import TrainingLists
from fssbench.pipelines.training_sets.published import published_as
from fssbench.training.cost import TrainingCost
from fssbench.training.recipe import Recipe
from fssbench.training.settings import TrainingJob
from fssbench.training.stopping import stop_rule

__all__ = ["TrainingPlan"]


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingPlan:
    """A job and the images it found.

    Attributes:
        processes: that would share every batch.
        cost: of one of them.
    """

    job: TrainingJob
    lists: TrainingLists
    processes: int
    cost: TrainingCost

    def lines(self) -> list[str]:
        """For people: data, batch, length, and how weights are chosen."""
        job, recipe = self.job, self.job.recipe
        optimizer = recipe.optimizer
        clip = "" if optimizer.clip is None else f", gradients clipped to {optimizer.clip:g}"
        return [
            f"{job.model} on {job.benchmark.title} fold {job.fold}; recipe from {recipe.source}",
            f"images: {self._images()}",
            f"batch: {batch_line(recipe, processes=self.processes)}",
            f"length: {self._length()}",
            f"time: {self._time()}",
            f"memory: about {self.cost.memory / 1e9:,.1f} GB on {self.job.device}, in each process",
            f"rate: {optimizer.name} at {optimizer.rate:g}, {recipe.schedule.name}{clip}",
            f"weights: {self._choice()}",
            f"folder: {job.folder.path}",
        ]

    def _images(self) -> str:
        lists, data = self.lists, self.job.recipe.data
        source = "all of the training set" if self.job.image_list is None else f"as listed by {self.job.image_list}"
        source += "" if (known := published_as(lists)) is None else f", which are the published {known.label}"
        apart = len(lists.validation_images) or sum(len(ids) for ids in lists.validation.values())
        drawn = f"{len(lists.pairs):,} pairs of image and class, drawn {data.queries}"
        told = [
            f"{len(lists.images):,} to learn from, {source}",
            "each once an epoch" if data.all_images else drawn,
            *([f"{lists.dropped:,} dropped for a novel class"] if data.drop_novel else []),
            *([f"{apart:,} held out"] if apart else []),
        ]
        return "; ".join(told)

    def _length(self) -> str:
        run, plan = self.job.recipe.run, self.job.plan
        steps, used = plan.n_batches(self.lists), plan.length(self.lists)
        short = used % run.batch
        total = self.job.steps(self.lists)
        told = f"{run.epochs:,} epochs of {used:,} = {steps:,} steps{f', the last of {short}' if short else ''}; "
        told += f"{total:,} steps in all"
        if run.stop_interval and run.select_on != "last":
            told += f", or less: it stops after {stop_rule(run)}"
        elif run.stop_interval:
            told += ", whatever run.stop_interval says: the last weights are kept, and none are validated"
        return told

    def _time(self) -> str:
        total = self.job.steps(self.lists) * self.cost.seconds
        more = "" if self.job.recipe.run.select_on == "last" else " without validation"
        return f"about {self.cost.seconds:,.2g} s a step, {duration(total)} in all{more}"

    def _choice(self) -> str:
        run, lists = self.job.recipe.run, self.lists
        every = "every epoch" if run.validate_every is None else f"every {run.validate_every:,} steps"
        if run.select_on == "last":
            return "the last"
        if run.select_on == "test-fold":
            return f"the best on {run.validation_episodes:,} episodes of the test fold itself, {every}"
        if lists.validation_images:
            return f"the best on {len(lists.validation_images):,} images held out, {every}"
        n = len(lists.held_out)
        return f"the best on {run.validation_episodes:,} episodes of {n} base classes held out, {every}"


def batch_line(recipe: Recipe, *, processes: int) -> str:
    """The global batch, and how it is computed: at a time × how often × processes."""
    run = recipe.run
    share = math.ceil(run.batch / processes)
    part = min(run.micro_batch or share, share)
    whole, left = divmod(share, part)
    more = f" + {left}" if left else ""
    told = f"{run.batch} a step = {part} at a time × {whole}{more} accumulated × {processes} process"
    told += "es" if processes > 1 else ""
    return told if run.published_as is None else f"{told}; published as {run.published_as}"

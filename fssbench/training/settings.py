"""What a training run is asked to do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fssbench.base.errors import TrainingError, UsageError
from fssbench.base.files import sha256_bytes
from fssbench.base.suggest import known_are
from fssbench.base.trackers import Tracker, open_trackers, require_trackers
from fssbench.episodes.benchmarks import Benchmark
from fssbench.episodes.training import TrainingLists, TrainingPolicy
from fssbench.models import build_module
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.training_sets.augment import Augmentation
from fssbench.pipelines.training_sets.epoch import EpochPlan
from fssbench.pipelines.training_sets.leakage import Leakage, audit
from fssbench.pipelines.training_sets.lists import training_lists
from fssbench.pipelines.training_sets.sequential import BUFFER
from fssbench.pipelines.training_sets.training_set import TrainingSet
from fssbench.pipelines.transport import Remote
from fssbench.training.folder import RunFolder
from fssbench.training.recipe import Recipe
from fssbench.training.validation import validation_track

__all__ = ["TrainingJob"]


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingJob:
    """What to train on what, and where it goes.

    Attributes:
        model: its name.
        options: it is built with.
        test_set: of the fold; for the audit, and to choose weights by if the recipe says so. ``None`` if there is
            none.
        image_list: a file that names the images to learn from, or HSNet's or HDMNet's folder of lists; ``None`` for
            all.
        resume: go on with the run in the folder.
        overwrite: forget the run in the folder.
        log_to: of `fssbench.base.trackers.TRACKERS`, those that figures go to as well.
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
    log_to: Sequence[str] = ()

    def __post_init__(self) -> None:
        require_trackers(self.log_to)
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
        """How images are chosen; classes or images are held out only if weights are chosen by them."""
        data = self.recipe.data
        chosen = self.recipe.run.select_on == "base-val"
        return TrainingPolicy(
            drop_novel=data.drop_novel,
            min_pixels=data.min_pixels,
            query_pixels=data.query_pixels,
            all_images=data.all_images,
            queries=data.queries,
            held_out=data.held_out if chosen and not data.held_out_images else 0.0,
            held_out_images=data.held_out_images if chosen else 0.0,
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
        return EpochPlan(seed=run.seed, shot=run.shot, episodes=run.episodes, batch=run.batch, drop_last=run.drop_last)

    def steps(self, lists: TrainingLists) -> int:
        """Steps of the whole run, unless validation settles sooner: of all epochs, or ``max_steps`` if that is less."""
        run = self.recipe.run
        total = run.epochs * self.plan.n_batches(lists)
        return total if run.max_steps is None else min(total, run.max_steps)

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

    def trackers(self) -> list[Tracker]:
        """Runs that figures go to besides the folder's log, those that an interrupted run had begun among them."""
        facts = dict(_flat(self.recipe.model_dump(mode="json"), "")) | {"benchmark": self.benchmark.name}
        told = {name: value for name, value in facts.items() if value not in (None, {}, [])}
        title = f"{self.recipe.model} on {self.benchmark.name}, fold {self.fold}"
        return open_trackers(self.log_to, title=title, facts=told | {"fold": self.fold}, folder=self.folder.path)

    def identity(self, lists: TrainingLists) -> str:
        """Everything that the weights depend on, as JSON: a run is only gone on with by one of the same identity."""
        flat = dict(_flat(self.recipe.model_dump(mode="json"), ""))
        del flat["run.max_steps"]  # where to stop changes nothing about how to get there
        told: dict[str, Any] = {"model": self.model, "benchmark": self.benchmark.name, "fold": self.fold}
        told["training set"] = sha256_bytes(self.training_set.manifest.to_json().encode())
        if self.recipe.run.select_on == "test-fold" and self.test_set is not None:
            run = self.recipe.run
            track = validation_track(self.test_set, shot=run.shot, episodes=run.validation_episodes)
            told["validated on"] = [track.digest, self.test_set.truth_digest(track)]
        options = {f"options.{name}": str(value) for name, value in self.options.items()}
        return json.dumps({**flat, **options, **told, "images": lists.digest, "buffer": self.buffer}, sort_keys=True)


def _flat(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value

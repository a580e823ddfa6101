"""Where a reproduction finds what is there and puts what is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fssbench.base.errors import EpisodeSetError, ResultError, UsageError
from fssbench.episodes.benchmarks import Benchmark
from fssbench.episodes.identity import Identity
from fssbench.leaderboard.reproduction.runs import Evaluation, Variant
from fssbench.models import model_spec
from fssbench.models.cards import chosen_weights, read_card
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet, set_path
from fssbench.pipelines.training_sets.training_set import TRAINING, training_path
from fssbench.results.load import results_below
from fssbench.schemas.result import Result, read_result
from fssbench.training.folder import LAST
from fssbench.training.recipe import Recipe, find_recipe, overridden

__all__ = ["Places", "Results"]


@dataclass(frozen=True, kw_only=True)
class Places:
    """The folders of episode sets, checkpoints and results."""

    sets: Path
    checkpoints: Path
    results: Path

    def training(self, variant: Variant, fold: int) -> Path:
        """The folder that a training of ours leaves its checkpoints in; where eval looks too, if all is default."""
        return self.checkpoints / variant.benchmark.name / f"{variant.slug}-fold{fold}"

    def checkpoint(self, variant: Variant, fold: int) -> Path | None:
        """Trained weights that are there, put into the home by hand or left by a training that is finished."""
        folder = self.training(variant, fold)
        by_hand = (folder.with_name(f"{folder.name}{suffix}") for suffix in (".safetensors", ".pt"))
        trained = (chosen_weights(folder),) if _is_finished(folder) else ()
        return next((file for file in (*by_hand, *trained) if file.is_file()), None)

    def has_set(self, wanted: Evaluation, fold: int, *, episodes: int) -> bool:
        """Whether the episodes of an evaluation are prepared, by the protocol's version of today."""
        path = set_path(self.sets, benchmark=wanted.benchmark.name, protocol=wanted.protocol, fold=fold)
        try:
            found = EpisodeSet.open(path)
            tracks = [found.record(shot=wanted.shot, seed=seed) for seed in wanted.rules.seeds]
        except EpisodeSetError:
            return False
        current = found.manifest.protocol.label == wanted.rules.label
        return current and all(track.episodes >= episodes for track in tracks)

    def identity(self, wanted: Evaluation, fold: int, seed: int, *, episodes: int) -> Identity | None:
        """What the set at hand asks, which a result must have answered to count; ``None`` if there is no such set."""
        if not self.has_set(wanted, fold, episodes=episodes):
            return None
        found = EpisodeSet.open(
            set_path(self.sets, benchmark=wanted.benchmark.name, protocol=wanted.protocol, fold=fold)
        )
        track = found.tracks[found.record(shot=wanted.shot, seed=seed).label].first(episodes)
        return Identity(track.digest, found.truth_digest(track))

    def training_set(self, benchmark: Benchmark) -> Path:
        """The manifest of the images that a benchmark's models learn from."""
        return training_path(self.sets, benchmark) / TRAINING


class Results:
    """The finished results below a folder, by what they are of.

    Attributes:
        damaged: what is wrong with those that cannot be read; they are as good as not there.
    """

    def __init__(self, folder: Path) -> None:
        self._found: list[tuple[Path, Result]] = []
        self.damaged: list[str] = []
        for path in _files(folder):
            try:
                self._found.append((path, read_result(path)))
            except ResultError as error:
                self.damaged.append(error.problem)

    def of(
        self, wanted: Evaluation, fold: int, seed: int, *, episodes: int, identity: Identity | None = None
    ) -> Path | None:
        """The result of a model, trained if it needs it, on the first ``episodes`` of a track, or ``None``.

        Args:
            identity: what it must have been asked, if the episode set is there to tell.

        Raises `ResultError` if there are several, as of other weights.
        """
        asked = (wanted.benchmark.name, wanted.rules.label, fold, wanted.shot, seed, episodes)
        options = _changed(wanted.variant, wanted.variant.options)
        training = "trained" if wanted.variant.is_trained else "not needed"
        found = [
            path
            for path, result in self._found
            if _asked(result) == asked
            and (identity is None or not identity.unlike(result.episodes.identity))
            and (result.model.name, result.model.training) == (wanted.variant.model, training)
            and result.model.control is None
            and _changed(wanted.variant, result.model.options) == options
            and _is_augmented(result, wanted.variant)
        ]
        if len(found) > 1:
            raise ResultError(
                f"{found[0]} and {found[1]} are both {wanted.variant.slug} on fold {fold}, of other weights",
                remedy="keep one of them below the folder, or name another --output",
            )
        return found[0] if found else None


def _is_finished(folder: Path) -> bool:
    """Whether the training that left a folder came to its end."""
    last = folder / LAST
    if not last.is_file() or (training := read_card(last).training) is None:
        return False
    most = training.recipe["run"]["max_steps"] or training.planned_steps
    return training.settled_after is not None or training.steps >= min(most, training.planned_steps)


def _files(folder: Path) -> list[Path]:
    try:
        return results_below(folder)
    except ResultError:  # nothing was evaluated yet
        return []


def _asked(result: Result) -> tuple[str, str, int, int, int, int]:
    episodes = result.episodes
    protocol = f"{episodes.protocol}/{episodes.protocol_version}"
    return episodes.benchmark, protocol, episodes.fold, episodes.shot, episodes.seed, episodes.n_episodes


def _changed(variant: Variant, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options neither of the model's defaults nor of its recipe; a backbone's weights are in the checkpoint."""
    usual, recipe = model_spec(variant.model).options, _recipe(variant)
    trained = {} if recipe is None else recipe.options
    return {
        name: value
        for name, value in options.items()
        if name != "backbone_weights" and value != usual.get(name) and (name not in trained or value != trained[name])
    }


def _is_augmented(result: Result, variant: Variant) -> bool:
    """Whether training images were augmented as for a variant; of weights that others trained, nobody says."""
    told = None if result.model.trained is None else result.model.trained.augmentation
    recipe = _recipe(variant)
    return recipe is None or told == recipe.data.augmentation or (told is None and not variant.changes)


def _recipe(variant: Variant) -> Recipe | None:
    """By which a variant is trained; ``None`` if there is none here."""
    try:
        return overridden(find_recipe(variant.model, variant.benchmark), dict(variant.changes))
    except UsageError:
        return None

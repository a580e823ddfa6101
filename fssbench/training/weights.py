"""The checkpoints of a run: weights, with a card that says how they came to be."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from fssbench.base.files import sha256_bytes
from fssbench.episodes.training import TrainingLists
from fssbench.models.cards import read_card, write_card, write_safetensors
from fssbench.pipelines.training_sets.leakage import Leakage
from fssbench.pipelines.training_sets.published import published_as
from fssbench.results.environment import describe_environment, device_name
from fssbench.schemas.card import TrainingCard
from fssbench.schemas.result import LearnedRecord
from fssbench.training.folder import BEST, Progress
from fssbench.training.settings import TrainingJob
from fssbench.training.stopping import settled

__all__ = ["SELECTIONS", "Facts", "note_end", "settled_after", "write_weights"]

SELECTIONS = {
    "last": "the last step",
    "base-val": "best mIoU on held-out base classes",
    "test-fold": "best mIoU on the test fold itself, as is usual in publications",
}
"""How the recipe's rules are told."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Facts:
    """What all checkpoints of a run have in common.

    Attributes:
        planned: steps of the whole run.
        per_epoch: steps of an epoch.
        processes: that share every batch.
    """

    job: TrainingJob
    lists: TrainingLists
    leakage: Leakage
    planned: int
    per_epoch: int
    processes: int


def write_weights(name: str, model: nn.Module, progress: Progress, facts: Facts) -> None:
    """Write ``model`` as the checkpoint ``name`` of the run's folder, with its card."""
    job = facts.job
    training = _card(name, progress, facts)
    info = getattr(model, "backbone_info", None)
    validated_on = job.test_set if training.select_on == "test-fold" else None
    write_safetensors(
        job.folder.path / name,
        {key: tensor.detach().cpu() for key, tensor in model.state_dict().items()},
        model=job.model,
        options={key: value for key, value in job.options.items() if key != "backbone_weights"},
        converted_from_sha256=None,
        backbone_sha256=info.sha256 if info else None,
        training_set=f"{job.benchmark.name} fold {job.fold} train",
        protocol=validated_on.manifest.protocol.name if validated_on else None,
        selection=_selection(training.select_on, facts.lists),
        training=training,
    )


def _selection(select_on: str, lists: TrainingLists) -> str:
    by_images = select_on == "base-val" and lists.validation_images
    return "best mIoU of the base classes on held-out images" if by_images else SELECTIONS[select_on]


def settled_after(progress: Progress, facts: Facts) -> int | None:
    """The step at which the run ended because validation no longer rose; ``None`` if it did not."""
    ended = settled(progress.validated, facts.job.recipe.run, per_epoch=facts.per_epoch)
    return progress.step if ended else None


def note_end(progress: Progress, facts: Facts) -> None:
    """Let the card of the best weights, written when they were the best, say where the run ended."""
    weights = facts.job.folder.path / BEST
    if weights.is_file() and (training := (card := read_card(weights)).training) is not None:
        told = training.model_copy(update={"settled_after": settled_after(progress, facts)})
        write_card(weights, card.model_copy(update={"training": told}))


def _card(name: str, progress: Progress, facts: Facts) -> TrainingCard:
    job, run = facts.job, facts.job.recipe.run
    return TrainingCard(
        benchmark=job.benchmark.name,
        fold=job.fold,
        shot=run.shot,
        seed=run.seed,
        training_set=sha256_bytes(job.training_set.manifest.to_json().encode()),
        classes=facts.lists.classes,
        held_out=facts.lists.held_out,
        select_on=run.select_on if name == BEST else "last",
        steps=progress.step,
        planned_steps=facts.planned,
        settled_after=settled_after(progress, facts),
        recipe_sha256=sha256_bytes(job.recipe.model_dump_json().encode()),
        images_with_novel_classes=facts.leakage.record.novel_images,
        learned=_learned(facts.lists),
        augmentation=job.recipe.data.augmentation,
        recipe=job.recipe.model_dump(mode="json"),
        precision=run.precision,
        device=device_name(job.device),
        processes=facts.processes,
        validated=tuple((one.step, one.miou) for one in progress.validated),
        leakage=facts.leakage.record,
        environment=describe_environment(),
    )


def _learned(lists: TrainingLists) -> LearnedRecord:
    known = published_as(lists)
    return LearnedRecord(
        images=len(lists.images),
        pairs=sum(len(ids) for ids in lists.pools.values()),
        sha256=lists.digest,
        published=None if known is None else known.label,
    )

"""The checkpoints of a run: weights, with a card that says how they came to be."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from fssbench.base.files import sha256_bytes
from fssbench.episodes.training import TrainingLists
from fssbench.models.cards import write_safetensors
from fssbench.pipelines.training_sets.leakage import Leakage
from fssbench.pipelines.training_sets.published import published_as
from fssbench.results.environment import describe_environment, device_name
from fssbench.schemas.card import TrainingCard
from fssbench.schemas.result import LearnedRecord
from fssbench.training.folder import BEST, Progress
from fssbench.training.settings import TrainingJob

__all__ = ["SELECTIONS", "Facts", "write_weights"]

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
        processes: that share every batch.
    """

    job: TrainingJob
    lists: TrainingLists
    leakage: Leakage
    planned: int
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
        selection=SELECTIONS[training.select_on],
        training=training,
    )


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
        pairs=len(lists.pairs),
        sha256=lists.digest,
        published=None if known is None else known.label,
    )

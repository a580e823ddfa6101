"""One training step of HDMNet and one of its base learner on real images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fssbench.episodes.benchmarks import COCO_20I
from fssbench.episodes.training import TrainingLists, TrainingPolicy
from fssbench.models.hdmnet import HDMNet
from fssbench.models.pspnet import PSPNet
from fssbench.models.trainable import Step, Trainable
from fssbench.pipelines.sources import open_source
from fssbench.pipelines.training_sets.augment import Augmentation
from fssbench.pipelines.training_sets.batches import batches, semantic_batches
from fssbench.pipelines.training_sets.build_training_set import build_training, plan_training
from fssbench.pipelines.training_sets.epoch import Epoch, EpochPlan
from fssbench.pipelines.training_sets.lists import training_lists
from fssbench.pipelines.training_sets.training_set import TrainingSet
from fssbench.training.optimization import build_optimizer
from fssbench.training.recipe import find_recipe

pytestmark = pytest.mark.real

FOLD = 0
SIDE = 129


@pytest.fixture(scope="module")
def real(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingSet, TrainingLists]:
    """The sample of COCO as images to train on; it calls itself a piece of val2017."""
    folder = tmp_path_factory.mktemp("coco")
    (folder / "annotations").mkdir()
    there = real_data / "coco" / "annotations" / "instances_val2017.json"
    (folder / "annotations" / "instances_train2017.json").symlink_to(there)
    (folder / "val2017").symlink_to(real_data / "coco" / "val2017")
    source = open_source(COCO_20I, folder, part="training")
    plan = plan_training(source, folder / "sets")
    built = build_training(plan, source)
    training_set = TrainingSet.open(built.path)
    policy = TrainingPolicy(queries="image-uniform")  # without the novel ones too few of a class are left
    return training_set, training_lists(training_set, FOLD, policy)


def one_step(model: nn.Module, step: Step) -> set[str]:
    """Follow the gradient once, as the model's recipe does; the names of what changed."""
    assert isinstance(model, Trainable)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.eval()  # nothing but the optimizer changes anything from here on
    torch.autograd.backward(step.loss)
    build_optimizer(model.groups(), find_recipe(name_of(model), COCO_20I).optimizer).step()
    return {name for name, tensor in model.state_dict().items() if not tensor.equal(before[name])}


def name_of(model: nn.Module) -> str:
    return type(model).__name__.lower()


def grouped(model: nn.Module) -> set[str]:
    assert isinstance(model, Trainable)
    own = {id(p) for group in model.groups() for p in group.parameters}
    return {name for name, p in model.named_parameters(remove_duplicate=False) if id(p) in own}


def test_hdmnet_takes_a_step(real: tuple[TrainingSet, TrainingLists]) -> None:
    model = HDMNet(size=SIDE)
    recipe = find_recipe("hdmnet", COCO_20I)
    settings: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in recipe.data.augmentation.items()}
    plan = EpochPlan(batch=2, episodes=2)
    augmentation = Augmentation(**settings)
    (batch,) = batches(Epoch(*real, plan=plan, number=0, preprocess=model.preprocess, augmentation=augmentation))
    lists = real[1]
    assert [lists.base[place] for place in batch.class_positions] == batch.class_ids.tolist()
    own = batch.query_labels[batch.query_target == 1]
    assert set(own.tolist()) & {1 + place for place in batch.class_positions.tolist()}

    model.learn()
    step = model.step(batch)
    assert all(part.isfinite() for part in step.parts.values())
    assert step.predictions.shape == (2, SIDE, SIDE)
    assert one_step(model, step) == grouped(model)


def test_its_base_learner_takes_a_step(real: tuple[TrainingSet, TrainingLists]) -> None:
    model = PSPNet(size=SIDE)
    plan = EpochPlan(batch=2, episodes=2)
    augmentation = Augmentation(scale=(0.5, 2.0), flip=0.5, fit="crop")
    (batch,) = semantic_batches(
        Epoch(*real, plan=plan, number=0, preprocess=model.preprocess, augmentation=augmentation)
    )
    model.learn()
    step = model.step(batch)
    assert all(part.isfinite() for part in step.parts.values())
    assert (
        one_step(model, step) == grouped(model) == {name for name, _ in model.named_parameters(remove_duplicate=False)}
    )

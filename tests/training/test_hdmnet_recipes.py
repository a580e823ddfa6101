"""The recipes of HDMNet and of its base learner: what they say, and that what they build can be trained."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fssbench.base.errors import UsageError
from fssbench.episodes.benchmarks import COCO_20I, PASCAL_5I, find_benchmark
from fssbench.models import build_module, model_spec
from fssbench.models.hdmnet import HDMNet
from fssbench.models.trainable import Trainable
from fssbench.pipelines.training_sets.augment import Augmentation
from fssbench.training.optimization import build_optimizer
from fssbench.training.recipe import Recipe, find_recipe, overridden

RECIPES = [(model, alias) for model in ("hdmnet", "pspnet") for alias in ("coco", "pascal")]


def built(recipe: Recipe) -> torch.nn.Module:
    with torch.device("meta"):  # their tensors are not needed
        return build_module(recipe.model, **recipe.options)


@pytest.mark.parametrize(("model", "alias"), RECIPES)
def test_what_a_recipe_builds_can_be_trained_by_it(model: str, alias: str) -> None:
    benchmark = find_benchmark(alias)
    recipe = find_recipe(model, benchmark)
    network = built(recipe)
    assert isinstance(network, Trainable)
    assert network.base_classes == benchmark.n_classes - len(benchmark.novel_classes(0))
    build_optimizer(network.groups(), recipe.optimizer)
    augmentation: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in recipe.data.augmentation.items()
    }
    assert Augmentation(**augmentation).rotate == 10


@pytest.mark.parametrize("alias", ["coco", "pascal"])
def test_a_recipe_names_every_option_of_an_ablation_with_its_default(alias: str) -> None:
    """So that one can be read off and changed; how many shots there are, ``run`` says."""
    recipe = find_recipe("hdmnet", find_benchmark(alias))
    defaults = model_spec("hdmnet").options
    assert set(recipe.options) == set(defaults) - {"backbone_weights", "shot"}
    changed = {name for name, value in recipe.options.items() if value != defaults[name]}
    assert changed == {"size", *(["benchmark"] if alias == "pascal" else [])}


def test_an_ablation_is_an_option_changed() -> None:
    recipe = find_recipe("hdmnet", COCO_20I)
    changes = {"stages": 2, "matching": "cosine", "distillation": "ce+kd", "temperature": 0.5, "ensemble": False}
    network = built(overridden(recipe, {f"options.{name}": value for name, value in changes.items()}))
    assert isinstance(network, HDMNet)
    assert len(network.transformer.mix_transformer.match_layers) == 2
    assert (network.distillation, network.temperature, network.ensemble) == ("ce+kd", 0.5, False)
    with pytest.raises(UsageError, match="model 'hdmnet' has no option 'stage'; did you mean 'stages'"):
        built(overridden(recipe, {"options.stage": 2}))


def test_only_on_coco_all_of_a_pspnet_learns_fast() -> None:
    rates = {}
    for benchmark in (COCO_20I, PASCAL_5I):
        recipe = find_recipe("pspnet", benchmark)
        network = built(recipe)
        assert isinstance(network, Trainable)
        groups = build_optimizer(network.groups(), recipe.optimizer).param_groups
        rates[benchmark.alias] = {group["name"]: group["lr"] for group in groups}
    assert rates == {"coco": {"encoder": 2.5e-3, "head": 2.5e-3}, "pascal": {"encoder": 2.5e-4, "head": 2.5e-3}}

"""Recipes: the package's, one's own, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fssbench.base.errors import UsageError
from fssbench.episodes.benchmarks import BENCHMARKS, COCO_20I, COCO_20I_CONTIGUOUS, PASCAL_5I, find_benchmark
from fssbench.models.hsnet import HSNet
from fssbench.training.optimization import build_optimizer, rate_factor
from fssbench.training.recipe import (
    Data,
    Optimizer,
    Recipe,
    Run,
    Schedule,
    find_recipe,
    overridden,
    parse_recipe,
    read_recipe,
    recipe_names,
    to_toml,
)

VALUES = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
TABLES = st.dictionaries(st.text(), VALUES, max_size=3)
COUNTS = st.none() | st.integers(1, 9)


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_reads_back_as_it_was_written(name: str) -> None:
    """Printing a recipe and reading it again changes nothing."""
    model, _, alias = name.rpartition("-")
    recipe = find_recipe(model, find_benchmark(alias))
    assert (recipe.model, recipe.benchmark) == (model, alias)
    assert parse_recipe(to_toml(recipe), where="printed") == recipe


@given(
    st.builds(
        Recipe,
        data=st.builds(Data, augmentation=TABLES, buffer=COUNTS),
        optimizer=st.builds(
            Optimizer,
            groups=st.dictionaries(st.text() | st.just("head.last"), st.floats(0, 10)),
            clip=st.none() | st.floats(0.1, 10),
        ),
        run=st.builds(Run, episodes=COUNTS, max_steps=COUNTS, validate_every=COUNTS),
        options=TABLES,
    )
)
def test_any_recipe_that_is_printed_can_be_read_back(recipe: Recipe) -> None:
    """Whatever names and values a recipe has, a group called head.last among them, printing loses nothing."""
    assert parse_recipe(to_toml(recipe), where="printed") == recipe


def test_a_benchmark_of_other_folds_has_its_datas_recipe() -> None:
    assert COCO_20I_CONTIGUOUS in BENCHMARKS
    found = find_recipe("hsnet", COCO_20I_CONTIGUOUS)
    assert found.model_copy(update={"benchmark": "coco"}) == find_recipe("hsnet", COCO_20I)
    with pytest.raises(UsageError, match="there is no recipe for prototype on COCO-20i; pass --config FILE"):
        find_recipe("prototype", COCO_20I)


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("run.bach", 3, "has no setting 'run.bach'; did you mean 'batch'"),
        ("optimiser", {}, "has no setting 'optimiser'; did you mean 'optimizer'"),
        ("run.batch", "many", "run.batch: .*got 'many'"),
        ("run.batch", 0, "greater than or equal to 1"),
        ("optimizer.name", "adan", "'adam', 'adamw' or 'sgd'"),
        ("model.size", 1, "model has no setting 'size'"),
    ],
)
def test_what_a_recipe_cannot_have_is_refused(setting: str, value: object, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        overridden(find_recipe("hsnet", COCO_20I), {setting: value})


def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    with pytest.raises(UsageError, match=r"mine.toml cannot be read: No such file"):
        read_recipe(path)
    path.write_text("model = hsnet")
    with pytest.raises(UsageError, match=r"mine.toml is not TOML"):
        read_recipe(path)
    path.write_text('model = "hsnet"')
    with pytest.raises(UsageError, match="Field required"):
        read_recipe(path)


@given(
    schedule=st.builds(
        Schedule,
        name=st.sampled_from(["constant", "poly", "cosine"]),
        power=st.floats(0.1, 3),
        per=st.sampled_from(["step", "epoch"]),
        warmup=st.integers(0, 5),
    ),
    epochs=st.integers(1, 6),
    per_epoch=st.integers(1, 7),
)
def test_rates_rise_while_warming_up_and_never_after(schedule: Schedule, epochs: int, per_epoch: int) -> None:
    """Factors are in (0, 1], rise for the warm-up's steps and then only fall; per epoch they are steps of a stair."""
    total = epochs * per_epoch
    factors = [rate_factor(schedule, step=step, total=total, per_epoch=per_epoch) for step in range(total)]
    assert all(0 < factor <= 1 for factor in factors)
    after = factors[schedule.warmup :]
    assert after == sorted(after, reverse=True)
    if schedule.warmup == 0:
        assert factors[0] == 1
        if schedule.per == "epoch":
            assert all(len(set(factors[n : n + per_epoch])) == 1 for n in range(0, total, per_epoch))


def test_poly_is_the_published_rule() -> None:
    schedule = Schedule(name="poly", power=0.9)
    assert rate_factor(schedule, step=25, total=100, per_epoch=10) == pytest.approx(0.75**0.9)


def test_a_backbone_that_learns_does_so_a_hundred_times_slower() -> None:
    """HSNet, figure 10: at 1e-5."""
    recipe = find_recipe("hsnet", PASCAL_5I)
    with torch.device("meta"):  # their tensors are not needed
        free = HSNet(backbone="vgg16", size=64, freeze_backbone=False)
        frozen = HSNet(backbone="vgg16", size=64)
    groups = build_optimizer(free.groups(), recipe.optimizer).param_groups
    assert {group["name"]: group["lr"] for group in groups} == {"squeeze": 1e-3, "backbone": pytest.approx(1e-5)}
    (group,) = build_optimizer(frozen.groups(), Optimizer(name="sgd", rate=0.1)).param_groups
    assert sum(p.numel() for p in group["params"]) == 2_570_018

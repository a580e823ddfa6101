"""A recipe: everything that decides how a model is trained, but for the data themselves and the fold.

The papers' recipes are TOML files in ``recipes``, one a model and benchmark. A recipe has every setting under one of
five headings, and refuses what it does not know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import BaseModel, Field, ValidationError

from fssbench.base.errors import UsageError
from fssbench.base.records import Record, first_error
from fssbench.base.suggest import did_you_mean
from fssbench.base.toml import parse_toml
from fssbench.episodes.benchmarks import Benchmark

__all__ = [
    "Data",
    "Optimizer",
    "Recipe",
    "Run",
    "Schedule",
    "SelectOn",
    "find_recipe",
    "overridden",
    "parse_recipe",
    "read_recipe",
    "recipe_names",
    "to_toml",
]

Positive = Annotated[int, Field(ge=1)]
Factor = Annotated[float, Field(ge=0)]
SelectOn = Literal["last", "base-val", "test-fold"]


class Data(Record):
    """Which images are learned from, and how episodes are drawn from them."""

    drop_novel: bool = Field(default=False, description="leave out images that show a novel class")
    min_pixels: int = Field(default=1, ge=1, description="of a class in an image that it is drawn with")
    query_pixels: int | None = Field(
        default=None, ge=1, description="of a class in an image that is asked about it; null for min_pixels"
    )
    all_images: bool = Field(
        default=False,
        description="learn labels, as a base learner does, from images without a base class too, all of it background",
    )
    queries: Literal["class-uniform", "image-uniform", "pair-uniform"] = Field(
        default="class-uniform",
        description="draw the class, then an image of it; an image, then one of its classes; or a pair of both",
    )
    held_out: float = Field(
        default=0.2, gt=0, lt=1, description="share of the base classes that base-val chooses the weights by"
    )
    held_out_images: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="share of the images, in place of classes, that base-val chooses a base learner's weights by",
    )
    buffer: int | None = Field(
        default=None,
        ge=1,
        description="images to draw from at a time, read from end to end; null to read any image at any time",
    )
    augmentation: dict[str, Any] = Field(
        default_factory=dict,
        description="fields of fssbench.pipelines.training_sets.augment.Augmentation; empty for none",
    )


class Optimizer(Record):
    """How weights follow gradients."""

    name: Literal["adam", "adamw", "sgd"]
    rate: float = Field(gt=0, description="learning rate of a group whose factor is 1")
    weight_decay: Factor = 0.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(default=0.0, description="of sgd")
    betas: tuple[float, float] = Field(default=(0.9, 0.999), description="of adam and adamw")
    groups: dict[str, Factor] = Field(
        default_factory=dict, description="factor on the rate by the model's parameter group, in place of its own"
    )
    clip: float | None = Field(default=None, gt=0, description="largest norm of the whole gradient; null for any")


class Schedule(Record):
    """How the learning rate changes."""

    name: Literal["constant", "poly", "cosine"] = "constant"
    power: float = Field(default=0.9, gt=0, description="of poly: (1 - progress) ** power")
    per: Literal["step", "epoch"] = Field(default="step", description="how often it changes")
    warmup: int = Field(default=0, ge=0, description="steps in which it rises to its value in a straight line")


class Run(Record):
    """How long, how much at once, and which weights are kept."""

    batch: Positive = Field(description="episodes (or images) a step, over all processes")
    published_as: str | None = Field(default=None, description="how that batch was shared, where it was published")
    micro_batch: int | None = Field(
        default=None,
        ge=1,
        description="episodes that a process computes at a time, adding up gradients; null for all its part of a batch",
    )
    drop_last: bool = Field(default=True, description="leave out what fills no batch at the end of an epoch")
    epochs: Positive
    episodes: int | None = Field(
        default=None,
        ge=1,
        description="of an epoch; null for as many as there are images to learn from, or pairs if these are drawn",
    )
    stop_interval: int = Field(
        default=0, ge=0, description="epochs without a better validation after which the run ends; 0 for never"
    )
    stop_gain: float = Field(default=0.0, ge=0, lt=1, description="by how much the mIoU must rise to be better")
    max_steps: int | None = Field(default=None, ge=1, description="stop here, whatever the epochs say")
    shot: Positive = 1
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    select_on: SelectOn = Field(
        default="base-val",
        description="which weights are the best: the last; the best on base classes held out; or on the test fold",
    )
    validate_every: int | None = Field(default=None, ge=1, description="steps; null for once an epoch")
    validation_episodes: Positive = Field(default=1000, description="drawn once and for all")
    seed: int = Field(default=0, ge=0, lt=2**63, description="of the episodes' draws and the dropout's")
    feature_cache: Factor = Field(
        default=0.0, description="GB of memory for features of a frozen backbone, without augmentation; 0 for none"
    )


class Recipe(Record):
    """How a model is trained on a benchmark."""

    model: str
    benchmark: str = Field(description="the alias of the benchmark it was written for")
    source: str = Field(description="where its numbers come from")
    options: dict[str, Any] = Field(default_factory=dict, description="of the model")
    data: Data = Data()
    optimizer: Optimizer
    schedule: Schedule = Schedule()
    run: Run


def recipe_names() -> tuple[str, ...]:
    """The recipes in the package, as ``hsnet-coco``."""
    return tuple(sorted(file.name.removesuffix(".toml") for file in _package() if file.name.endswith(".toml")))


def find_recipe(model: str, benchmark: Benchmark) -> Recipe:
    """The recipe in the package for a model on a benchmark, or on the one whose data that shares.

    Raises `UsageError` if there is none.
    """
    for alias in (benchmark.alias, benchmark.raw):
        name = f"{model}-{alias}"
        if name in recipe_names():
            text = (files("fssbench.training") / "recipes" / f"{name}.toml").read_text(encoding="utf-8")
            recipe = parse_recipe(text, where=f"{name}.toml")
            return recipe.model_copy(update={"benchmark": benchmark.alias})
    raise UsageError(
        f"there is no recipe for {model} on {benchmark.title}",
        remedy=f"pass --config FILE; recipes there are: {', '.join(recipe_names())}",
    )


def read_recipe(path: Path) -> Recipe:
    """A recipe of one's own; `UsageError` naming the file if it cannot be read or is none."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", remedy="check the path") from error
    return parse_recipe(data, where=str(path))


def parse_recipe(text: bytes | str, *, where: str) -> Recipe:
    """A recipe from TOML; `UsageError` naming ``where`` and the first thing that is wrong."""
    try:
        told = parse_toml(text)
    except ValueError as error:
        raise UsageError(f"{where} is not TOML: {error}", remedy="see fssbench train --print-config for one") from error
    return _checked(told, where=where)


def overridden(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """The recipe with some settings changed, each by its full name, such as ``run.batch``.

    Raises `UsageError` for a name or value that a recipe cannot have.
    """
    tree = recipe.model_dump()
    for name, value in changes.items():
        *path, last = name.split(".")
        place = tree
        for part in path:
            inner = place.setdefault(part, {})
            if not isinstance(inner, dict):
                raise UsageError(f"a recipe's {part} has no setting '{last}'", remedy="see --print-config")
            place = inner
        place[last] = value
    return _checked(tree, where="the recipe")


def to_toml(recipe: Recipe) -> str:
    """The recipe as TOML that `parse_recipe` reads again; what is null is left out."""
    return tomli_w.dumps(_without_nulls(recipe.model_dump()))


def _without_nulls(table: Mapping[str, Any]) -> dict[str, Any]:
    """A table and those in it without what is null, which TOML cannot say."""
    return {k: _without_nulls(v) if isinstance(v, dict) else v for k, v in table.items() if v is not None}


def _checked(tree: Mapping[str, Any], *, where: str) -> Recipe:
    try:
        recipe = Recipe.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] != "extra_forbidden":
            raise UsageError(f"{where}: {first_error(error)}", remedy=f"got {first['input']!r}") from error
        known = _settings(first["loc"][:-1])
        meant = did_you_mean(str(first["loc"][-1]), known)
        raise UsageError(
            f"{where} has no setting '{name}'", remedy=f"{meant}{' ' if meant else ''}known are {', '.join(known)}"
        ) from error
    return recipe


def _settings(path: tuple[int | str, ...]) -> list[str]:
    """The names of the settings under a heading."""
    record: type[BaseModel] = Recipe
    for part in path:
        inner = record.model_fields[str(part)].annotation
        assert isinstance(inner, type)
        assert issubclass(inner, BaseModel)
        record = inner
    return list(record.model_fields)


def _package() -> Iterator[Any]:
    return (files("fssbench.training") / "recipes").iterdir()

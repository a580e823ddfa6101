"""The table of published hyper-parameters: ours are what the recipes say, and every difference is marked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fssbench.episodes.benchmarks import find_benchmark
from fssbench.training.recipe import Recipe, find_recipe, recipe_names

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "recipes.md"
TABLES = {
    tuple(title.split(" / ")): [
        [cell.strip() for cell in line.strip("|").split("|")] for line in body.splitlines() if line.startswith("| ")
    ][1:]
    for title, body in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.M | re.S)
}
HEADINGS = ("options", "data", "optimizer", "schedule", "run")
UNTOLD = {"run.published_as"}  # HSNet's and HMFS's says in words what the batch's row does


def recipe(name: str) -> Recipe:
    model, _, alias = name.rpartition("-")
    return find_recipe(model, find_benchmark(alias))


def setting(recipe: Recipe, path: str) -> Any:
    value: Any = recipe.model_dump()
    for part in path.split("."):
        value = value.get(part)
    return value


def told(value: Any) -> str:
    """A value as the table has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(told(one) for one in value)}]"
    if isinstance(value, float):
        return f"{value:.10f}".rstrip("0").rstrip(".")
    return "none" if value in (None, {}) else str(value)


def test_every_published_recipe_has_its_table() -> None:
    assert sorted(name for names in TABLES for name in names) == [n for n in recipe_names() if not n.endswith("-toy")]


@pytest.mark.parametrize("names", TABLES, ids=lambda names: names[0])
def test_ours_are_those_of_the_recipes_and_bold_where_they_differ(names: tuple[str, ...]) -> None:
    for row in TABLES[names]:
        what, theirs, ours, where, _ = row
        bold = ours.startswith("**")
        ours = ours.strip("*")
        assert bold == (ours != theirs), what
        if where.startswith("`") and "." in where:
            values = ours.split(" / ")
            expected = values * len(names) if len(values) == 1 else values
            assert [told(setting(recipe(name), where.strip("`"))) for name in names] == expected, what


@pytest.mark.parametrize("names", TABLES, ids=lambda names: names[0])
def test_every_setting_of_a_recipe_has_its_row(names: tuple[str, ...]) -> None:
    listed = {where.strip("`") for _, _, _, where, _ in TABLES[names]}
    for name in names:
        tree = recipe(name).model_dump(exclude_unset=True)
        assert set(_paths({head: tree.get(head, {}) for head in HEADINGS})) - UNTOLD <= listed, name


def _paths(tree: dict[str, Any]) -> Iterator[str]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from (f"{name}.{path}" for path in _paths(value))
        else:
            yield name

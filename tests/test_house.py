"""The house: every module has its room, rooms import only what lies below them, and no import leads in a circle.

Imports inside functions and those for type checkers count like all others.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import fssbench

# Ground floor first. A room within a room is named by both; what is not named belongs to the room around it.
ROOMS = (
    "base",
    "episodes",
    "schemas",
    "scoring",
    "models",
    "models.fast",
    "pipelines.transport",
    "pipelines.formats",
    "pipelines.sources",
    "pipelines.episode_sets",
    "pipelines.training_sets",
    "results",
    "leaderboard.reported",
    "leaderboard",
    "engine",
    "training",
    "api",
    "leaderboard.reproduction",
    "pages",
    "cli",
)
DOORS = {"fssbench", "fssbench.__main__", "fssbench.benchmarks", "fssbench.pipelines"}
"""They belong to no room: the package itself, the ways in, and the hall that holds rooms alone."""


def modules() -> dict[str, Path]:
    """Every module of the package by its name."""
    root = Path(fssbench.__file__).parent
    files = {".".join(("fssbench", *path.relative_to(root).with_suffix("").parts)): path for path in root.rglob("*.py")}
    return {name.removesuffix(".__init__"): path for name, path in files.items()}


def imports(path: Path) -> Iterator[str]:
    """What a file imports, wherever it says so: modules, or names in them."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def graph() -> dict[str, set[str]]:
    """By module the modules of the package that it imports."""
    known = modules()

    def module(name: str) -> str:
        return name if name in known else name.rpartition(".")[0]

    return {name: {module(one) for one in imports(path)} & known.keys() - {name} for name, path in known.items()}


def room(module: str) -> str | None:
    """The room that a module lies in."""
    around = [name for name in ROOMS if f"{module}.".startswith(f"fssbench.{name}.")]
    return max(around, key=len, default=None)


def test_every_module_but_the_doors_lies_in_a_room() -> None:
    assert {name for name in modules() if room(name) is None} == DOORS


def test_every_room_is_there() -> None:
    assert {room(name) for name in modules()} - {None} == set(ROOMS)


def test_a_room_imports_only_rooms_below_it() -> None:
    floor = {name: ROOMS.index(found) for name in modules() if (found := room(name))}
    upwards = [
        f"{name} imports {one}"
        for name, found in sorted(graph().items())
        for one in sorted(found)
        if name in floor and one in floor and floor[one] > floor[name]
    ]
    assert upwards == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    try:
        TopologicalSorter(graph()).prepare()
    except CycleError as error:
        raise AssertionError(" imports ".join(reversed(error.args[1]))) from None

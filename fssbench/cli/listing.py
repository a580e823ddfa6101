"""``fssbench list``: what there is."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from fssbench.cli import training_sets
from fssbench.cli.console import DataOption, JsonFlag, print_json

__all__ = ["list_"]


class Kind(StrEnum):
    """What can be listed."""

    benchmarks = "benchmarks"
    protocols = "protocols"
    models = "models"
    sets = "sets"


def list_(
    kind: Annotated[Kind | None, typer.Argument(help="Only one kind. [default: all]")] = None,
    data: DataOption = None,
    as_json: JsonFlag = False,
) -> None:
    """List benchmarks, protocols, models, and the episode sets that were prepared."""
    from fssbench.base.home import Home

    root = data or Home.find().episodes
    rows: dict[str, list[dict[str, Any]]] = {
        "benchmarks": _benchmarks(),
        "protocols": _protocols(),
        "models": _models(),
        "sets": [*_sets(root), *training_sets.rows(root)],
    }
    wanted = {name: found for name, found in rows.items() if kind is None or name == kind.value}
    if as_json:
        print_json(wanted)
        return
    for name, found in wanted.items():
        print(f"{name}:")
        for row in found or [{"name": "none yet; build some with fssbench prepare"}]:
            first, *rest = row.values()
            print(f"  {first!s:<16} {'  '.join(str(value) for value in rest)}".rstrip())


def _benchmarks() -> list[dict[str, Any]]:
    from fssbench.episodes.benchmarks import BENCHMARKS

    return [
        {
            "name": b.alias,
            "title": b.title,
            "classes": f"{b.n_classes} classes",
            "folds": f"{len(b.folds)} folds",
        }
        for b in BENCHMARKS
    ]


def _protocols() -> list[dict[str, Any]]:
    from fssbench.episodes.protocols import PROTOCOLS

    return [{"name": p.name, "version": f"version {p.version}", "summary": p.summary} for p in PROTOCOLS]


def _models() -> list[dict[str, Any]]:
    from fssbench.models import model_names
    from fssbench.models.registry import PARTS

    parts = [{"name": name, "note": "only trained, to become a part of another"} for name in PARTS]
    return [*({"name": name} for name in model_names()), *parts]


def _sets(root: Any) -> list[dict[str, Any]]:
    from fssbench.pipelines.episode_sets.episode_set import EpisodeSet, find_sets

    opened = [EpisodeSet.open(path) for path in find_sets(root)]
    return [
        {
            "path": str(one.place),
            "tracks": ", ".join(f"{t.episodes:,}×{t.shot}-shot seed {t.seed}" for t in one.manifest.tracks),
            "official": "unofficial" if one.manifest.unofficial else "",
        }
        for one in opened
    ]

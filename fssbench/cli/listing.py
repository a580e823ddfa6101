"""``fssbench list``: what there is."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any

import typer

from fssbench.base.errors import EpisodeSetError, FssbenchError
from fssbench.cli import training_sets
from fssbench.cli.console import DataOption, JsonFlag, Place, print_json

__all__ = ["list_"]

Row = dict[str, Any]
DAMAGED = "damaged"
"""Of a set that cannot be opened, why."""


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
    """List benchmarks, protocols, models, and the sets that have been prepared."""
    listed: dict[Kind, Callable[[], list[Row]]] = {
        Kind.benchmarks: _benchmarks,
        Kind.protocols: _protocols,
        Kind.models: _models,
        Kind.sets: lambda: _sets(data),
    }
    wanted = {one.value: rows() for one, rows in listed.items() if kind in (None, one)}
    if as_json:
        print_json(wanted)
    else:
        _print(wanted)
    sets = wanted.get(Kind.sets.value, [])
    if damaged := sum(DAMAGED in row for row in sets):
        raise EpisodeSetError(
            f"{damaged} of {len(sets)} sets {'is' if damaged == 1 else 'are'} damaged",
            remedy="prepare them again with --overwrite",
        )


def _print(listed: dict[str, list[Row]]) -> None:
    for name, found in listed.items():
        print(f"{name}:")
        for row in found or [{"name": "none yet; build some with fssbench prepare"}]:
            first, *rest = row.values()
            print(f"  {first!s:<16} {'  '.join(str(value) for value in rest)}".rstrip())


def _benchmarks() -> list[Row]:
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


def _protocols() -> list[Row]:
    from fssbench.episodes.protocols import PROTOCOLS

    return [{"name": p.name, "version": f"version {p.version}", "summary": p.summary} for p in PROTOCOLS]


def _models() -> list[Row]:
    from fssbench.models import model_names
    from fssbench.models.registry import PARTS

    parts = [{"name": name, "note": "only trained, to become a part of another"} for name in PARTS]
    return [*map(_model, model_names()), *parts]


def _model(name: str) -> Row:
    from fssbench.models.about import ABOUT

    if (about := ABOUT.get(name)) is None:
        return {"name": name}
    needs = f"fssbench[{about.extra}]" if about.extra else ""
    told = {"source": about.source, "weights": about.weights, "licence": about.licence, "needs": needs}
    return {"name": name, **{key: value for key, value in told.items() if value}}


def _sets(data: Place | None) -> list[Row]:
    from fssbench.base.home import Home
    from fssbench.pipelines.episode_sets.episode_set import find_sets
    from fssbench.pipelines.training_sets.training_set import find_training_sets

    if data is None and not Home.find().is_known:
        return []
    root = data or Home.find().episodes
    return [
        *(_row(path, _set) for path in find_sets(root)),
        *(_row(path, training_sets.row) for path in find_training_sets(root)),
    ]


def _row(path: Place, describe: Callable[[Place], Row]) -> Row:
    """What there is to say of a set: a damaged one does not hide the others."""
    try:
        return {"path": str(path), **describe(path)}
    except FssbenchError as error:
        return {"path": str(path), DAMAGED: error.problem}


def _set(path: Place) -> Row:
    from fssbench.pipelines.episode_sets.episode_set import EpisodeSet

    manifest = EpisodeSet.open(path).manifest
    return {
        "tracks": ", ".join(f"{t.episodes:,}×{t.shot}-shot seed {t.seed}" for t in manifest.tracks),
        "official": "unofficial" if manifest.unofficial else "",
    }

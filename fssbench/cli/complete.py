"""What a shell offers where a name is due; nothing heavy is imported, since somebody waits at the Tab key."""

from __future__ import annotations

from contextlib import suppress

import typer

from fssbench.base.errors import FssbenchError

__all__ = ["benchmarks", "folds", "models", "protocols", "sets", "tables"]


def models() -> list[str]:
    """Names of the models that are built in."""
    from fssbench.models import model_names

    return list(model_names())


def benchmarks() -> list[str]:
    """Names of the benchmarks."""
    from fssbench.episodes.benchmarks import BENCHMARKS

    return [one.alias for one in BENCHMARKS]


def protocols() -> list[str]:
    """Names of the protocols."""
    from fssbench.episodes.protocols import PROTOCOLS

    return [one.name for one in PROTOCOLS]


def folds(ctx: typer.Context) -> list[str]:
    """Folds of the benchmark that stands on the line: as an option, or as the name of the command."""
    from fssbench.episodes.benchmarks import find_benchmark

    name = ctx.params.get("benchmark") or ctx.info_name
    with suppress(FssbenchError):
        return [str(fold) for fold in range(len(find_benchmark(str(name)).folds))]
    return []


def sets() -> list[str]:
    """Folders of the episode sets in the home."""
    from fssbench.base.home import Home
    from fssbench.pipelines.episode_sets.episode_set import find_sets

    home = Home.find()
    return [str(one) for one in find_sets(home.episodes)] if home.is_known else []


def tables() -> list[str]:
    """Names of the papers' tables."""
    from fssbench.leaderboard.reported import papers

    return [table.name for paper in papers() for table in paper.tables]

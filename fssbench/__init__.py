"""fssbench: few-shot segmentation episodes that are files with a hash, and scores anyone can recompute.

Importing this package costs next to nothing: what is behind a name is imported when the name is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from fssbench.base.version import __version__

if TYPE_CHECKING:
    from fssbench import benchmarks
    from fssbench.api.compare import compare
    from fssbench.api.evaluate import evaluate
    from fssbench.api.load import load
    from fssbench.api.load_training import load_training
    from fssbench.api.prepare import prepare, prepare_training
    from fssbench.api.share import pull, push
    from fssbench.api.train import train
    from fssbench.base.errors import FssbenchError
    from fssbench.leaderboard import leaderboard
    from fssbench.models import models
    from fssbench.models.registry import build_model
    from fssbench.pipelines.episode_sets.loaded_episode import LoadedEpisode
    from fssbench.pipelines.episode_sets.loaded_track import LoadedTrack
    from fssbench.results.evaluation import Evaluation, Score
    from fssbench.results.meter import Meter

__all__ = [
    "Evaluation",
    "FssbenchError",
    "LoadedEpisode",
    "LoadedTrack",
    "Meter",
    "Score",
    "__version__",
    "benchmarks",
    "build_model",
    "compare",
    "evaluate",
    "leaderboard",
    "load",
    "load_training",
    "models",
    "prepare",
    "prepare_training",
    "pull",
    "push",
    "train",
]

_HOME_OF = {
    "Evaluation": "results.evaluation",
    "FssbenchError": "base.errors",
    "LoadedEpisode": "pipelines.episode_sets.loaded_episode",
    "LoadedTrack": "pipelines.episode_sets.loaded_track",
    "Meter": "results.meter",
    "Score": "results.evaluation",
    "build_model": "models.registry",
    "compare": "api.compare",
    "evaluate": "api.evaluate",
    "load": "api.load",
    "load_training": "api.load_training",
    "prepare": "api.prepare",
    "prepare_training": "api.prepare",
    "pull": "api.share",
    "push": "api.share",
    "train": "api.train",
}


def __getattr__(name: str) -> object:
    if name in ("benchmarks", "leaderboard", "models"):  # modules, of which the last two can be called
        return importlib.import_module(f"fssbench.{name}")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'fssbench' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"fssbench.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

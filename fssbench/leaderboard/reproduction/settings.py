"""What the steps of a reproduction share, and the options of each that follow from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fssbench.episodes.benchmarks import Benchmark
from fssbench.leaderboard.reproduction.given import Given
from fssbench.leaderboard.reproduction.runs import Variant

__all__ = ["WHOLE", "Settings", "Trial"]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """How much less than the table's is done, to see whether everything runs; ``None`` for no less."""

    episodes: int | None = None
    steps: int | None = None


WHOLE = Trial()
"""Nothing less."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What steps share, and the options that follow from it; ``None`` for a command's default.

    Attributes:
        sets: where episode and training sets lie.
        results: where results go.
        device: where models run.
        given: what the user gives to single steps.
    """

    sets: Path | None = None
    results: Path | None = None
    device: str | None = None
    trial: Trial = WHOLE
    given: Given = field(default_factory=Given)

    def prepare(
        self, benchmark: Benchmark, protocol: str, *, shots: Sequence[int], folds: Sequence[int]
    ) -> dict[str, Any]:
        """Build the episode sets of some folds."""
        return {
            **{"protocol": protocol, "shots": tuple(shots), "fold": _some(folds, benchmark)},
            **{"episodes": self.trial.episodes, "output": self.sets},
            **self.given.to_step("prepare", benchmark.alias),
        }

    def prepare_training(self, benchmark: Benchmark) -> dict[str, Any]:
        """Build the training set, with the masks that publications train on unless the environment names others."""
        given = self.given.to_step("prepare --train", benchmark.alias)
        if benchmark.raw == "coco" and not given.keys() & {"mask-rule", "masks", "crowds"}:
            given["mask-rule"] = "label-map"
        return {"train": True, "output": self.sets, **given}

    def train(
        self,
        variant: Variant,
        fold: int,
        *,
        folder: Path,
        select_on: str,
        protocol: str | None = None,
        images: Path | None = None,
        backbone_weights: str | None = None,
        resume: bool = False,
    ) -> dict[str, Any]:
        """Train a variant.

        Args:
            protocol: of the episodes that weights are chosen by, if they are the test fold's.
            images: the list of those to learn from; ``None`` for all.
            backbone_weights: that it begins with, or is built on.
            resume: go on with what is in the folder.
        """
        return {
            **_model(variant),
            **{"benchmark": variant.benchmark.alias, "fold": fold, "shot": variant.shot, "select-on": select_on},
            **{"protocol": protocol, "backbone-weights": backbone_weights, "list": images and str(images)},
            **{"set": dict(variant.changes), "max-steps": self.trial.steps},
            **{"data": self.sets, "output": folder, "resume": resume, "device": self.device},
            **self.given.to_training(variant),
        }

    def evaluate(
        self,
        variant: Variant,
        benchmark: Benchmark,
        protocol: str,
        *,
        folds: Sequence[int],
        shots: Sequence[int],
        weights: Path | None,
    ) -> dict[str, Any]:
        """Ask a variant the episodes of some folds, at some numbers of shots."""
        return {
            **_model(variant),
            **{"benchmark": benchmark.alias, "protocol": protocol, "fold": _some(folds, benchmark)},
            **{"shot": tuple(shots), "weights": None if weights is None else str(weights)},
            **{"episodes": self.trial.episodes, "data": self.sets, "output": self.results, "device": self.device},
            **self.given.to_step("eval"),
        }

    def profile(self, variant: Variant, costs_at: Mapping[str, Any]) -> dict[str, Any]:
        """Measure what an episode costs a variant, with some options that only its costs are for."""
        model = _model(variant)
        model["option"] |= {name: value for name, value in costs_at.items() if name not in model}
        model |= {name: value for name, value in costs_at.items() if name in model}
        return {**model, "shot": variant.shot, "device": self.device}


def _model(variant: Variant) -> dict[str, Any]:
    return {"model": variant.model, "backbone": variant.backbone, "option": dict(variant.others)}


def _some(folds: Sequence[int], benchmark: Benchmark) -> tuple[int, ...] | None:
    """Folds of a benchmark, ``None`` for all."""
    return None if len(folds) == len(benchmark.folds) else tuple(folds)

"""What the rows of a table ask for: which model, trained on what, asked which episodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fssbench.base.errors import UsageError
from fssbench.episodes.benchmarks import Benchmark, find_benchmark
from fssbench.episodes.protocols import EvaluationProtocol, find_protocol
from fssbench.leaderboard.reported import Row, Table
from fssbench.models import model_spec

__all__ = ["Evaluation", "Variant", "wanted_folds", "wanted_rows"]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A model with its options, as it is trained: once for each fold.

    Attributes:
        pairs: names and values of all options that are not the default, the backbone first.
        benchmark: whose base classes it is trained on.
        changes: names and values of the recipe's settings that are others.
    """

    model: str
    pairs: tuple[tuple[str, Any], ...]
    benchmark: Benchmark
    changes: tuple[tuple[str, Any], ...] = ()

    @cached_property
    def options(self) -> Mapping[str, Any]:
        """The options by name."""
        return dict(self.pairs)

    @property
    def backbone(self) -> str | None:
        """The backbone, if the row names one."""
        value = self.options.get("backbone")
        return None if value is None else str(value)

    @property
    def is_trained(self) -> bool:
        """Whether the model means nothing before it is trained."""
        return model_spec(self.model, parts=True).needs_training

    @property
    def shot(self) -> int:
        """How many supports it is trained with: one, but for a model that is built for a number of them."""
        return int(self.options.get("shot", 1))

    @property
    def others(self) -> tuple[tuple[str, Any], ...]:
        """The options beside the backbone."""
        return tuple(pair for pair in self.pairs if pair[0] != "backbone")

    @property
    def slug(self) -> str:
        """A name for its files: what eval looks for in the home, as ``hdmnet-resnet50-5shot``, and other options."""
        shot = f"{self.shot}shot" if self.shot > 1 else None
        more = (f"{k}={str(v).lower()}" for k, v in self.others if k not in ("shot", "benchmark"))
        changed = (f"{name.rpartition('.')[2]}={value}" for name, value in self.changes)
        return "-".join(filter(None, (self.model, self.backbone, shot, *more, *changed)))

    @property
    def names(self) -> tuple[str, ...]:
        """What its trainings are called, the narrowest first: ``hsnet-vgg16-coco``, ``hsnet-vgg16``, …, ``hsnet``."""
        parts = ((self.backbone, self.benchmark.alias), (self.backbone,), (self.benchmark.alias,), ())
        return tuple(dict.fromkeys("-".join(filter(None, (self.model, *more))) for more in parts))

    @property
    def base_learner(self) -> Variant | None:
        """The model that is trained before, on the same base classes, or ``None``."""
        below = model_spec(self.model, parts=True).base_learner
        if below is None:
            return None
        pairs = tuple(pair for pair in self.pairs if pair[0] == "backbone")
        return Variant(model=below, pairs=pairs, benchmark=self.benchmark)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A variant asked the episodes of a benchmark by a protocol, which is named, at a number of shots."""

    variant: Variant
    benchmark: Benchmark
    protocol: str
    shot: int

    @property
    def rules(self) -> EvaluationProtocol:
        """The protocol itself."""
        return find_protocol(self.protocol)

    @staticmethod
    def of(row: Row) -> Evaluation:
        """What would measure a row; it must be one that can be."""
        if row.ours is None or row.protocol is None:
            raise UsageError(f"{row.label} cannot be measured here", remedy=row.obstacle or "")
        benchmark, spec = find_benchmark(row.benchmark), model_spec(row.ours.model)
        pairs = tuple(pair for pair in row.options.items() if pair[0] != "backbone" or spec.has_backbone)
        changes = tuple(row.ours.recipe.items())
        variant = Variant(model=row.ours.model, pairs=pairs, benchmark=benchmark.training, changes=changes)
        return Evaluation(variant=variant, benchmark=benchmark, protocol=row.protocol, shot=row.shot)


def wanted_rows(table: Table, *, backbones: Sequence[str] = (), shots: Sequence[int] = ()) -> tuple[Row, ...]:
    """The rows of some backbones and numbers of shots, all if none are named.

    Raises `UsageError` if the table has none of them.
    """
    for name, asked, there in (
        ("backbone", backbones, dict.fromkeys(row.backbone for row in table.rows)),
        ("shot", shots, dict.fromkeys(row.shot for row in table.rows)),
    ):
        if absent := [value for value in asked if value not in there]:
            known = ", ".join(str(value) for value in there)
            raise UsageError(f"{table.name} has no row of {name} {absent[0]}", remedy=f"it has {known}")
    return tuple(
        row for row in table.rows if (not backbones or row.backbone in backbones) and (not shots or row.shot in shots)
    )


def wanted_folds(benchmark: Benchmark, folds: Sequence[int]) -> tuple[int, ...]:
    """Some folds of a benchmark, all if none are named; `UsageError` for one it has not."""
    for fold in folds:
        benchmark.novel_classes(fold)
    return tuple(dict.fromkeys(folds)) or tuple(range(len(benchmark.folds)))

"""The published lists of training images that are known, by what they come to: every image with its classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from fssbench.episodes.benchmarks import Benchmark
from fssbench.episodes.training import TrainingLists

__all__ = ["FAMILIES", "Published", "published", "published_as"]

FAMILIES: Mapping[str, str] = {"hsnet": "hsnet", "hmfs": "hsnet", "hdmnet": "hdmnet"}
"""Whose lists a model was trained on, by its name."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """A fold's list.

    Attributes:
        family: whose it is, ``hsnet`` or ``hdmnet``.
        sha256: the `TrainingLists.digest` of a training on it that holds no class out.
        pairs: of image and class.
    """

    family: str
    benchmark: str
    fold: int
    sha256: str
    images: int
    pairs: int

    @property
    def label(self) -> str:
        """Such as ``hsnet pascal fold 0``."""
        return f"{self.family} {self.benchmark} fold {self.fold}"


@cache
def _known() -> tuple[Published, ...]:
    table = files("fssbench.pipelines.training_sets").joinpath("published.tsv").read_text(encoding="utf-8")
    rows = (line.split("\t") for line in table.splitlines() if not line.startswith("#"))
    return tuple(
        Published(family=f, benchmark=b, fold=int(fold), sha256=sha256, images=int(images), pairs=int(pairs))
        for f, b, fold, images, pairs, sha256 in rows
    )


def published(model: str, benchmark: Benchmark, fold: int) -> Published | None:
    """The list that a paper's model was trained on, or ``None`` if there is none or it is not known."""
    asked = (FAMILIES.get(model), benchmark.alias, fold)
    return next((one for one in _known() if (one.family, one.benchmark, one.fold) == asked), None)


def published_as(lists: TrainingLists) -> Published | None:
    """Which published list some images and classes are, however they were come by; ``None`` if they are none."""
    return next((one for one in _known() if one.sha256 == lists.digest), None)

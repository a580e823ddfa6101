"""Protocols: named, versioned rules for drawing and scoring episodes.

Published few-shot segmentation numbers differ by their rules as much as by their models. A result
therefore names its protocol, and results of different protocols are never ranked together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from fssbench.base.errors import UsageError
from fssbench.base.suggest import known_are
from fssbench.episodes.benchmarks import BENCHMARKS, Benchmark
from fssbench.episodes.episodes import Track
from fssbench.episodes.hdmnet import LOADER_WORKERS, SEEDS, derive_hdmnet, sample_hdmnet
from fssbench.episodes.hsnet import derive_hsnet, sample_hsnet
from fssbench.episodes.lists import FoldLists, Pools
from fssbench.episodes.strict import derive_strict, sample_strict

__all__ = [
    "HDMNET",
    "HSNET",
    "PROTOCOLS",
    "STRICT",
    "EvaluationProtocol",
    "MaskRule",
    "ScoringPolicy",
    "find_protocol",
]

MaskRule = Literal["union", "label-map"]
"""How annotations of instances become the mask of a class: all of them together, or painted over one another."""

OWN_EPISODES, OWN_PIXELS = 1_000, 1
"""Episodes a track and least mask pixels on a benchmark that is not built in."""


@dataclass(frozen=True, kw_only=True)
class ScoringPolicy:
    """At which size a mask is scored, and whether ignored pixels are left out.

    Attributes:
        size: ``original``, the query image's own; or ``model``, the side the model works at.
        exclude_ignored: leave pixels under the ignore label out of intersection and union; if false
            they count as background.
    """

    size: Literal["original", "model"]
    exclude_ignored: bool

    @property
    def name(self) -> str:
        """The policy's name in results and counts, such as ``original/ignore``."""
        return f"{self.size}/{'ignore' if self.exclude_ignored else 'no-ignore'}"


class Derive(Protocol):
    """Makes a fold's lists of its pools (images with enough pixels of a class) and of those with any pixel."""

    def __call__(self, pools: Pools, *, present: Pools, benchmark: str) -> FoldLists: ...


@dataclass(frozen=True, kw_only=True)
class EvaluationProtocol:
    """How episodes are drawn and scored.

    Attributes:
        name: such as ``strict``.
        version: raised whenever the same request would draw or score differently.
        summary: one line for people.
        episodes: by benchmark name, the number of episodes a fold and seed.
        min_pixels: by benchmark name, the least mask pixels, at original size, for an image to serve a class.
        headline: the scoring policy that rankings use.
        sampler: draws the episodes; called by `draw`.
        derive: what the lists are where no split files give them.
        any_benchmark: whether it is also defined for benchmarks that ``episodes`` does not name, people's own.
        seeds: those that are drawn if none is named.
        any_seed: whether other seeds are as good; a publication's are part of its protocol.
        masks: by benchmark name, how masks are made of annotations; the union of instances where it is silent.
        listed: whether the publication ships its lists, in an order that is part of the protocol. A set's images
            alone do not tell its episodes again.
        ruled: whether these lists follow from the masks, so that derived ones can be the very same.
        repeats: whether a support may stand in an episode more than once.
        small_queries: whether a query may have fewer than ``min_pixels`` pixels.
        loader_workers: data-loader workers the sampler emulates, or ``None`` if it knows none.
    """

    name: str
    version: int
    summary: str
    episodes: Mapping[str, int]
    min_pixels: Mapping[str, int]
    headline: ScoringPolicy
    sampler: Callable[..., Track]
    derive: Derive
    any_benchmark: bool = False
    seeds: tuple[int, ...] = (0,)
    any_seed: bool = False
    masks: Mapping[str, MaskRule] = field(default_factory=dict)
    listed: bool = False
    ruled: bool = False
    repeats: bool = False
    small_queries: bool = False
    loader_workers: int | None = None

    @property
    def label(self) -> str:
        """Name and version, such as ``strict/1``."""
        return f"{self.name}/{self.version}"

    def images_needed(self, shot: int) -> int:
        """How many images a class needs for an episode of ``shot`` supports."""
        return 2 if self.repeats else shot + 1

    def require(self, benchmark: Benchmark) -> None:
        """Raise `UsageError` if the protocol does not say how to draw from ``benchmark``."""
        if benchmark.name not in self.episodes and not self.any_benchmark:
            raise UsageError(
                f"the protocol {self.name} is not defined for {benchmark.title}",
                remedy=f"it is for {', '.join(self.episodes)}; every benchmark has the protocol strict",
            )

    def episodes_of(self, benchmark: Benchmark) -> int:
        """Episodes a fold and seed."""
        return self.episodes.get(benchmark.name, OWN_EPISODES)

    def pixels_of(self, benchmark: Benchmark) -> int:
        """Least mask pixels, at original size, for an image to serve a class."""
        return self.min_pixels.get(benchmark.name, OWN_PIXELS)

    def masks_of(self, benchmark: Benchmark) -> MaskRule:
        """How masks are made of annotations of instances."""
        return self.masks.get(benchmark.name, "union")

    def draw(self, lists: FoldLists, *, benchmark: str, fold: int, shot: int, seed: int, episodes: int) -> Track:
        """Draw a track; see the protocol's sampler for its rules and what it refuses."""
        parameters = {} if self.loader_workers is None else {"loader_workers": self.loader_workers}
        return self.sampler(
            lists, benchmark=benchmark, fold=fold, shot=shot, seed=seed, episodes=episodes, **parameters
        )


DESCRIBED = {benchmark.name: benchmark.rules for benchmark in BENCHMARKS if benchmark.rules is not None}

STRICT = EvaluationProtocol(
    name="strict",
    version=1,
    summary="balanced classes and queries, distinct nested supports, SHA-256 draws, original size",
    episodes={
        "pascal-5i": 1_000,
        "coco-20i": 10_000,
        "coco-20i-contiguous": 10_000,
        "coco-20i-to-pascal": 1_200,
        "fss-1000": 2_400,
        **{name: rules.episodes for name, rules in DESCRIBED.items()},
        "toy-20i": 1_000,
    },
    min_pixels={
        "pascal-5i": 2_048,
        "coco-20i": 2_048,
        "coco-20i-contiguous": 2_048,
        "coco-20i-to-pascal": 2_048,
        "fss-1000": 1,
        **{name: rules.min_pixels for name, rules in DESCRIBED.items()},
        "toy-20i": 2_048,
    },
    headline=ScoringPolicy(size="original", exclude_ignored=True),
    sampler=sample_strict,
    derive=derive_strict,
    any_benchmark=True,
    any_seed=True,
)

# Version 1 of both had the union of instances as COCO's masks.
PUBLISHED_MASKS: Mapping[str, MaskRule] = {"coco-20i": "label-map", "coco-20i-contiguous": "label-map"}

HSNET = EvaluationProtocol(
    name="hsnet",
    version=2,
    summary="HSNet's and HMFS's: their split files, numpy's draws, supports may repeat, the model's size",
    episodes={
        "pascal-5i": 1_000,
        "coco-20i": 1_000,
        "coco-20i-to-pascal": 1_000,
        "fss-1000": 2_400,
        "toy-20i": 1_000,
    },
    min_pixels={"pascal-5i": 1, "coco-20i": 2_048, "coco-20i-to-pascal": 1, "fss-1000": 1, "toy-20i": 1},
    headline=ScoringPolicy(size="model", exclude_ignored=True),
    sampler=sample_hsnet,
    derive=derive_hsnet,
    masks=PUBLISHED_MASKS,
    listed=True,
    repeats=True,
)

HDMNET = EvaluationProtocol(
    name="hdmnet",
    version=2,
    summary="HDMNet's: queries in order of images, distinct supports, ten seeds, original size",
    episodes={"pascal-5i": 1_000, "coco-20i": 10_000, "coco-20i-contiguous": 10_000, "toy-20i": 1_000},
    min_pixels={"pascal-5i": 2_048, "coco-20i": 2_048, "coco-20i-contiguous": 2_048, "toy-20i": 2_048},
    headline=ScoringPolicy(size="original", exclude_ignored=True),
    sampler=sample_hdmnet,
    derive=derive_hdmnet,
    seeds=SEEDS,
    masks=PUBLISHED_MASKS,
    listed=True,
    ruled=True,
    small_queries=True,
    loader_workers=LOADER_WORKERS,
)

PROTOCOLS = (STRICT, HSNET, HDMNET)


def find_protocol(name: str) -> EvaluationProtocol:
    """The protocol called ``name``; `UsageError` if there is none."""
    for protocol in PROTOCOLS:
        if protocol.name == name:
            return protocol
    known = [protocol.name for protocol in PROTOCOLS]
    raise UsageError(f"there is no protocol '{name}'", remedy=known_are(name, known))

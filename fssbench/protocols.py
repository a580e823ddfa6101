"""Protocols: named, versioned rules for drawing and scoring episodes.

Published few-shot segmentation numbers differ by their rules as much as by their models. A result
therefore names its protocol, and results of different protocols are never ranked together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from fssbench.episodes import Track
from fssbench.errors import UsageError
from fssbench.sampling import sample_strict

__all__ = ["PROTOCOLS", "STRICT", "EvaluationProtocol", "ScoringPolicy", "find_protocol"]


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


class Sampler(Protocol):
    """Draws a track from the eligible images of a fold's classes."""

    def __call__(
        self,
        pools: Mapping[int, Sequence[str]],
        *,
        benchmark: str,
        fold: int,
        shot: int,
        seed: int,
        episodes: int,
    ) -> Track: ...


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
        sampler: draws the episodes.
    """

    name: str
    version: int
    summary: str
    episodes: Mapping[str, int]
    min_pixels: Mapping[str, int]
    headline: ScoringPolicy
    sampler: Sampler

    @property
    def label(self) -> str:
        """Name and version, such as ``strict/1``."""
        return f"{self.name}/{self.version}"


STRICT = EvaluationProtocol(
    name="strict",
    version=1,
    summary="balanced classes and queries, distinct nested supports, SHA-256 draws, original size",
    episodes={"pascal-5i": 1_000, "coco-20i": 10_000, "fss-1000": 2_400, "toy-20i": 1_000},
    min_pixels={"pascal-5i": 2_048, "coco-20i": 2_048, "fss-1000": 1, "toy-20i": 2_048},
    headline=ScoringPolicy(size="original", exclude_ignored=True),
    sampler=sample_strict,
)

PROTOCOLS = (STRICT,)


def find_protocol(name: str) -> EvaluationProtocol:
    """The protocol called ``name``; `UsageError` if there is none."""
    for protocol in PROTOCOLS:
        if protocol.name == name:
            return protocol
    known = ", ".join(protocol.name for protocol in PROTOCOLS)
    raise UsageError(f"there is no protocol '{name}'", remedy=f"known are: {known}")

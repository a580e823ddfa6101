"""What an examination of raw data says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from fssbench.base.errors import MaskFileError, SourceError

__all__ = ["ClassRow", "Compared", "Comparison", "Finding", "Report", "by_kind", "found"]

Gravity = Literal["error", "warning", "note"]

EXAMPLES = 5


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing worth knowing.

    Attributes:
        gravity: ``error`` if it stops ``prepare`` or spoils what it builds, ``warning`` if it makes results
            unofficial or doubtful, ``note`` if it is dealt with.
        what: what was found, in a few words.
        count: how many times.
        examples: the first few places.
    """

    gravity: Gravity
    what: str
    count: int = 1
    examples: tuple[str, ...] = ()


def found(gravity: Gravity, what: str, places: Iterable[str]) -> list[Finding]:
    """A finding in so many places; nothing if there are none."""
    everywhere = list(places)
    if not everywhere:
        return []
    return [Finding(gravity=gravity, what=what, count=len(everywhere), examples=tuple(everywhere[:EXAMPLES]))]


def by_kind(faults: Iterable[SourceError], which: str = "") -> list[Finding]:
    """A finding for every kind of fault that masks have."""
    kinds: dict[str, list[str]] = {}
    for fault in faults:
        kind = fault.kind if isinstance(fault, MaskFileError) else "masks that cannot be read"
        kinds.setdefault(kind, []).append(fault.problem)
    return [finding for kind, places in kinds.items() for finding in found("error", which + kind, places)]


@dataclass(frozen=True, kw_only=True)
class ClassRow:
    """A class of the benchmark and its images.

    Attributes:
        fold: the fold that tests it.
        images: images that show it with any pixel.
        eligible: those with as many mask pixels as the protocol asks for.
    """

    id: int
    name: str
    fold: int
    images: int
    eligible: int


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Two masks of one class, in one image or summed over images; all counts in pixels.

    Attributes:
        where: the class's name, and the image's id if it is about one.
        images: how many images differ.
        inter: pixels in both masks.
        union: pixels in either.
    """

    where: str
    images: int
    inter: int
    union: int

    @property
    def differing(self) -> int:
        """Pixels in one mask alone."""
        return self.union - self.inter

    @property
    def iou(self) -> float:
        """Intersection over union, in [0, 1]; there is no comparison without a union."""
        return self.inter / self.union


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Ready-made masks against those the policy gives.

    Attributes:
        images: images that have both.
        equal: of these, images in which no pixel differs.
        classes: every class that occurs, by class index.
        worst: the masks that differ most, first the one with the most pixels.
    """

    images: int
    equal: int
    classes: tuple[Compared, ...]
    worst: tuple[Compared, ...]


@dataclass(kw_only=True)
class Report:
    """Everything an examination says of one source.

    Attributes:
        title: the benchmark it was read for.
        layout: how the data lies on disk, such as ``coco-2014``.
        split: which part the episodes are drawn from.
        min_pixels: least mask pixels of an eligible image.
        counts: what there is, by name.
    """

    title: str
    layout: str
    split: str
    min_pixels: int
    counts: dict[str, int] = field(default_factory=dict)
    classes: list[ClassRow] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    comparison: Comparison | None = None

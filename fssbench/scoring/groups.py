"""Episodes in groups: queries with one class against several, small objects against large.

Few-shot segmentation of an image with one object and a plain ground is little more than finding the
foreground (HDMNet, appendix A), so a score says more when such queries are told apart from the others.
Groups of one split are compared on the classes that occur in all of them: otherwise a difference between
groups might be one between classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fssbench.scoring.counts import CountsTable

__all__ = ["Group", "Split", "splits"]

LARGE = 0.1
"""Share of the image from which on an object is large. Two groups, not three: few classes come in all sizes."""


@dataclass(frozen=True, eq=False)
class Group:
    """Some episodes of a track: its name and who belongs to it, (N,) bool."""

    name: str
    members: npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """One way to group the episodes.

    Attributes:
        by: what the groups differ in.
        definition: how an episode's group is found.
        groups: in order; none if the data does not say.
        classes: the classes that occur in every group, ascending.
        reason: why there are no groups or no common classes; ``None`` if there are.
    """

    by: str
    definition: str
    groups: tuple[Group, ...]
    classes: tuple[int, ...]
    reason: str | None


def splits(table: CountsTable) -> tuple[Split, ...]:
    """The splits that every result reports: by classes in the query image, and by object size."""
    return _by_classes(table), _by_size(table)


def _by_classes(table: CountsTable) -> Split:
    by, definition = "classes", "classes of the benchmark, of any fold, that the query image shows"
    if any(query.n_classes is None for query in table.queries):
        reason = "the data does not say which other classes an image shows"
        return Split(by=by, definition=definition, groups=(), classes=(), reason=reason)
    one = np.array([query.n_classes == 1 for query in table.queries])
    return _split(table, by, definition, {"one": one, "several": ~one})


def _by_size(table: CountsTable) -> Split:
    definition = f"share of the query image that the class covers: small below {LARGE:.0%}, large from there on"
    large = np.array([query.object_pixels >= LARGE * query.image_pixels for query in table.queries])
    return _split(table, "size", definition, {"small": ~large, "large": large})


def _split(table: CountsTable, by: str, definition: str, members: dict[str, npt.NDArray[np.bool_]]) -> Split:
    class_ids = table.class_ids
    common = set(class_ids.tolist())
    for chosen in members.values():
        common &= set(class_ids[chosen].tolist())
    classes = tuple(sorted(common))
    in_common = np.isin(class_ids, classes)
    groups = tuple(Group(name, chosen & in_common) for name, chosen in members.items())
    reason = None if classes else "no class has episodes in every group"
    return Split(by=by, definition=definition, groups=groups, classes=classes, reason=reason)

"""How a set's masks are scored, and what is kept of a query."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fssbench.episodes.protocols import ScoringPolicy
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.scoring.counts import QueryFacts

__all__ = ["policies_for", "query_facts"]


def query_facts(mask: npt.NDArray[np.bool_], n_classes: int | None) -> QueryFacts:
    """What a query with this class mask (H, W) is."""
    return QueryFacts(object_pixels=int(np.count_nonzero(mask)), image_pixels=mask.size, n_classes=n_classes)


def policies_for(episode_set: EpisodeSet) -> tuple[ScoringPolicy, ...]:
    """The policies a set is scored by: at both sizes, and where pixels are ignored, with and without them."""
    ignoring = (True,) if episode_set.manifest.ignore_label is None else (True, False)
    return tuple(
        ScoringPolicy(size=size, exclude_ignored=ignore) for size in ("original", "model") for ignore in ignoring
    )

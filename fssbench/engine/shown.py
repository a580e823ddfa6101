"""What a model is shown that sees images as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fssbench.models.functions import FunctionSegmenter
from fssbench.models.interface import EpisodeSegmenter, QueryImage, RawEpisode, SupportImage
from fssbench.pipelines.episode_sets.loaded_episode import LoadedEpisode
from fssbench.pipelines.episode_sets.stream import Frame

__all__ = ["Shown"]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Makes of frames the episode that a model is shown.

    Attributes:
        benchmark: its name.
        class_names: by class index.
    """

    benchmark: str
    class_names: Mapping[int, str]

    def to(self, model: EpisodeSegmenter, index: int, query: Frame, supports: Sequence[Frame]) -> Any:
        """A `RawEpisode`; or for a function that Python handed over a `LoadedEpisode`, which has the truth too."""
        class_id = query.class_id
        if isinstance(model, FunctionSegmenter) and model.whole:
            return LoadedEpisode(index, class_id, self.class_names[class_id], query, tuple(supports))
        return RawEpisode(
            query=QueryImage(query.image_id, query.image),
            supports=tuple(SupportImage(one.image_id, one.image, one.mask, one.ignore) for one in supports),
            benchmark=self.benchmark,
            told=(class_id, self.class_names[class_id]) if model.uses_class_names else None,
        )

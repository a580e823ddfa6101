"""Episodes as tensors, for a ``torch.utils.data.DataLoader``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from fssbench.models.interface import Preprocess
from fssbench.pipelines.episode_sets.loaded_episode import LoadedEpisode
from fssbench.pipelines.episode_sets.stream import Frame

__all__ = ["EpisodeTensors"]


class EpisodeTensors(Dataset[dict[str, Any]]):
    """A track as dictionaries of tensors of one size, so that the usual collation makes batches of them.

    Images are float32, squashed and normalised by ``preprocess``, S pixels a side; masks follow by torch's nearest
    rule. With K supports an episode has

    ==================  ===============  ==========================================================
    ``index``           int              in the track; what `fssbench.Meter` wants to know
    ``class_id``        int              the benchmark's index of the class
    ``class_name``      str
    ``query``           (3, S, S)        float32
    ``query_mask``      (S, S)           bool, the truth
    ``query_ignore``    (S, S)           bool, pixels that are not scored
    ``supports``        (K, 3, S, S)     float32
    ``support_masks``   (K, S, S)        bool
    ==================  ===============  ==========================================================
    """

    def __init__(self, episodes: Sequence[LoadedEpisode], preprocess: Preprocess) -> None:
        _ = preprocess.side  # refuses what a `Meter` would score in the wrong place
        self.episodes, self.preprocess = episodes, preprocess

    def __len__(self) -> int:
        return len(self.episodes)

    def __getitem__(self, index: int) -> dict[str, Any]:
        episode = self.episodes[index]
        mask = self.preprocess.mask
        ignore = episode.query.ignore
        return {
            "index": episode.index,
            "class_id": episode.class_id,
            "class_name": episode.class_name,
            "query": self._image(episode.query),
            "query_mask": mask(episode.query.mask),
            "query_ignore": mask(np.zeros_like(episode.query.mask) if ignore is None else ignore),
            "supports": torch.stack([self._image(support) for support in episode.supports]),
            "support_masks": torch.stack([mask(support.mask) for support in episode.supports]),
        }

    def _image(self, frame: Frame) -> Tensor:
        return self.preprocess.normalise(self.preprocess.image(frame.image))

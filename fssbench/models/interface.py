"""What a model of few-shot segmentation is to this benchmark.

`FewShotSegmenter` is the least: `predict` answers whole episodes of tensors, made by its `Preprocess`.
`FeatureSegmenter` splits the same answer into steps, so that the features of an image are computed once for all
episodes that use it. `EpisodeSegmenter` is shown images as they are.

Shapes throughout: B episodes, K supports each, images (3, H, W) normalised by the model's `Preprocess`,
masks in {0, 1}.
"""

from __future__ import annotations

from fssbench.models.checks import check_inputs
from fssbench.models.episode import EpisodeSegmenter, QueryImage, RawEpisode, SupportImage
from fssbench.models.feature_segmenter import FeatureSegmenter, vote
from fssbench.models.geometry import Geometry, Size
from fssbench.models.preprocess import Preprocess, resize_mask
from fssbench.models.segmenter import FewShotSegmenter, Regime

__all__ = [
    "EpisodeSegmenter",
    "FeatureSegmenter",
    "FewShotSegmenter",
    "Geometry",
    "Preprocess",
    "QueryImage",
    "RawEpisode",
    "Regime",
    "Size",
    "SupportImage",
    "check_inputs",
    "resize_mask",
    "vote",
]

"""What weights score while they are trained: fixed episodes, integer counts, the benchmark's own mIoU."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn

from fssbench.base.errors import TrainingError
from fssbench.engine.evaluate import answers
from fssbench.engine.ranks import Ranks
from fssbench.episodes.episodes import Track
from fssbench.episodes.protocols import find_protocol
from fssbench.models.batch import IGNORED, EpisodeBatch
from fssbench.models.interface import FewShotSegmenter
from fssbench.models.trainable import KnowsBaseClasses
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.results.counting import tally_on_device
from fssbench.results.policies import policies_for
from fssbench.scoring.metrics import counts_of, mean_iou

__all__ = ["validate_on_batches", "validate_on_set", "validation_track"]

Row = tuple[int, list[int]]


def validate_on_batches(
    model: nn.Module, batches: Callable[..., Iterable[EpisodeBatch]], *, device: str, ranks: Ranks
) -> float:
    """The mIoU over the classes of fixed episodes, this process's share of them, at the model's size.

    ``batches`` is given the model's ``preprocess``. The figure is the same in every process: counts are integers, and
    those of all processes are scored.
    """
    segmenter = _segmenter(model)
    rows: list[Row] = []
    for batch in batches(preprocess=segmenter.preprocess):
        normalise = segmenter.preprocess.normalise
        shown = (batch.support_target == 1).float()
        with torch.inference_mode():
            query, supports = normalise(batch.query.to(device)), normalise(batch.support.to(device))
            asked = (query, supports, shown.to(device))
            if isinstance(segmenter, KnowsBaseClasses):
                found = segmenter.predict_base(*asked, batch.class_positions.to(device))
            else:
                found = segmenter.predict(*asked)
        truth = batch.query_target.to(device)
        for class_id, mask, target in zip(batch.class_ids.tolist(), found, truth, strict=True):
            tallied = tally_on_device(mask, target == 1, target == IGNORED).cpu().numpy()
            rows.append((class_id, counts_of(tallied).tolist()))
    return _miou(rows, ranks)


def validate_on_set(
    model: nn.Module, episode_set: EpisodeSet, *, shot: int, episodes: int, device: str, ranks: Ranks, workers: int
) -> float:
    """The mIoU on the first episodes of a fold's own test set, by its protocol's headline policy."""
    headline = policies_for(episode_set).index(find_protocol(episode_set.manifest.protocol.name).headline)
    track = validation_track(episode_set, shot=shot, episodes=episodes)
    others = frozenset(range(len(track.episodes))) - ranks.share(track)
    asked = answers(
        _segmenter(model),
        episode_set,
        shot=shot,
        seed=track.seed,
        episodes=len(track.episodes),
        skip=others,
        device=device,
        workers=workers,
    )
    return _miou([(answer.episode.class_id, answer.counts[headline].tolist()) for answer in asked], ranks)


def validation_track(episode_set: EpisodeSet, *, shot: int, episodes: int) -> Track:
    """The episodes of a test set that weights are compared on."""
    seed = find_protocol(episode_set.manifest.protocol.name).seeds[0]
    record = episode_set.record(shot=shot, seed=seed)
    return episode_set.tracks[record.label].first(min(episodes, record.episodes))


def _segmenter(model: nn.Module) -> FewShotSegmenter:
    if not isinstance(model, FewShotSegmenter):
        raise TrainingError(
            f"{type(model).__name__} answers no episodes, so it cannot be validated on any",
            remedy="pass --select-on last",
        )
    return model.eval()


def _miou(own: list[Row], ranks: Ranks) -> float:
    sums: dict[int, tuple[int, int]] = {}
    for class_id, (inter, union, *_) in (row for part in ranks.gather(own) for row in part):
        before = sums.get(class_id, (0, 0))
        sums[class_id] = before[0] + inter, before[1] + union
    # A class whose objects are all lost at the model's size, and not found either, says nothing.
    return mean_iou(sums.values()) or 0.0

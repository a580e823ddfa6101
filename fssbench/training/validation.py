"""What weights score while they are trained: fixed episodes or images, integer counts, and their loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fssbench.base.errors import TrainingError
from fssbench.engine.evaluate import Answer, answers
from fssbench.engine.ranks import Ranks
from fssbench.episodes.episodes import Track
from fssbench.episodes.protocols import find_protocol
from fssbench.models.batch import IGNORED, EpisodeBatch, SemanticBatch, on_device
from fssbench.models.interface import FewShotSegmenter, Preprocess
from fssbench.models.trainable import Step, Trainable
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.episode_sets.stream import Frame
from fssbench.results.counting import pixel_sums, tallies
from fssbench.results.policies import policies_for
from fssbench.scoring.metrics import counts_of, mean_iou
from fssbench.training.meter import Meter

__all__ = ["Scored", "validate_on_batches", "validate_on_images", "validate_on_set", "validation_track"]

Row = tuple[int, list[int], float]
"""An episode: its class, its counts, and its loss, which is not a number where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What weights score: mIoU and FB-IoU in [0, 1], and the mean loss; ``None`` where there is none."""

    miou: float
    fb_iou: float | None
    loss: float | None


def validate_on_batches(
    model: nn.Module, batches: Callable[..., Iterable[EpisodeBatch]], *, device: str, ranks: Ranks
) -> Scored:
    """What a model scores on fixed episodes, this process's share of them, at the model's size.

    ``batches`` is given the model's ``preprocess``. The figures are the same in every process: counts are integers,
    and those of all processes are scored. A model that cannot be trained has no loss.
    """
    segmenter = _segmenter(model)
    rows: list[Row] = []
    for batch in batches(preprocess=segmenter.preprocess):
        here = on_device(batch, device)
        if isinstance(segmenter, Trainable):
            step = _step(segmenter, here)
            found, loss = step.predictions.to(torch.uint8), _loss(step)
        else:
            found, loss = _predict(segmenter, here), math.nan
        targets = here.query_target
        sums = [pixel_sums(mask, target == 1, target == IGNORED) for mask, target in zip(found, targets, strict=True)]
        counts = counts_of(tallies(torch.stack(sums).cpu().numpy())).tolist()
        rows += [(class_id, row, loss) for class_id, row in zip(batch.class_ids.tolist(), counts, strict=True)]
    return _scored(rows, ranks)


def validate_on_images(
    model: nn.Module,
    batches: Callable[..., Iterable[SemanticBatch]],
    *,
    n_classes: int,
    device: str,
    ranks: Ranks,
) -> Scored:
    """What a base learner scores on labelled images, this process's share of them, at the model's size.

    The mIoU is that of the base classes, without the background, as BAM's released code compares weights by it.

    Args:
        batches: given the model's ``preprocess``.
        n_classes: the background and the base classes.
    """
    assert isinstance(model, Trainable)
    module: nn.Module = model
    module.eval()
    meter, losses = Meter(n_classes, device=device), list[tuple[float, int]]()
    for batch in batches(preprocess=module.preprocess):
        here = on_device(batch, device)
        step = _step(model, here)
        meter.add(here, step.predictions)
        losses.append((_loss(step), len(batch.indices)))
    told = [pair for part in ranks.gather(losses) for pair in part]
    mean = math.fsum(loss * n for loss, n in told) / max(1, sum(n for _, n in told))
    return Scored(miou=meter.miou(ranks, first=1) or 0.0, fb_iou=None, loss=mean)


def validate_on_set(
    model: nn.Module, episode_set: EpisodeSet, *, shot: int, episodes: int, device: str, ranks: Ranks, workers: int
) -> Scored:
    """What a model scores on the first episodes of a fold's own test set, by its protocol's headline policy.

    The loss is that at the model's size, where it is trained.
    """
    headline = policies_for(episode_set).index(find_protocol(episode_set.manifest.protocol.name).headline)
    track = validation_track(episode_set, shot=shot, episodes=episodes)
    others = frozenset(range(len(track.episodes))) - ranks.share(track)
    segmenter = _segmenter(model)
    asked = answers(
        segmenter,
        episode_set,
        shot=shot,
        seed=track.seed,
        episodes=len(track.episodes),
        skip=others,
        device=device,
        workers=workers,
    )
    rows: list[Row] = []
    for answer in asked:
        loss = math.nan
        if isinstance(segmenter, Trainable):
            loss = _loss(_step(segmenter, on_device(_as_batch(answer, segmenter.preprocess), device)))
        rows.append((answer.episode.class_id, answer.counts[headline].tolist(), loss))
    return _scored(rows, ranks)


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
    model.eval()
    return model


@torch.no_grad()
def _step(model: Trainable[object], batch: object) -> Step:
    return model.step(batch)


def _loss(step: Step) -> float:
    return float(step.loss if step.answer is None else step.answer)


def _predict(model: FewShotSegmenter, batch: EpisodeBatch) -> Tensor:
    normalise, shown = model.preprocess.normalise, (batch.support_target == 1).float()
    with torch.inference_mode():
        query = normalise(batch.query)
        return model.predict_sizes(query, normalise(batch.support), shown, [(query.shape[-2], query.shape[-1])])[0]


def _as_batch(answer: Answer, preprocess: Preprocess) -> EpisodeBatch:
    """An episode of a test set as training knows it; which base classes it shows, the set does not say."""
    target = _target(answer.query, preprocess)[None]
    return EpisodeBatch(
        epoch=-1,
        indices=(answer.index,),
        episodes=(answer.episode,),
        query=preprocess.image(answer.query.image)[None],
        query_target=target,
        support=torch.stack([preprocess.image(one.image) for one in answer.supports])[None],
        support_target=torch.stack([_target(one, preprocess) for one in answer.supports])[None],
        class_ids=torch.tensor([answer.episode.class_id]),
        class_positions=torch.tensor([-1]),
        query_labels=torch.full_like(target, IGNORED),
    )


def _target(frame: Frame, preprocess: Preprocess) -> Tensor:
    target = preprocess.mask(frame.mask).to(torch.uint8)
    return target if frame.ignore is None else target.masked_fill(preprocess.mask(frame.ignore), IGNORED)


def _scored(own: list[Row], ranks: Ranks) -> Scored:
    rows = [row for part in ranks.gather(own) for row in part]
    sums: dict[int, tuple[int, int]] = {}
    for class_id, (inter, union, *_), _ in rows:
        before = sums.get(class_id, (0, 0))
        sums[class_id] = before[0] + inter, before[1] + union
    foreground = (sum(inter for inter, _ in sums.values()), sum(union for _, union in sums.values()))
    background = (sum(counts[2] for _, counts, _ in rows), sum(counts[3] for _, counts, _ in rows))
    loss = math.fsum(loss for *_, loss in rows) / max(1, len(rows))
    return Scored(
        # A class whose objects are all lost at the model's size, and not found either, says nothing.
        miou=mean_iou(sums.values()) or 0.0,
        fb_iou=mean_iou([foreground, background]) if foreground[1] and background[1] else None,
        loss=None if math.isnan(loss) else loss,
    )

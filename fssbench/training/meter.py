"""The running mIoU and FB-IoU: integers summed by class, over steps and processes, exact."""

from __future__ import annotations

import torch
from torch import Tensor

from fssbench.engine.ranks import Ranks
from fssbench.models.batch import IGNORED, EpisodeBatch, SemanticBatch
from fssbench.scoring.metrics import mean_iou

__all__ = ["Meter"]


class Meter:
    """Intersections and unions by class since it was last cleared; class ids, or labels, are below ``n_classes``."""

    def __init__(self, n_classes: int, *, device: str) -> None:
        self.sums = torch.zeros(n_classes, 2, dtype=torch.int64, device=device)
        self.background = torch.zeros(2, dtype=torch.int64, device=device)

    def add(self, batch: object, predictions: Tensor) -> None:
        """Count predictions (B, s, s); batches of kinds that are not known are not counted."""
        if isinstance(batch, EpisodeBatch):
            self._add_episodes(batch, predictions)
        elif isinstance(batch, SemanticBatch):
            self._add_labels(batch.labels, predictions)

    def _add_episodes(self, batch: EpisodeBatch, predictions: Tensor) -> None:
        scored, truth = batch.query_target != IGNORED, batch.query_target == 1
        found = (predictions == 1) & scored
        sums = torch.stack([(found & truth).sum(dim=(1, 2)), (found | truth).sum(dim=(1, 2))], dim=1)  # (B, 2)
        self.sums.index_add_(0, batch.class_ids, sums)
        self.background += scored.sum() - sums.sum(dim=0).flip(0)  # what one unites, the other does not share

    def _add_labels(self, labels: Tensor, predictions: Tensor) -> None:
        scored = labels != IGNORED
        true, found = labels[scored].long(), predictions[scored].long()
        n = len(self.sums)
        both, each = true[true == found].bincount(minlength=n), true.bincount(minlength=n) + found.bincount(minlength=n)
        self.sums += torch.stack([both, each - both], dim=1)

    def clear(self) -> None:
        """Begin anew."""
        self.sums.zero_()
        self.background.zero_()

    def miou(self, ranks: Ranks, *, first: int = 0) -> float | None:
        """The mIoU over the classes from ``first`` on that were met by any process; ``None`` if none were."""
        return mean_iou(self._total(ranks)[first:-1])

    def fb_iou(self, ranks: Ranks) -> float | None:
        """The FB-IoU of the episodes; ``None`` if there were none, as of labelled images."""
        *classes, background = self._total(ranks)
        foreground = (sum(inter for inter, _ in classes), sum(union for _, union in classes))
        return mean_iou([foreground, background]) if foreground[1] and background[1] else None

    def _total(self, ranks: Ranks) -> list[tuple[int, int]]:
        """Intersection and union of each class, and last of the background, over all processes."""
        own = [*self.sums.tolist(), self.background.tolist()]
        parts = ranks.gather({c: s for c, s in enumerate(own) if s[1]})
        return [(sum(p[c][0] for p in parts if c in p), sum(p[c][1] for p in parts if c in p)) for c in range(len(own))]

"""What weights are compared by while they are trained, where it is not the benchmark's own mIoU."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fssbench.engine.ranks import Ranks
from fssbench.models.batch import SemanticBatch
from fssbench.models.hdmnet.ensemble import base_foreground
from fssbench.models.interface import Preprocess
from fssbench.models.trainable import Group, Step
from fssbench.training.validation import validate_on_images


class Reads(nn.Module):
    """A base learner that reads labels off the red channel, and takes 2 for 1."""

    preprocess = Preprocess(size=4)

    def groups(self) -> list[Group]:
        return []

    def learn(self) -> None:
        self.train()

    def step(self, batch: SemanticBatch) -> Step:
        assert not self.training
        found = batch.images[:, 0].clamp(max=1).long()
        logits = F.one_hot(found, 3).movedim(-1, 1).float()
        loss = F.cross_entropy(logits, batch.labels.long(), ignore_index=255)
        return Step(loss=loss, parts={}, predictions=found)


def labelled(labels: Tensor) -> SemanticBatch:
    images = labels.where(labels != 255, 0)[:, None].expand(-1, 3, -1, -1)
    return SemanticBatch(
        epoch=-1, indices=tuple(range(len(labels))), image_ids=("",) * len(labels), images=images, labels=labels
    )


def test_a_base_learner_is_chosen_by_base_classes_without_the_background() -> None:
    """As BAM's. The loss is the mean over images, however they are batched; what is ignored counts nowhere."""
    labels = torch.zeros(3, 4, 4, dtype=torch.uint8)
    labels[0, :2], labels[1, 0], labels[2, 3] = 1, 2, 255

    def batches(preprocess: Preprocess) -> Iterator[SemanticBatch]:
        assert preprocess is Reads.preprocess
        yield labelled(labels[:2])
        yield labelled(labels[2:])

    found = validate_on_images(Reads(), batches, n_classes=3, device="cpu", ranks=Ranks())
    assert found.miou == pytest.approx((8 / 12 + 0) / 2)  # class 1: 8 of 8 found, and 4 that are class 2's
    assert found.fb_iou is None
    right, wrong = (-F.log_softmax(torch.tensor([1.0, 0.0, 0.0]), dim=0)[n] for n in (0, 1))
    assert found.loss == pytest.approx(float((28 * right + 4 * wrong) / 32 * 2 + right) / 3)


def test_an_episode_of_no_base_class_leaves_none_out() -> None:
    """Position -1, as in validation on the test fold."""
    logits = torch.randn(2, 1 + 5, 3, 3, generator=torch.Generator().manual_seed(0))
    assert base_foreground(logits, torch.tensor([-1, -1])).equal(base_foreground(logits, None))
    assert not base_foreground(logits, torch.tensor([-1, 0])).equal(base_foreground(logits, None))

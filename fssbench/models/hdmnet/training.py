"""How HDMNet is trained (section 4.1), as released: what learns, what stays, and what is minimised."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from fssbench.models.batch import EpisodeBatch
from fssbench.models.hdmnet.features import BaseLearnerFeatures
from fssbench.models.hdmnet.losses import Losses, distillation_loss, segmentation_loss
from fssbench.models.hdmnet.outputs import Outputs
from fssbench.models.hdmnet.transformer import Transformer
from fssbench.models.trainable import Group, Step

__all__ = ["LearnsFromEpisodes"]

# Outside the transformer everything learns this much faster.
FASTER = 10


class LearnsFromEpisodes(BaseLearnerFeatures):
    """The half of HDMNet that only training needs; see `fssbench.models.trainable.Trainable`.

    Attributes:
        distillation: of `fssbench.models.hdmnet.losses.DISTILLATIONS` (table 6).
        temperature: of the distillation (table 9).
        ensemble: whether the base learner has a say in the final map (table 4).
    """

    distillation: str
    temperature: float
    ensemble: bool
    transformer: Transformer
    down_query: nn.Sequential
    down_supp: nn.Sequential
    query_merge: nn.Sequential
    supp_merge: nn.Sequential
    gram_merge: nn.Conv2d
    cls_merge: nn.Conv2d

    @abstractmethod
    def outputs(self, query: Tensor, supports: Tensor, masks: Tensor, *, leave_out: Tensor | None = None) -> Outputs:
        """All outputs at the input's size, but the correlations at that of their stages."""

    def groups(self) -> list[Group]:
        """The transformer, and what stands around it; ``kshot_rw`` is in no published group, so it stays as it began.

        Without the ensemble its two weighted sums do nothing and learn nothing.
        """
        around: list[nn.Module] = [self.down_query, self.down_supp, self.query_merge, self.supp_merge]
        if self.ensemble:
            around += [self.gram_merge, self.cls_merge]
        return [
            Group(name="transformer", parameters=tuple(self.transformer.parameters())),
            Group(name="around", parameters=tuple(p for part in around for p in part.parameters()), rate=FASTER),
        ]

    def learn(self) -> None:
        """Enter training mode; what is frozen and every batch norm stay in eval mode, the transformer's own too."""
        self.train()

    def step(self, batch: EpisodeBatch) -> Step:
        """The losses of a batch, and the final masks.

        The base map leaves out each episode's own class: here that is a base class, where a test asks for a novel one.
        """
        found = self.outputs(
            self.preprocess.normalise(batch.query),
            self.preprocess.normalise(batch.support),
            batch.support_target.eq(1).float(),  # what is ignored is not shown
            leave_out=batch.class_positions,
        )
        losses = self.losses(found, target=batch.query_target.long(), base_target=batch.query_labels.long())
        parts = {name: value.detach() for name, value in vars(losses).items()}
        masks = found.final.detach().argmax(dim=1)
        return Step(loss=losses.total, parts=parts, predictions=masks, answer=losses.final.detach())

    def losses(self, found: Outputs, *, target: Tensor, base_target: Tensor) -> Losses:
        """What is minimised.

        Args:
            found: of `outputs`.
            target: (B, H, W) int64: 1 foreground, 0 background, 255 ignored.
            base_target: (B, H, W) int64: 0 background, base class i as i + 1, 255 ignored.
        """
        final = segmentation_loss(found.final, target)
        return Losses(
            final=final,
            # Without the ensemble both maps are one, which is not to be counted twice.
            meta=segmentation_loss(found.meta, target) if self.ensemble else torch.zeros_like(final),
            distillation=distillation_loss(
                found.correlations, target, method=self.distillation, temperature=self.temperature
            ),
            base=segmentation_loss(found.base, base_target),
        )

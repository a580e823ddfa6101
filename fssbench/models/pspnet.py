"""PSPNet (Zhao et al., CVPR 2017): tells a fold's base classes apart, and so becomes HDMNet's base learner."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fssbench.base.errors import UsageError
from fssbench.base.suggest import known_are
from fssbench.models.batch import SemanticBatch
from fssbench.models.hdmnet.backbone import BACKBONES, build_stages
from fssbench.models.hdmnet.base_learner import BASE_CLASSES, PyramidPooling, base_classifier, bottleneck
from fssbench.models.hdmnet.imagenet import load_imagenet
from fssbench.models.hdmnet.losses import segmentation_loss
from fssbench.models.interface import Preprocess
from fssbench.models.trainable import Group, Step

__all__ = ["PSPNet"]

USUAL_SIZE = 417


class PSPNet(nn.Module):
    """A segmenter of base classes, with the published names; it answers no episodes.

    Args:
        backbone: ``resnet50`` or ``vgg16``, which has batch norm; neither is torchvision's, but the latter's weights
            are.
        backbone_weights: of ImageNet, to begin with; see `load_imagenet`.
        benchmark: ``coco`` or ``pascal``: 60 or 15 base classes.
        size: side of the input, 8n + 1.

    Attributes:
        preprocess: how images become its input.
        backbone_info: where its backbone's weights came from.
        base_classes: how many it tells apart, beside the background.

    Raises:
        UsageError: an option has a value that it cannot have.
        CheckpointError: the backbone's file is missing or does not fit.
    """

    needs_training = True

    def __init__(
        self,
        *,
        backbone: str = "resnet50",
        backbone_weights: str = "none",
        benchmark: str = "coco",
        size: int = USUAL_SIZE,
    ) -> None:
        for option, value, known in (("backbone", backbone, BACKBONES), ("benchmark", benchmark, BASE_CLASSES)):
            if value not in known:
                raise UsageError(f"PSPNet has no {option} '{value}'", remedy=known_are(value, tuple(known)))
        if not isinstance(size, int) or size < 9 or size % 8 != 1:
            raise UsageError(
                f"PSPNet's input must be 8n + 1 pixels a side, at least 9, got {size}",
                remedy=f"the usual size is {USUAL_SIZE}",
            )
        super().__init__()
        self.base_classes = BASE_CLASSES[benchmark]
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)  # torch.manual_seed would seed the GPUs too
            built = build_stages(backbone)
            self.layer0, self.layer1, self.layer2, self.layer3, self.layer4 = built.stages
            # Published files hold the backbone under both names.
            self.encoder = nn.Sequential(*built.stages)
            deepest = built.channels[-1]
            self.ppm = PyramidPooling(deepest)
            self.cls = nn.Sequential(*bottleneck(deepest), *base_classifier(self.base_classes))
        self.backbone_info = load_imagenet(built.stages, backbone, backbone_weights)
        self.preprocess = Preprocess(size=size, antialias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (N, 3, H, W) → logits (N, 1 + base classes, H, W), the background's first."""
        logits = self.cls(self.ppm(self.encoder(images)))
        return F.interpolate(logits, images.shape[-2:], mode="bilinear", align_corners=True)

    def groups(self) -> list[Group]:
        """All of it learns: what ImageNet taught, and what is new."""
        new = (*self.ppm.parameters(), *self.cls.parameters())
        return [
            Group(name="encoder", parameters=tuple(self.encoder.parameters())),
            Group(name="head", parameters=new, rate=10),
        ]

    def learn(self) -> None:
        """Enter training mode; batch norms learn too."""
        self.train()

    def step(self, batch: SemanticBatch) -> Step:
        """The cross-entropy of a batch with its labels."""
        # Of a single image the mean over the whole map is one value, of which a batch norm can learn nothing.
        self.ppm.features[0].train(self.training and len(batch.images) > 1)
        logits = self(self.preprocess.normalise(batch.images))
        loss = segmentation_loss(logits, batch.labels.long())
        return Step(loss=loss, parts={"segmentation": loss.detach()}, predictions=logits.detach().argmax(dim=1))

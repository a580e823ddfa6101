"""HDMNet: what queries and supports are encoded to, and what is compared.

Equations, sections and tables are those of the paper; what it leaves open follows the published code, so
that published checkpoints load and give their published numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fssbench.base.errors import ModelError, UsageError
from fssbench.models.hdmnet.backbone import BACKBONES
from fssbench.models.hdmnet.base_learner import BASE_CLASSES
from fssbench.models.hdmnet.ensemble import gram_matrix, merge, merging, scene_difference, shot_weights
from fssbench.models.hdmnet.losses import DISTILLATIONS
from fssbench.models.hdmnet.matching import MATCHINGS
from fssbench.models.hdmnet.outputs import Outputs
from fssbench.models.hdmnet.prior import prior_map, prototype
from fssbench.models.hdmnet.training import LearnsFromEpisodes
from fssbench.models.hdmnet.transformer import STAGES, STRUCTURES, Transformer
from fssbench.models.interface import Preprocess, Size, check_inputs

__all__ = ["HDMNet"]

FUSED = 256
MATCHED = 64
PRIOR_WEIGHT = 10
SMALLEST = 57  # of VGG-16 that leaves maps of 4×4, which the first stage reduces to one key
USUAL_SIZE = {"coco": 633, "pascal": 473}


class HDMNet(LearnsFromEpisodes):
    """HDMNet for a fixed number of shots, whose features are matched together.

    Args:
        backbone: ``resnet50`` or ``vgg16``, which has batch norm; neither is torchvision's.
        backbone_weights: ``none`` or the path of a trained PSPNet (the published ``best.pth``), which holds the
            backbone and the base learner; both are frozen.
        benchmark: ``coco`` or ``pascal``: 60 or 15 base classes, and an input of 633 or 473.
        shot: how many supports an episode has.
        size: side of the input, 8n + 1, if it is not the benchmark's.
        structure: ``decoupled``: both images are parsed first and matched afterwards; ``interleaved``: they are
            matched after every stage, as in the baseline (figure 4; table 4, rows 1 and 2).
        stages: of the pyramid, 1 to 4 (table 7).
        matching: `MATCHINGS` (table 5).
        distillation: of `DISTILLATIONS` (table 6); of training alone.
        temperature: of the distillation (table 9); of training alone.
        support_mask: without, the model is shown the whole support (table 8).
        ensemble: without, the transformer answers alone (table 4).

    Raises:
        UsageError: an option has a value that it cannot have.
        CheckpointError: the base learner's file is missing or does not fit.
    """

    needs_training = True
    reads_features = False
    base_learner = "pspnet"

    def __init__(
        self,
        *,
        backbone: str = "resnet50",
        backbone_weights: str = "none",
        benchmark: str = "coco",
        shot: int = 1,
        size: int | None = None,
        structure: str = STRUCTURES[0],
        stages: int = 3,
        matching: str = MATCHINGS[0],
        distillation: str = DISTILLATIONS[0],
        temperature: float = 1.0,
        support_mask: bool = True,
        ensemble: bool = True,
    ) -> None:
        _check("backbone", backbone, BACKBONES)
        _check("benchmark", benchmark, tuple(USUAL_SIZE))
        _check("structure", structure, STRUCTURES)
        _check("stages", stages, tuple(range(1, 1 + len(STAGES))))
        _check("matching", matching, MATCHINGS)
        _check("distillation", distillation, DISTILLATIONS)
        if not isinstance(shot, int) or shot < 1:
            raise UsageError(f"HDMNet's shot must be a whole number from 1, got {shot}", remedy="pass the episodes'")
        if not temperature > 0:
            raise UsageError(f"HDMNet's temperature must be above 0, got {temperature}", remedy="the paper's is 1")
        side = USUAL_SIZE[benchmark] if size is None else size
        if not isinstance(side, int) or side < SMALLEST or side % 8 != 1:
            raise UsageError(
                f"HDMNet's input must be 8n + 1 pixels a side, at least {SMALLEST}, got {side}",
                remedy=f"the benchmark's usual size is {USUAL_SIZE[benchmark]}",
            )
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)  # torch.manual_seed would seed the GPUs too
            super().__init__(backbone, BASE_CLASSES[benchmark])
            self.down_query = _fusion(self.fused_channels)
            self.down_supp = _fusion(self.fused_channels)
            self.query_merge = _merge(2 * FUSED + 2)
            self.supp_merge = _merge(2 * FUSED)
            self.transformer = Transformer(structure=structure, stages=stages, matching=matching)
            self.gram_merge, self.cls_merge = merging(), merging()
            self.kshot_rw = shot_weights(shot) if shot > 1 else None
        self.backbone_info = self.load_base_learner(backbone, backbone_weights)
        self.preprocess = Preprocess(size=side, antialias=False)
        self.shot = shot
        self.distillation, self.temperature = distillation, temperature
        self.support_mask, self.ensemble = support_mask, ensemble
        self.train()  # not what is frozen

    def encode(self, images: Tensor) -> list[Tensor]:
        """Images (N, 3, H, W) → what a query is asked with.

        The Gram matrix (N, C, C); the fused map (N, 256, h, w); layer 4's (N, C', h, w) and the semantic map
        (N, 512, h, w); the base learner's logits (N, 1 + base classes, h, w).
        """
        middle, fused, deep = self.maps(images)
        semantic = self.semantic(deep)
        return [gram_matrix(middle), self.down_query(fused), deep, semantic, self.base_learnear(semantic)]

    def condition(self, features: list[Tensor], images: Tensor, masks: Tensor) -> list[Tensor]:
        """What the supports show, from the masked images; ``features``, those of the whole images, are not used.

        The Gram matrix (N, C, C); the prototype (N, 256, 1, 1); layer 4's map (N, C', h, w) and, of what is in the
        mask, the semantic map (N, 512, h, w); the masks (N, H, W); the pyramid, each (N, 64, h, w), fine to coarse.
        """
        masks = masks.to(images.dtype) if self.support_mask else torch.ones_like(masks, dtype=images.dtype)
        return self.shown(images, masks, masks)

    def shown(self, images: Tensor, masks: Tensor, asked: Tensor) -> list[Tensor]:
        """What `condition` gives; ``asked`` are the masks that are compared, which may be elsewhere than the images."""
        middle, fused, deep = self.maps(images * masks[:, None])
        x = self.down_supp(fused)  # (N, 256, h, w)
        mean = prototype(x, masks)
        merged = self.supp_merge(torch.cat([x, mean.expand_as(x)], dim=1))  # (N, 64, h, w)
        pyramid = self.transformer.mix_transformer.pyramid(merged)
        return [gram_matrix(middle), mean, deep, self.semantic(deep, asked), asked, *pyramid]

    def answer(self, query: list[Tensor], supports: list[Tensor], *, leave_out: Tensor | None = None) -> Outputs:
        """Compare what `encode` and `condition` gave, each (B, …) and (B, K, …).

        Args:
            query: of `encode`.
            supports: of `condition`.
            leave_out: (B,) int64, while training the index of each episode's class among the base classes.

        Raises:
            ModelError: K is not the model's.
        """
        scene, mapped, deep, semantic, base = query
        scenes, means, deep_shown, semantic_shown, masks, *pyramid = supports
        if means.shape[1] != self.shot:
            raise ModelError(
                f"this HDMNet is one of {self.shot} shots, the episode has {means.shape[1]}",
                remedy=f"build it with shot={means.shape[1]} (--option shot={means.shape[1]}), "
                "and load a checkpoint of as many",
            )
        pairs = ((semantic, semantic_shown), (deep, deep_shown))
        prior = torch.cat([self.prior(asked, shown, masks) for asked, shown in pairs], dim=1)  # (B, 2, h, w)
        mean = means.mean(dim=1).expand_as(mapped)
        merged = self.query_merge(torch.cat([mapped, mean, PRIOR_WEIGHT * prior], dim=1))  # (B, 64, h, w)
        mixer = self.transformer.mix_transformer
        meta, correlations = mixer(mixer.pyramid(merged), pyramid, masks, prior)
        final = meta
        if self.ensemble:
            apart = scene_difference(scene, scenes, weigh=self.kshot_rw)
            final = merge(meta, base, apart, gram_merge=self.gram_merge, cls_merge=self.cls_merge, leave_out=leave_out)
        return Outputs(final=final, meta=meta, base=base, correlations=correlations)

    def prior(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        """See `prior_map`."""
        return prior_map(query, supports, masks)

    def match(self, query: list[Tensor], supports: list[Tensor]) -> Tensor:
        """The final map (B, 1, 2, h, w), of all shots together; errors as in `answer`."""
        return self.answer(query, supports).final[:, None]

    def decide(self, logits: Tensor, size: Size) -> Tensor:
        """The mask (B, H, W) uint8 at ``size``, by way of the input's size, as published."""
        side = self.preprocess.side
        return super().decide(_resized(logits[:, 0], (side, side))[:, None], size)

    def outputs(self, query: Tensor, supports: Tensor, masks: Tensor, *, leave_out: Tensor | None = None) -> Outputs:
        """All outputs at the input's size, but the correlations at that of their stages; see `answer`."""
        found = self._answer(query, supports, masks, leave_out)
        final, meta, base = (_resized(x, query.shape[-2:]) for x in (found.final, found.meta, found.base))
        return Outputs(final=final, meta=meta, base=base, correlations=found.correlations)

    def _answer(self, query: Tensor, supports: Tensor, masks: Tensor, leave_out: Tensor | None) -> Outputs:
        check_inputs(query, supports, masks)
        b, k = supports.shape[:2]
        # Features of the whole supports are not used, so they are not computed.
        conditioned = self.condition([], supports.flatten(0, 1), masks.flatten(0, 1))
        shown = [f.view(b, k, *f.shape[1:]) for f in conditioned]
        return self.answer(self.encode(query), shown, leave_out=leave_out)

    def _logits(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        return self._answer(query, supports, masks, None).final[:, None]

    def correlation_maps(self, query: Tensor, supports: Tensor, masks: Tensor) -> dict[str, Tensor]:
        """The correlation maps (B, h, w) of the stages (equation 7, figure 7), coarse to fine."""
        found = self._answer(query, supports, masks, None).correlations
        return {f"stage {len(found) - n}": one for n, one in enumerate(found)}

    def cost_parts(self) -> Mapping[str, Sequence[nn.Module]]:
        """The parts of figure 3, and what stands before and behind them."""
        mixer = self.transformer.mix_transformer
        weights = [] if self.kshot_rw is None else [self.kshot_rw]
        return {
            "backbone": [self.layer0, self.layer1, self.layer2, self.layer3, self.layer4],
            "base learner": [self.ppm, self.cls, self.base_learnear],
            "prior, Gram": (),
            "fusion": [self.down_query, self.down_supp, self.query_merge, self.supp_merge],
            "transformer": [mixer.down_sample_layers],
            "matching": [mixer.match_layers],
            "decoder": [mixer.parse_layers, mixer.cls],
            "ensemble": [self.gram_merge, self.cls_merge, *weights],
        }


def _check(option: str, value: object, known: tuple[object, ...]) -> None:
    if value not in known or type(value) is not type(known[0]):  # 2.0 is in (1, 2)
        listed = ", ".join(str(one) for one in known)
        raise UsageError(f"HDMNet has no {option} '{value}'", remedy=f"known are {listed}")


def _resized(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, tuple(size), mode="bilinear", align_corners=True)


def _fusion(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, FUSED, 1, bias=False), nn.ReLU(inplace=True), nn.Dropout2d(0.5))


def _merge(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, MATCHED, 1, bias=False), nn.ReLU(inplace=True))

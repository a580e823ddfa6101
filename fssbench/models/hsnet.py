"""HSNet, the Hypercorrelation Squeeze Network (Min, Kang and Cho, ICCV 2021).

Every intermediate map of a frozen backbone is correlated, query position with support position; the 4D
correlations of one resolution are squeezed along the support, merged from coarse to fine, and decoded
into a mask. Equations and sections are those of the paper; what it leaves open follows the published
code, so that published checkpoints load and give their published numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import accumulate, chain, islice
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fssbench.base.errors import UsageError
from fssbench.base.suggest import known_are
from fssbench.models.backbones import BACKBONES, Extractor, Pyramid, listed_pyramid, open_backbone
from fssbench.models.batch import EpisodeBatch
from fssbench.models.dtypes import at_least_float32
from fssbench.models.feature_store import FeatureStore
from fssbench.models.interface import FeatureSegmenter, Preprocess, vote
from fssbench.models.squeeze import (
    KERNELS,
    MIXING,
    MOST_LAYERS,
    PUBLISHED_LAYERS,
    SQUEEZING,
    HypercorrelationSqueeze,
)
from fssbench.models.trainable import Group, Step

__all__ = ["HSNet", "HypercorrelationSqueeze", "hypercorrelation", "mask_features"]

EPSILON = 1e-5
SIDE = 400
BACKBONE_RATE = 0.01
"""Of the learning rate, where the backbone learns: 1e-5 (figure 10) where all else learns at 1e-3."""


HYPERCORRELATIONS = ("all", "shallow", "deep")
COARSEST = 3
"""The pyramid's last level; 1 is the finest."""


def _kept_maps(counts: Sequence[int], hypercorrelation: str, finest_level: int) -> tuple[tuple[int, ...], ...]:
    """Indices of the maps that are correlated, by level, fine to coarse; there are ``counts`` maps a level."""
    starts = accumulate(counts, initial=0)
    levels = [tuple(range(start, start + count)) for start, count in zip(starts, counts, strict=False)]
    part = {"all": slice(None), "shallow": slice(1), "deep": slice(-1, None)}[hypercorrelation]
    return tuple(level[part] for level in levels[finest_level - 1 :])


def _with_pyramid(extractor: Extractor) -> tuple[nn.Module, Pyramid]:
    """The network whose maps are correlated, and which those are."""
    if extractor.pyramid is not None:
        return extractor.network, extractor.pyramid
    return listed_pyramid(extractor)


def _chosen(
    maps: Callable[[nn.Module, Tensor], list[Tensor]], indices: Sequence[int], network: nn.Module, images: Tensor
) -> list[Tensor]:
    """Of a backbone's maps (N, C, h, w) those that are correlated."""
    found = maps(network, images)
    return [found[index] for index in indices]


def _let_learn(network: nn.Module, head: tuple[str, ...]) -> None:
    """Make the parameters that maps depend on learnable: all but those of the classifier."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not name.startswith(head))


def mask_features(features: Sequence[Tensor], masks: Tensor) -> list[Tensor]:
    """Maps (N, C, h, w) times masks (N, H, W), resized bilinearly to each map's size (equation 1)."""
    whole = masks[:, None].to(at_least_float32(features[0].dtype))  # (N, 1, H, W)
    sizes = {f.shape[-2:] for f in features}
    shares = {size: F.interpolate(whole, size, mode="bilinear", align_corners=True) for size in sizes}
    return [f * shares[f.shape[-2:]].to(f.dtype) for f in features]


def unit_stack(maps: Sequence[Tensor]) -> Tensor:
    """L maps (B, C, h, w) of one resolution → (B, L, C, h, w), of unit length over C; zeros stay zeros.

    Maps of fewer channels than others get channels of zeros, which add nothing to a cosine.
    """
    widest = max(one.shape[1] for one in maps)
    alike = [F.pad(one, (0, 0, 0, 0, 0, widest - one.shape[1])) if one.shape[1] < widest else one for one in maps]
    stack = torch.stack(alike, dim=1)
    length: Tensor = torch.linalg.vector_norm(stack, dim=2, keepdim=True)
    return stack / (length + EPSILON)


def hypercorrelation(query: Tensor, support: Tensor) -> Tensor:
    """Cosine similarities of all pairs of positions, negative ones as 0 (equation 2).

    Args:
        query: (B, L, C, Hq, Wq), of unit length over C.
        support: (B, L, C, Hs, Ws), likewise.

    Returns:
        (B, L, Hq, Wq, Hs, Ws).
    """
    cosine: Tensor = torch.einsum("blcxy,blcuv->blxyuv", query, support)
    return cosine.relu_()


class HSNet(FeatureSegmenter):
    """HSNet: each shot is matched alone and votes on the mask (section 4.5).

    The options from ``masking`` on are the paper's ablations; their defaults are the published model.

    Args:
        backbone: ``resnet50``, ``resnet101`` or ``vgg16``; in eval mode also while training. Of any other that
            `open_backbone` knows, as many maps as it has at 1/8, 1/16 and 1/32 of the image are squeezed, and results
            call the model ``hsnet-variant``.
        backbone_weights: ``imagenet``, ``pretrained``, ``none`` or a path; see there.
        size: side of the input; 400, or what is nearest to it and the backbone takes.
        masking: ``fm`` masks the support's features (equation 1), ``none`` leaves them whole (Table 1, below).
        kernel: ``center-pivot``, ``separable`` or ``original`` 4D convolutions (Table 4).
        hypercorrelation: of each level ``all`` maps, or the first (``shallow``) or last (``deep``) alone
            (Table A3).
        finest_level: of the pyramid's levels 1 (fine) to 3 (coarse), those from here on (Table A4).
        block_layers: 4D convolutions in a block, 1 to 6 (figure 9); see `HypercorrelationSqueeze`.
        freeze_backbone: if false, the backbone learns as well (figure 10), but for its batch norm's
            statistics.

    Attributes:
        frozen: whether it is.
        features: where features are remembered while it is trained, if they are; only of a frozen backbone, and of
            images that no augmentation changes.

    Raises:
        UsageError: an option has a value that is not among these.
    """

    needs_training = True
    maskings: ClassVar[tuple[str, ...]] = ("fm", "none")

    def __init__(
        self,
        *,
        backbone: str = "resnet50",
        backbone_weights: str = "none",
        size: int = SIDE,
        masking: str = "fm",
        kernel: str = "center-pivot",
        hypercorrelation: str = "all",
        finest_level: int = 1,
        block_layers: int = PUBLISHED_LAYERS,
        freeze_backbone: bool = True,
    ) -> None:
        super().__init__()
        if ":" not in backbone:  # those of libraries say themselves what they are good for
            self._require("backbone", backbone, tuple(name for name, one in BACKBONES.items() if one.pyramid))
        self._require("masking", masking, self.maskings)
        self._require("kernel", kernel, tuple(KERNELS))
        self._require("hypercorrelation", hypercorrelation, HYPERCORRELATIONS)
        self._require("finest_level", finest_level, tuple(range(1, 1 + COARSEST)))
        self._require("block_layers", block_layers, tuple(range(1, MOST_LAYERS + 1)))
        self._require("freeze_backbone", freeze_backbone, (True, False))
        extractor = open_backbone(backbone, backbone_weights)
        self.backbone, pyramid = _with_pyramid(extractor)
        self.recorded_as = None if pyramid.published else f"{type(self).__name__.lower()}-variant"
        side = extractor.fitting(None if size == SIDE else size, default=SIDE)
        self.preprocess = Preprocess(size=side, mean=extractor.mean, std=extractor.std)
        self.masking = masking
        self.backbone_info = extractor.info
        self.unused = extractor.head
        self.frozen = freeze_backbone
        self.features: FeatureStore | None = None
        if not freeze_backbone:
            _let_learn(self.backbone, extractor.head)
        kept = _kept_maps(pyramid.levels, hypercorrelation, finest_level)
        self.all_maps, self.kept_maps = pyramid.maps, list(chain(*kept))
        self.take_maps = partial(_chosen, self.all_maps, self.kept_maps)
        self.levels = tuple(len(level) for level in kept)
        self.has_published_blocks = kernel == "center-pivot" and block_layers == PUBLISHED_LAYERS
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)  # torch.manual_seed would seed the GPUs too
            self.hpn_learner = HypercorrelationSqueeze(self.levels, kernel=kernel, block_layers=block_layers)

    def _require(self, option: str, value: object, known: Sequence[object]) -> None:
        if not any(value == one and type(value) is type(one) for one in known):
            problem = f"{type(self).__name__} has no {option} '{value}'"
            raise UsageError(problem, remedy=known_are(str(value), map(str, known)))

    def train(self, mode: bool = True) -> Self:
        """As `nn.Module.train`, but for the backbone: its batch norm must not learn."""
        super().train(mode)
        self.backbone.eval()
        return self

    def groups(self) -> list[Group]:
        """What is learned: the squeezing network, and the backbone if it is not frozen."""
        learning = tuple(p for p in self.backbone.parameters() if p.requires_grad)
        squeezing = Group(name="squeeze", parameters=tuple(self.hpn_learner.parameters()))
        return [squeezing, *([Group(name="backbone", parameters=learning, rate=BACKBONE_RATE)] if learning else [])]

    def learn(self) -> None:
        """Enter training mode, all but the backbone."""
        self.train()

    def step(self, batch: EpisodeBatch) -> Step:
        """The mean cross-entropy over all pixels; what is ignored when scoring is background here, as published."""
        b, k = batch.support.shape[:2]
        images = self.preprocess.normalise(batch.support.flatten(0, 1))
        shown = (batch.support_target.flatten(0, 1) == 1).float()
        with torch.set_grad_enabled(not self.frozen):
            asked = self._learned_from(batch.query, [e.query for e in batch.episodes])
            supports = [image_id for e in batch.episodes for image_id in e.supports]
            encoded = self._learned_from(batch.support.flatten(0, 1), supports)
            conditioned = self.condition(encoded, images, shown)
        logits = self.match(asked, [maps.view(b, k, *maps.shape[1:]) for maps in conditioned]).flatten(0, 1).float()
        resized = F.interpolate(logits, batch.query.shape[-2:], mode="bilinear", align_corners=True)  # (B·K, 2, s, s)
        target = (batch.query_target == 1).long().repeat_interleave(k, dim=0)
        loss = F.cross_entropy(resized, target)
        masks = resized.detach().argmax(dim=1).view(b, k, *target.shape[1:])
        return Step(loss=loss, parts={}, predictions=masks[:, 0] if k == 1 else vote(masks))

    def _learned_from(self, images: Tensor, image_ids: list[str]) -> list[Tensor]:
        """Features of images (N, 3, H, W) uint8; while it learns remembered, if they are, by their ids."""
        if self.features is None or not self.training:
            return self.encode(self.preprocess.normalise(images))

        def encode(n: int) -> list[Tensor]:
            return self.encode(self.preprocess.normalise(images[n : n + 1]))

        # One at a time: what is remembered must not depend on what it was first met with.
        held = [self.features.once(image_id, partial(encode, n)) for n, image_id in enumerate(image_ids)]
        return [torch.cat(maps) for maps in zip(*held, strict=True)]

    def encode(self, images: Tensor) -> list[Tensor]:
        """Images (N, 3, H, W) → the backbone's intermediate maps, each (N, C, h, w), fine to coarse."""
        return self.take_maps(self.backbone, images)

    def condition(self, features: list[Tensor], images: Tensor, masks: Tensor) -> list[Tensor]:
        """The maps (N, C, h, w) of the supports, masked or, with ``masking="none"``, as they are."""
        return features if self.masking == "none" else mask_features(features, masks)

    def match(self, query: list[Tensor], supports: list[Tensor]) -> Tensor:
        """Logits (B, K, 2, h, w), at a quarter of the input's size, of each support alone."""
        asked, shots = self.pyramid(query), supports[0].shape[1]
        # One by one: the correlations of a shot fill 110 MB an episode, and are gone before the next one's.
        votes = [self._match_one(asked, [maps[:, k] for maps in supports]) for k in range(shots)]
        return torch.stack(votes, dim=1)

    def _match_one(self, asked: list[Tensor], support: list[Tensor]) -> Tensor:
        """The query's pyramid and one support's maps → logits (B, 2, h, w)."""
        shown = self.pyramid(support)
        logits: Tensor = self.hpn_learner([hypercorrelation(*level) for level in zip(asked, shown, strict=True)])
        return logits

    def correlation_maps(self, query: Tensor, supports: Tensor, masks: Tensor) -> dict[str, Tensor]:
        """By level, coarse to fine, the mean hypercorrelation (B, h, w) over layers, support positions and shots."""
        asked = self.pyramid(self.encode(query))
        means = [torch.zeros_like(level[:, 0, 0]) for level in asked]
        for k in range(supports.shape[1]):
            shown = self.condition(self.encode(supports[:, k]), supports[:, k], masks[:, k])
            for n, level in enumerate(zip(asked, self.pyramid(shown), strict=True)):
                means[n] += hypercorrelation(*level).mean(dim=(1, 4, 5)) / supports.shape[1]
        return {f"level {COARSEST - n}": mean for n, mean in enumerate(reversed(means))}

    def support_maps(self, supports: Tensor, masks: Tensor) -> dict[str, Sequence[Tensor]]:
        """The last map of each level (B, K, C, h, w), masked as it is compared."""
        images, shown = supports.flatten(0, 1), masks.flatten(0, 1)
        conditioned = self.condition(self.encode(images), images, shown)
        return {"FM" if self.masking == "fm" else "whole": self._last_of_levels(conditioned, supports.shape[:2])}

    def _last_of_levels(self, maps: Sequence[Tensor], shape: Sequence[int]) -> list[Tensor]:
        """Of maps (B·K, C, h, w) the last of each level, as (B, K, C, h, w); ``shape`` is B and K."""
        last = [maps[end - 1] for end in accumulate(self.levels)]
        return [one.view(*shape, *one.shape[1:]) for one in last]

    def cost_parts(self) -> Mapping[str, Sequence[nn.Module]]:
        """The rows of tables A5 to A7, blocks of a kind together; a backbone's classifier is not used."""
        learner = dict(self.hpn_learner.named_children())
        mixing = [block for name, block in learner.items() if name in MIXING]  # none of a single level
        return {
            "backbone": [child for name, child in self.backbone.named_children() if f"{name}." not in self.unused],
            "correlation": (),
            "squeeze": [block for name, block in learner.items() if name in SQUEEZING],
            **({"mixing": mixing} if mixing else {}),
            "decoder": [self.hpn_learner.decoder1, self.hpn_learner.decoder2],
        }

    def pyramid(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps (B, C, h, w), fine to coarse → by resolution (B, L, C, h, w), of unit length over C."""
        remaining = iter(maps)
        return [unit_stack(list(islice(remaining, count))) for count in self.levels]

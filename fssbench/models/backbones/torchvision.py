"""``torchvision:NAME``: any of torchvision's classification networks that has maps at 1/8, 1/16 and 1/32."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models import WeightsEnum
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from fssbench.base.errors import UsageError
from fssbench.base.files import sha256_file
from fssbench.base.home import home_in
from fssbench.base.suggest import did_you_mean
from fssbench.models.backbones.extractor import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    REDUCTIONS,
    BackboneInfo,
    Extractor,
    at_random,
    known_origin,
)
from fssbench.models.backbones.files import downloaded
from fssbench.models.backbones.named import fill, graph_maps

__all__ = ["open_backbone"]

SIDE = 128
"""Of the image whose maps are looked at; the papers' networks have none that is not its whole part."""
HEADS = ("fc.", "classifier.", "head.", "heads.")


def open_backbone(name: str, weights: str) -> Extractor:
    """A network of torchvision; see `fssbench.models.backbones.open_backbone`.

    ``weights`` may be the name of one of its sets of weights, such as ``IMAGENET1K_V2``; ``pretrained`` is its default.
    """
    # Networks for other tasks are left out: their weights have seen the masks of what is tested here.
    known = models.list_models(module=models)
    if name not in known:
        raise UsageError(
            f"torchvision has no network '{name}'",
            remedy=f"{did_you_mean(name, known)} torchvision.models.list_models() lists them".strip(),
        )
    network = at_random(partial(models.get_model, name, weights=None))
    kept = _kept(name, weights)
    called, info = f"torchvision:{name}", BackboneInfo(name=f"torchvision:{name}", weights="none", sha256=None)
    if weights != "none":
        path = Path(home_in(weights)) if kept is None else downloaded(kept.url, what=f"the weights of {called}")
        fill(network, path, called, HEADS)
        info = BackboneInfo(
            name=called,
            weights="file" if kept is None else "pretrained",
            sha256=sha256_file(path),
            pretrained_on=None if kept is None else _learned_from(kept),
        )
    known_origin(network)
    transforms = (kept or models.get_model_weights(name).DEFAULT).transforms()
    listed = _listed(network, called)
    return Extractor(
        network=network,
        info=info,
        taking=partial(graph_maps, network),
        listed=listed,
        semantic=next(one for one, part in listed.items() if part == REDUCTIONS[1]),
        head=HEADS,
        mean=tuple(getattr(transforms, "mean", IMAGENET_MEAN)),
        std=tuple(getattr(transforms, "std", IMAGENET_STD)),
    )


def _kept(name: str, weights: str) -> WeightsEnum | None:
    """The set of weights that ``weights`` names, if it names one."""
    kept = models.get_model_weights(name)
    return kept.DEFAULT if weights == "pretrained" else kept.__members__.get(weights)


def _learned_from(kept: WeightsEnum) -> tuple[str, ...]:
    """SWAG's weights (Singh et al., CVPR 2022) begin with hashtags of Instagram."""
    return ("instagram-3.6b", "imagenet-1k") if "SWAG" in kept.name else ("imagenet-1k",)


@torch.no_grad()
def _listed(network: nn.Module, name: str) -> dict[str, int]:
    """The last map at 1/8, 1/16 and 1/32 of the image by the name of its node."""
    try:
        _, nodes = get_graph_node_names(network)
        seen = create_feature_extractor(network, nodes[1:])(torch.zeros(1, 3, SIDE, SIDE))
    except Exception:  # it takes images of one size alone, or its graph depends on them
        seen = {}
    last = {
        SIDE // value.shape[-1]: node
        for node, value in seen.items()
        if isinstance(value, Tensor) and value.ndim == 4 and value.shape[-1] == value.shape[-2] > 1
        if SIDE % value.shape[-1] == 0
    }
    if not set(REDUCTIONS) <= set(last):
        raise UsageError(
            f"{name} has no maps at 1/8, 1/16 and 1/32 of the image that could be listed",
            remedy="choose a convolutional network, or take timm's, which lists those of transformers too",
        )
    return {last[part]: part for part in REDUCTIONS}

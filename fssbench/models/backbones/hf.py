"""``hf:NAME``: backbones of transformers, from the hub or from a folder that ``save_pretrained`` wrote."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fssbench.base.errors import UsageError
from fssbench.models.backbones.extractor import BackboneInfo, Extractor, at_random, known_origin
from fssbench.models.backbones.files import (
    config_of,
    loaded,
    needs,
    quiet,
    sha256_of_weights,
    snapshot,
)
from fssbench.models.pretraining import learned_from

__all__ = ["open_backbone"]

SIDE = 64
"""Of the image whose maps are looked at."""
FINE_ENOUGH = 16
UNLEARNED = "hidden_states_norms."
"""Layer norms that transformers puts upon the stages of some networks: models without them have nothing learned there,
and they scale by 1 and shift by 0."""
LAST = "last"
"""The one map of a model that transformers has no backbone of."""


def open_backbone(name: str, weights: str) -> Extractor:
    """A backbone of transformers; see `fssbench.models.backbones.open_backbone`.

    ``weights`` may be a folder: of a model whose name is then only what results call it.
    """
    transformers = needs("hf", "transformers", lambda: __import__("transformers"))
    elsewhere = weights not in ("pretrained", "none")
    folder = snapshot(
        weights if elsewhere else name,
        weights=weights != "none",
        remedy="copy it here from a machine with a network and pass --backbone hf:FOLDER of it",
    )
    own = elsewhere or folder == Path(name)
    called = f"hf:{Path(name).name if folder == Path(name) else name}"
    images = config_of(folder, "preprocessor_config.json")
    network = known_origin(_built(transformers, folder, random=weights == "none"))
    listed = _listed(network)
    fine = [one for one, part in listed.items() if part <= FINE_ENOUGH] or list(listed)
    return Extractor(
        network=network,
        info=BackboneInfo(
            name=called,
            weights="none" if weights == "none" else "file" if own else "pretrained",
            sha256=None if weights == "none" else sha256_of_weights(folder),
            pretrained_on=None if own or weights == "none" else learned_from(name),
        ),
        taking=partial(HFMaps, network),
        listed=listed,
        semantic=fine[-1],
        multiple=_patch(network) if len(set(listed.values())) == 1 else 1,
        mean=tuple(images["image_mean"]),
        std=tuple(images["image_std"]),
    )


class HFMaps(nn.Module):
    """Images (N, 3, H, W) → the maps of some names as a dict, each (N, C, h, w)."""

    def __init__(self, network: Any, names: Sequence[str]) -> None:
        super().__init__()
        if unknown := [name for name in names if name not in _names(network)]:
            raise ValueError(f"no map {unknown[0]}")
        self.network, self.names = network, list(names)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """See the class."""
        if self.names == [LAST]:
            return {LAST: _last_map(self.network, images)}
        maps = dict(zip(self.network.stage_names, self.network(images).feature_maps, strict=True))
        return {name: maps[name] for name in self.names}


def _built(transformers: Any, folder: Path, *, random: bool) -> nn.Module:
    """The backbone of a folder, or the model itself where transformers has no backbone of its kind."""
    with quiet(transformers):
        config = loaded(transformers.AutoConfig, folder)
        listing = transformers.MODEL_FOR_BACKBONE_MAPPING
        kind = listing[type(config)] if type(config) in listing else transformers.MODEL_MAPPING[type(config)]
        if type(config) in listing:
            config.out_features = config.stage_names
        built = (
            at_random(partial(kind._from_config, config)) if random else loaded(kind, folder, UNLEARNED, config=config)
        )
    # Of a model of images and text the half that sees.
    network: nn.Module = getattr(built, "vision_model", built)
    return network


def _names(network: Any) -> list[str]:
    names = getattr(network, "stage_names", None)
    return [LAST] if names is None else list(names)


@torch.no_grad()
def _listed(network: Any) -> dict[str, int]:
    """What part of the image's side each map has, fine to coarse."""
    if (patch := _patch(network)) > 1 and len(set(getattr(network, "num_features", None) or [0])) == 1:
        return dict.fromkeys(_names(network), patch)
    maps = HFMaps(network, _names(network))(torch.zeros(1, 3, SIDE, SIDE))
    return {name: round(SIDE / one.shape[-1]) for name, one in maps.items()}


def _patch(network: Any) -> int:
    patch = getattr(network.config, "patch_size", 1)
    return patch if isinstance(patch, int) else 1


def _last_map(network: Any, images: Tensor) -> Tensor:
    """The last hidden state as a map (N, C, h, w); what stands before the positions, such as a class token, is cut."""
    takes = inspect.signature(network.forward).parameters
    more = {"interpolate_pos_encoding": True} if "interpolate_pos_encoding" in takes else {}
    state: Tensor = network(pixel_values=images, **more).last_hidden_state
    if state.ndim == 4:
        return state
    patch = _patch(network)
    h, w = images.shape[-2] // patch, images.shape[-1] // patch
    if patch == 1 or state.shape[1] < h * w:
        raise UsageError(
            f"{type(network).__name__} has no map of positions", remedy="choose a backbone that transformers lists"
        )
    positions = state[:, -h * w :].transpose(1, 2)  # (N, C, h·w)
    return positions.reshape(*positions.shape[:2], h, w)

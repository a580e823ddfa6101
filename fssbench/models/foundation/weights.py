"""Networks of transformers with their weights, and the images they take, by what lies beside the weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from fssbench.base.errors import CheckpointError, UsageError
from fssbench.models.backbones.extractor import BackboneInfo, at_random, known_origin
from fssbench.models.backbones.files import (
    config_of,
    loaded,
    needs,
    quiet,
    sha256_of_weights,
    snapshot,
)
from fssbench.models.interface import Preprocess
from fssbench.models.preprocess import Filter
from fssbench.models.pretraining import learned_from

__all__ = ["Opened", "opened"]

FILTERS: dict[int, Filter] = {0: "nearest", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers of filters."""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A network with its weights, frozen and in eval mode.

    Attributes:
        network: of transformers.
        info: what it is and where its weights came from.
        preprocess: how it takes images.
        folder: where its weights lie; ``None`` if they are random.
    """

    network: Any
    info: BackboneInfo
    preprocess: Preprocess
    folder: Path | None


def opened(kind: str, weights: str, *, published: str, preprocess: Preprocess) -> Opened:
    """A network of transformers.

    Args:
        kind: its class there.
        weights: a name on the hub, a folder that ``save_pretrained`` wrote, or ``none``.
        published: the name on the hub whose size it has with random weights.
        preprocess: how the published one takes images; a folder's ``preprocessor_config.json`` wins over it.

    Raises:
        ModelError: transformers is not installed, or the weights could not be downloaded.
        CheckpointError: there is no such folder, or it does not hold such a network.
    """
    transformers = needs("hf", "transformers", lambda: __import__("transformers"))
    built = getattr(transformers, kind)
    with quiet(transformers):
        if weights == "none":
            network = known_origin(at_random(partial(built, built.config_class())))
            info = BackboneInfo(name=published, weights="none", sha256=None)
            return Opened(network=network, info=info, preprocess=preprocess, folder=None)
        folder = snapshot(
            weights,
            weights=True,
            remedy="copy its files here from a machine with a network and pass --weights FOLDER, or try the model "
            "with random weights, --weights none",
        )
        wanted, held = built.config_class.model_type, config_of(folder, "config.json").get("model_type")
        if held != wanted:
            raise CheckpointError(
                f"{folder} holds a {held}, not a {wanted}", remedy=f"pass a folder of {published} or of its like"
            )
        network = known_origin(loaded(built, folder))
    own = folder == Path(weights)
    info = BackboneInfo(
        name=folder.name if own else weights,
        weights="file" if own else "pretrained",
        sha256=sha256_of_weights(folder),
        pretrained_on=None if own else learned_from(weights),
    )
    return Opened(network=network, info=info, preprocess=_said(folder, preprocess), folder=folder)


def _said(folder: Path, preprocess: Preprocess) -> Preprocess:
    """``preprocess`` with the size, filter and normalisation that lie beside the weights."""
    said = config_of(folder, "preprocessor_config.json")
    number = said.get("resample", None)
    if number is not None and number not in FILTERS:
        raise UsageError(f"{folder} resizes images by Pillow's filter {number}", remedy="known are 0, 2 and 3")
    return replace(
        preprocess,
        size=_side(said.get("size"), preprocess.size),
        filter=preprocess.filter if number is None else FILTERS[number],
        mean=tuple(said.get("image_mean", preprocess.mean)),
        std=tuple(said.get("image_std", preprocess.std)),
    )


def _side(said: Any, size: int | tuple[int, int]) -> int | tuple[int, int]:
    """The size as transformers writes it: a number, both sides, or the longer one."""
    if isinstance(said, int):
        return said
    if not isinstance(said, dict):
        return size
    if (longest := said.get("longest_edge")) is not None:
        return int(longest)
    height, width = said.get("height"), said.get("width")
    if height is None or width is None:
        return size
    return int(height) if height == width else (int(height), int(width))

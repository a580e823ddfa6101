"""``timm:NAME``: the networks of timm, whose configuration says how images are normalised and which maps there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from fssbench.base.errors import CheckpointError, ModelError, UsageError, first_line
from fssbench.base.files import sha256_file
from fssbench.base.home import home_in
from fssbench.base.suggest import did_you_mean
from fssbench.models.backbones.extractor import BackboneInfo, Extractor, at_random, known_origin
from fssbench.models.backbones.files import downloaded, needs

__all__ = ["open_backbone"]

ANY_SIZE: tuple[dict[str, Any], ...] = ({"dynamic_img_size": True}, {"strict_img_size": False}, {})
"""What lets a network take images of any size; which of these it knows depends on its kind."""
FINE_ENOUGH = 16

LEARNED_FROM = {
    "lvd142m": ("lvd-142m",),
    "lvd1689m": ("lvd-1689m",),
    "sa1b": ("sa-1b",),
    "openai": ("wit-400m",),
    "laion2b": ("laion-2b",),
    "webli": ("webli",),
    "in22k": ("imagenet-22k",),
    "in21k": ("imagenet-22k",),
    "in12k": ("imagenet-22k",),
    "in1k": ("imagenet-1k",),
}
"""What parts of the tags of timm's weights mean, as its documentation explains them."""


def open_backbone(name: str, weights: str) -> Extractor:
    """A network of timm; see `fssbench.models.backbones.open_backbone`."""
    timm = needs("timm", "timm", lambda: __import__("timm"))
    called = f"timm:{name}"
    if not timm.is_model(name):
        raise UsageError(
            f"timm has no network '{name}'",
            remedy=f"{did_you_mean(name, timm.list_models())} timm.list_models() lists them".strip(),
        )
    config = timm.get_pretrained_cfg(name)
    path = None if weights == "none" else _file(called, config, weights)
    network = known_origin(_built(timm, name, path))
    infos = list(getattr(network, "feature_info", ()))
    if not infos or not hasattr(network, "forward_intermediates"):
        raise UsageError(f"timm does not list the maps of {name}", remedy="choose another --backbone")
    parts = {str(info["module"]): int(info["reduction"]) for info in infos}
    alike = len(set(parts.values())) == 1
    fine = [one for one, part in parts.items() if part <= FINE_ENOUGH] or list(parts)
    return Extractor(
        network=network,
        info=BackboneInfo(
            name=called,
            weights="none" if path is None else "pretrained" if weights == "pretrained" else "file",
            sha256=None if path is None else sha256_file(path),
            pretrained_on=_learned_from(str(config.tag)) if weights == "pretrained" else None,
        ),
        taking=partial(TimmMaps, network, listed=list(parts), norm=alike),
        listed=parts,
        semantic=fine[-1],
        multiple=next(iter(parts.values())) if alike else 1,
        mean=tuple(config.mean),
        std=tuple(config.std),
    )


class TimmMaps(nn.Module):
    """Images (N, 3, H, W) → the maps of some names as a dict, each (N, C, h, w).

    Those of stages are as they are, those of a transformer's blocks have passed its last norm.
    """

    def __init__(self, network: nn.Module, names: Sequence[str], *, listed: Sequence[str], norm: bool) -> None:
        super().__init__()
        self.network, self.norm = network, norm
        self.indices = {name: listed.index(name) for name in names}

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """See the class."""
        wanted = sorted(set(self.indices.values()))
        maps = self.network.forward_intermediates(  # type: ignore[operator]
            images, indices=wanted, norm=self.norm, output_fmt="NCHW", intermediates_only=True, stop_early=not self.norm
        )
        return {name: maps[wanted.index(index)] for name, index in self.indices.items()}


def _file(called: str, config: Any, weights: str) -> Path:
    """The local file of weights; `ModelError` if timm's cannot be downloaded."""
    if weights != "pretrained":
        path = Path(home_in(weights))
        if not path.is_file():
            raise CheckpointError(f"there is no checkpoint {path}", remedy="check the path")
        return path
    what = f"the weights of {called}"
    if not config.hf_hub_id:
        if not config.url:
            raise UsageError(f"timm has no weights of {called}", remedy="pass --backbone-weights PATH or none")
        return downloaded(config.url, what=what)
    from huggingface_hub import hf_hub_download

    file = config.hf_hub_filename or "model.safetensors"
    try:
        return Path(hf_hub_download(config.hf_hub_id, file))
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"{what} could not be downloaded ({first_line(error)})",
            remedy=f"copy {file} of {config.hf_hub_id} here from a machine with a network and pass --backbone-weights "
            "PATH, or run untrained with --backbone-weights none",
        ) from error


def _built(timm: Any, name: str, path: Path | None) -> nn.Module:
    """The network, of a file's weights or random ones, for images of any size."""
    for options in ANY_SIZE:
        try:
            return at_random(partial(_created, timm, name, path, options))
        except TypeError:  # this kind of network does not know the option
            continue
    raise ModelError(f"timm cannot build {name}", remedy="try it alone, with timm.create_model")


def _created(timm: Any, name: str, path: Path | None, options: Mapping[str, Any]) -> nn.Module:
    overlay = None if path is None else {"file": str(path)}
    try:
        # With the classifier of the weights: without it timm takes files that do not fit, and fills in at random.
        network: Any = timm.create_model(name, pretrained=path is not None, pretrained_cfg_overlay=overlay, **options)
        network.reset_classifier(0)
    except (RuntimeError, KeyError, OSError) as error:
        if path is None:
            raise
        raise CheckpointError(
            f"{path} does not hold the weights of timm:{name}: {first_line(error)}",
            remedy="pass a state dict as timm keeps it, or the --backbone it belongs to",
        ) from error
    built: nn.Module = network
    return built


def _learned_from(tag: str) -> tuple[str, ...] | None:
    """What the tag of timm's weights says they were learned from; ``None`` if it says nothing known."""
    words = tag.split("_")
    found = [data for word, data in LEARNED_FROM.items() if any(word in one for one in words)]
    return tuple(dict.fromkeys(one for data in found for one in data)) or None

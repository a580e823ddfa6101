"""Which options a checkpoint was trained with, where those it was tried with do not fit."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from fssbench.base.errors import FssbenchError
from fssbench.models.checkpoints import fits
from fssbench.models.registry import build_module, model_spec

__all__ = ["fitting_option"]

# What options that change names or shapes may be: those of our models, by the option's name.
VALUES: dict[str, tuple[Any, ...]] = {
    "backbone": ("resnet50", "resnet101", "vgg16", "efficientnet-lite0"),
    "benchmark": ("coco", "pascal"),
    "shot": (1, 5, 10),
    "kernel": ("center-pivot", "separable", "original"),
    "hypercorrelation": ("all", "deep"),
    "finest_level": (1, 2, 3),
    "block_layers": (1, 2, 3, 4, 5, 6),
}


def fitting_option(name: str, options: Mapping[str, Any], loaded: object) -> str:
    """The one change of ``options`` with which what a file holds fits, as it is typed; empty if none does.

    Models are built without memory for their tensors, so trying costs little.
    """
    for option, value in _changes(name, options):
        tried = {**options, option: value}
        if "backbone_weights" in tried:
            tried["backbone_weights"] = "none"
        try:
            with torch.device("meta"):
                model = build_module(name, **tried)
        except (FssbenchError, RuntimeError, NotImplementedError):
            continue  # values that do not go together, or a model that computes while it is built
        if fits(loaded, model.state_dict()):
            return f"--backbone {value}" if option == "backbone" else f"--option {option}={value}"
    return ""


def _changes(name: str, options: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Each option the model takes with each value that it has not got now."""
    for option, default in model_spec(name, parts=True).options.items():
        now = options.get(option, None if default is inspect.Parameter.empty else default)
        for value in VALUES.get(option, ()):
            if value != now:
                yield option, value

"""What the user gives to single trainings: lists, backbones' weights, and what suits the machine.

A training is addressed by its model, or narrower: ``hsnet``, ``hsnet-pascal``, ``pspnet-resnet50``,
``hsnet-vgg16-pascal``. The narrowest name that something was given for wins, and nothing reaches another training.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fssbench.base.errors import UsageError
from fssbench.base.suggest import known_are
from fssbench.leaderboard.reproduction.runs import Variant

__all__ = ["Given", "by_name"]

STEPS: Mapping[str, Mapping[str, type]] = {
    "prepare": {
        **{"source": str, "splits": str, "mask-rule": str, "masks": str, "crowds": str, "workers": int},
        **{"min-pixels": int, "loader-workers": int},
    },
    "prepare --train": {
        **{"source": str, "splits": str, "mask-rule": str, "masks": str, "crowds": str, "workers": int},
    },
    "train": {"config": str, "batch": int, "precision": str, "workers": int},
    "eval": {"batch": int, "feature-cache": str, "precision": str, "workers": int},
}
"""Options of steps that a reproduction has not and the environment may name: the data, and what suits the machine."""
SHARED = ("precision", "workers")
"""Those of a training that may be given to all; others would be one training's and another's mistake."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """What is given to the steps of a reproduction.

    Attributes:
        lists: images to learn from by a training's name: a file or folder for ``--list``, or ``none`` for all images.
        backbones: ``--backbone-weights`` by a training's name.
        environment: variables such as ``FSSBENCH_PREPARE_COCO_SOURCE`` and ``FSSBENCH_TRAIN_HSNET_PASCAL_BATCH``.
    """

    lists: Mapping[str, str] = field(default_factory=dict)
    backbones: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    def image_list(self, variant: Variant) -> str | None:
        """The list given to a training, if any."""
        return _narrowest(self.lists, variant)

    def backbone(self, variant: Variant) -> str | None:
        """The backbone's weights given to a training, if any."""
        return _narrowest(self.backbones, variant)

    def to_step(self, step: str, *subject: str) -> dict[str, Any]:
        """The options that the environment names for a step; `UsageError` for a number that is not a number."""
        return self._named(step, ["_".join(("FSSBENCH", step.split()[0], *subject))], STEPS[step])

    def to_training(self, variant: Variant) -> dict[str, Any]:
        """The options that the environment names for a training, under the narrowest of its names."""
        every = {name: STEPS["train"][name] for name in SHARED}
        prefixes = [_variable("FSSBENCH_TRAIN", name) for name in variant.names]
        return self._named("train", ["FSSBENCH_TRAIN"], every) | self._named("train", prefixes, STEPS["train"])

    def require_known(self, variants: Iterable[Variant], *, table: str) -> None:
        """Refuse names that no training of a table has, and what would reach all of them alike; `UsageError`."""
        options = {"list": "--train-list", "backbone-weights": "--backbone-weights"}
        for name in {*STEPS["train"], *options} - set(SHARED):
            if (variable := _variable("FSSBENCH_TRAIN", name)) in self.environment:
                narrow = f"{options[name]} hsnet=PATH" if name in options else _variable("FSSBENCH_TRAIN_HSNET", name)
                raise UsageError(
                    f"{variable} would apply to every training", remedy=f"name the one it is for: {narrow}"
                )
        known = list(dict.fromkeys(name for variant in variants for name in reversed(variant.names)))
        for option, given in (("--train-list", self.lists), ("--backbone-weights", self.backbones)):
            if strange := [name for name in given if name not in known]:
                raise UsageError(
                    f"{option}: {table} has no training '{strange[0]}'", remedy=known_are(strange[0], known)
                )

    def _named(self, step: str, prefixes: Iterable[str], options: Mapping[str, type]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, kind in options.items():
            variables = (_variable(prefix, name) for prefix in prefixes)
            variable = next((one for one in variables if self.environment.get(one)), None)
            if variable is None:
                continue
            try:
                found[name] = kind(self.environment[variable])
            except ValueError as error:
                raise UsageError(f"{variable} must be an integer, got '{self.environment[variable]}'") from error
        return found


def by_name(pairs: Iterable[str], *, option: str) -> dict[str, str]:
    """``NAME=VALUE`` of a command line, by name; `UsageError` if one is not of that form or comes twice."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not (separator and name and value):
            raise UsageError(
                f"{option} must be NAME=PATH, got '{pair}'", remedy=f"name the training, as in {option} hsnet=PATH"
            )
        if name in found:
            raise UsageError(f"{option} names {name} twice", remedy="pass one of them")
        found[name] = value
    return found


def _narrowest(given: Mapping[str, str], variant: Variant) -> str | None:
    return next((given[name] for name in variant.names if name in given), None)


def _variable(*parts: str) -> str:
    return "_".join(parts).upper().replace("-", "_")

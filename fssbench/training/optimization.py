"""How weights follow gradients: the recipe's optimizer and schedule."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from fssbench.base.errors import UsageError
from fssbench.base.suggest import known_are
from fssbench.models.trainable import Group
from fssbench.training.recipe import Optimizer, Schedule

__all__ = ["build_optimizer", "rate_factor", "set_rates"]


def build_optimizer(groups: Sequence[Group], settings: Optimizer) -> torch.optim.Optimizer:
    """The recipe's optimizer over a model's groups; `UsageError` if the recipe names a group it has not."""
    names = [group.name for group in groups]
    if strange := sorted(set(settings.groups) - set(names)):
        raise UsageError(f"the model has no parameter group '{strange[0]}'", remedy=known_are(strange[0], names))
    parameters = [
        {"params": list(group.parameters), "lr": rate, "full_rate": rate, "name": group.name}
        for group in groups
        for rate in [settings.rate * settings.groups.get(group.name, group.rate)]
    ]
    if settings.name == "sgd":
        return torch.optim.SGD(
            parameters, lr=settings.rate, momentum=settings.momentum, weight_decay=settings.weight_decay
        )
    kind = torch.optim.Adam if settings.name == "adam" else torch.optim.AdamW
    return kind(parameters, lr=settings.rate, betas=settings.betas, weight_decay=settings.weight_decay)


def rate_factor(schedule: Schedule, *, step: int, total: int, per_epoch: int) -> float:
    """What learning rates are multiplied with in a step, counted from 0, of ``total``: in [0, 1]."""
    done = step if schedule.per == "step" else step // per_epoch * per_epoch
    left = 1 - done / total
    factor = 1.0
    if schedule.name == "poly":
        factor = math.pow(left, schedule.power)
    elif schedule.name == "cosine":
        factor = (1 - math.cos(math.pi * left)) / 2
    return factor * min(1.0, (step + 1) / (schedule.warmup + 1))


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Give every group its full rate times ``factor``."""
    for group in optimizer.param_groups:
        group["lr"] = group["full_rate"] * factor

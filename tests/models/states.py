"""A small network, and what it takes to store and compare its weights."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

State = dict[str, Tensor]


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))


def save(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def same(first: State, second: State) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)

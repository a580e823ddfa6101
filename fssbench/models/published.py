"""What the papers report of the cost of their models, to stand beside what is measured here.

HSNet: Table 4 (ICCV 2021), ResNet-101, 1-shot, on an Intel i7-7820X with an NVIDIA Titan Xp. HDMNet: Table 7
(CVPR 2023), its decoder alone. Neither says which operations its FLOPs count, nor how memory was measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["PublishedCost", "published_cost"]


@dataclass(frozen=True, kw_only=True)
class PublishedCost:
    """A row of a paper's table; ``None`` where it has no such column.

    Attributes:
        source: the paper, table and row.
        learnable_parameters: in millions.
        gigaflops: in 10⁹.
        gigabytes: memory footprint.
        milliseconds: an episode.
    """

    source: str
    learnable_parameters: float
    gigaflops: float
    gigabytes: float | None
    milliseconds: float


def _table_4(kernel: str, parameters: float, milliseconds: float, gigabytes: float, gigaflops: float) -> PublishedCost:
    return PublishedCost(
        source=f"HSNet, Table 4, {kernel} 4D kernel, ResNet-101",
        learnable_parameters=parameters,
        gigaflops=gigaflops,
        gigabytes=gigabytes,
        milliseconds=milliseconds,
    )


def _table_7(stages: int, parameters: float, milliseconds: float, gigaflops: float) -> PublishedCost:
    return PublishedCost(
        source=f"HDMNet, Table 7, {stages} matching stages, decoder alone",
        learnable_parameters=parameters,
        gigaflops=gigaflops,
        gigabytes=None,
        milliseconds=milliseconds,
    )


# By model, and the options that make it the table's; all others have their defaults.
ROWS: tuple[tuple[str, Mapping[str, Any], PublishedCost], ...] = (
    ("hsnet", {"backbone": "resnet101", "kernel": "original"}, _table_4("original", 11.3, 512.17, 4.12, 702.35)),
    ("hsnet", {"backbone": "resnet101", "kernel": "separable"}, _table_4("separable", 4.4, 28.48, 1.50, 28.40)),
    ("hsnet", {"backbone": "resnet101", "kernel": "center-pivot"}, _table_4("center-pivot", 2.6, 25.51, 1.39, 20.56)),
    ("hdmnet", {"stages": 1}, _table_7(1, 1.3, 15.1, 8.8)),
    ("hdmnet", {"stages": 2}, _table_7(2, 2.1, 21.1, 10.2)),
    ("hdmnet", {"stages": 3}, _table_7(3, 2.8, 27.4, 10.6)),
    ("hdmnet", {"stages": 4}, _table_7(4, 3.6, 38.0, 10.6)),
)


def published_cost(
    model: str, options: Mapping[str, Any], *, defaults: Mapping[str, Any], shot: int
) -> PublishedCost | None:
    """The paper's row for a model built with ``options``, or ``None`` if it has none for exactly that."""
    known = {name: value for name, value in options.items() if name != "backbone_weights"}
    changed = {name: value for name, value in known.items() if defaults.get(name) != value}
    for name, row, cost in ROWS:
        wanted = {key: value for key, value in row.items() if key not in defaults or defaults[key] != value}
        if name == model and shot == 1 and changed == wanted:
            return cost
    return None

"""What HDMNet begins to learn from has the statistics that the released modules' rules give it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from fssbench.models.hdmnet import HDMNet

TOOL = Path(__file__).parents[2] / "tools" / "initial_statistics.py"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("initial_statistics", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_every_tensor_begins_by_its_rule(tool: ModuleType) -> None:
    """Mean and deviation are within five standard errors of the rule's; no number is further from 0 than it allows."""
    rows = list(tool.statistics(HDMNet()))
    assert sum(row.count for row in rows) == 4_161_734
    for row in rows:
        (mean, deviation), (found_mean, found_deviation) = row.expected, row.found
        error = 5 * deviation / row.count**0.5
        assert abs(found_mean - mean) <= error + 1e-6, row
        assert abs(found_deviation - deviation) <= error + 1e-6, row
        assert row.reached <= row.furthest, row


def test_the_merging_convolutions_begin_as_mmcv_has_them(tool: ModuleType) -> None:
    merging = [row for row in tool.statistics(HDMNet()) if row.rule.startswith("Kaiming")]
    assert [row.name.rpartition("match_layers.")[2] for row in merging] == [f"{i}.1.conv.weight" for i in range(3)]
    assert {round(row.expected[1], 4) for row in merging} == {0.0589}

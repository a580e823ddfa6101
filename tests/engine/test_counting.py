"""Counting on the device gives the numbers that counting in numpy gives."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
import torch
from hypothesis import given
from strategies import Mask, mask_groups, masks

from fssbench.engine.counting import count_on_device
from fssbench.errors import MetricError
from fssbench.metrics import count


@given(mask_groups(3))
def test_counts_are_those_of_the_metric(group: tuple[Mask, ...]) -> None:
    prediction, truth, ignore = (torch.from_numpy(mask) for mask in group)
    for predicted in (prediction, prediction.to(torch.uint8)):
        counts = count_on_device(predicted, truth, ignore)
        assert counts.dtype == torch.int64
        assert tuple(counts.tolist()) == astuple(count(group[0], group[1], ignore=group[2]))


@given(mask_groups(2))
def test_without_an_ignore_mask_every_pixel_counts(group: tuple[Mask, ...]) -> None:
    prediction, truth = (torch.from_numpy(mask) for mask in group)
    counts = count_on_device(prediction, truth, None)
    assert tuple(counts.tolist()) == astuple(count(*group))
    assert int(counts[4]) == truth.numel()


@given(masks())
def test_nothing_is_counted_where_everything_is_ignored(mask: Mask) -> None:
    truth = torch.from_numpy(mask)
    assert count_on_device(truth, truth, torch.ones_like(truth)).tolist() == [0, 0, 0, 0, 0]


def test_masks_are_left_as_they_were() -> None:
    prediction, truth, ignore = torch.tensor([[1, 0]], dtype=torch.uint8), torch.tensor([[True, True]]), None
    count_on_device(prediction, truth, ignore)
    assert prediction.tolist() == [[1, 0]]
    assert truth.tolist() == [[True, True]]


def test_masks_of_different_shapes_are_refused() -> None:
    truth = torch.zeros(2, 3, dtype=torch.bool)
    with pytest.raises(MetricError, match=r"prediction \(3, 2\) and truth \(2, 3\) differ in shape"):
        count_on_device(torch.zeros(3, 2, dtype=torch.bool), truth, None)
    with pytest.raises(MetricError, match=r"ignore \(3, 2\)"):
        count_on_device(truth, truth, torch.zeros(3, 2, dtype=torch.bool))


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.float16])
def test_masks_of_another_type_are_refused(dtype: torch.dtype) -> None:
    with pytest.raises(MetricError, match=f"must be uint8 or bool, got {dtype}"):
        count_on_device(torch.zeros(2, 2, dtype=dtype), torch.zeros(2, 2, dtype=torch.bool), None)


@pytest.mark.parametrize("value", [2, 255])
def test_values_beyond_one_are_refused(value: int) -> None:
    prediction = torch.from_numpy(np.array([[0, 1], [value, 0]], dtype=np.uint8))
    with pytest.raises(MetricError, match=f"must hold only 0 and 1, found {value}"):
        count_on_device(prediction, torch.zeros(2, 2, dtype=torch.bool), None)
